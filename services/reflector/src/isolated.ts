/** One claim of the reflector in a child process, where its end harms nobody else (W8). */
import { runIsolated } from "@outerloop/core";
import { openRegistry } from "@outerloop/skills";
import { createReflector } from "./reflector.ts";

await runIsolated("reflector", async (runtime, config) => createReflector(runtime, await openRegistry(config)));
