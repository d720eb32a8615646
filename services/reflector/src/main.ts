/** The reflector's process: a worker pool for the queue `reflect`. */
import { runService } from "@outerloop/core";
import { createBuiltInSkills, createRegistry } from "@outerloop/skills";
import { createReflector } from "./reflector.ts";

await runService({
  name: "reflector",
  start: async (runtime, config) => {
    runtime.startWorker(
      "reflect",
      createReflector(runtime, createRegistry(createBuiltInSkills(), config.payload)),
      config.slots.reflector,
    );
    return { ready: { queue: "reflect", slots: config.slots.reflector } };
  },
});
