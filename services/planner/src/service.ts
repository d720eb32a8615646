/** The planner's process: a worker pool for the queue `plan`. */
import type { ServiceOptions } from "@outerloop/core";
import { openRegistry } from "@outerloop/skills";
import { createPlanner } from "./planner.ts";

export const plannerService: ServiceOptions = {
  name: "planner",
  start: async (runtime, config) => {
    runtime.startWorker("plan", createPlanner(runtime, await openRegistry(config)), config.slots.planner);
    return { ready: { queue: "plan", slots: config.slots.planner } };
  },
};
