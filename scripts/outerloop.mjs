#!/usr/bin/env node
// npx outerloop COMMAND …: the command line tool, on the Node that it needs.
import { runMain } from "./run/run-main.mjs";
import { ensureInstalled } from "./setup/ensure-installed.mjs";

await ensureInstalled("prod");
runMain("packages/cli/src/main.ts", process.argv.slice(2));
