/** The executor's process: a worker pool for the queue `execute`. */
import { runService } from "@outerloop/core";
import { createBuiltInSkills, createRegistry } from "@outerloop/skills";
import { createExecutor } from "./executor.ts";

await runService({
  name: "executor",
  start: async (runtime, config) => {
    runtime.startWorker(
      "execute",
      createExecutor(runtime, createRegistry(createBuiltInSkills(), config.payload)),
      config.slots.executor,
    );
    return { ready: { queue: "execute", slots: config.slots.executor } };
  },
});
