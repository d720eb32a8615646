/** The executor's process: a worker pool for the queue `execute`. */
import type { ServiceOptions } from "@outerloop/core";
import { openRegistry } from "@outerloop/skills";
import { createExecutor } from "./executor.ts";

export const executorService: ServiceOptions = {
  name: "executor",
  start: async (runtime, config) => {
    runtime.startWorker("execute", createExecutor(runtime, await openRegistry(config)), config.slots.executor);
    return { ready: { queue: "execute", slots: config.slots.executor } };
  },
};
