/** One claim of the executor in a child process, where its end harms nobody else (W8). */
import { runIsolated } from "@outerloop/core";
import { openRegistry } from "@outerloop/skills";
import { createExecutor } from "./executor.ts";

await runIsolated("executor", async (runtime, config) => createExecutor(runtime, await openRegistry(config)));
