/** The planner's process: a worker pool for the queue `plan`. */
import { runService } from "@outerloop/core";
import { createBuiltInSkills, createRegistry } from "@outerloop/skills";
import { createPlanner } from "./planner.ts";

await runService({
  name: "planner",
  start: async (runtime, config) => {
    runtime.startWorker(
      "plan",
      createPlanner(runtime, createRegistry(createBuiltInSkills(), config.payload)),
      config.slots.planner,
    );
    return { ready: { queue: "plan", slots: config.slots.planner } };
  },
});
