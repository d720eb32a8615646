/** One claim of the planner in a child process, where its end harms nobody else (W8). */
import { runIsolated } from "@outerloop/core";
import { openRegistry } from "@outerloop/skills";
import { createPlanner } from "./planner.ts";

await runIsolated("planner", async (runtime, config) => createPlanner(runtime, await openRegistry(config)));
