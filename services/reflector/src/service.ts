/** The reflector's process: a worker pool for the queue `reflect`. */
import type { ServiceOptions } from "@outerloop/core";
import { openRegistry } from "@outerloop/skills";
import { createReflector } from "./reflector.ts";

export const reflectorService: ServiceOptions = {
  name: "reflector",
  start: async (runtime, config) => {
    runtime.startWorker("reflect", createReflector(runtime, await openRegistry(config)), config.slots.reflector);
    return { ready: { queue: "reflect", slots: config.slots.reflector } };
  },
};
