// npm start [-- GOAL …]: sets up what is missing, then runs all of Outerloop in one process.
import { runMain } from "./run/run-main.mjs";
import { ensureInstalled } from "./setup/ensure-installed.mjs";

await ensureInstalled("prod");
runMain("services/embedded/src/main.ts", process.argv.slice(2));
