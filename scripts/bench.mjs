// pnpm bench [SCENARIO …] [--flags]: measures the runtime on this machine; docs/bench.md says how. On the shipped Node, with
// servers of its own.
import { runMain } from "./run/run-main.mjs";
import { installMissing } from "./servers/install.mjs";
import { ensureInstalled } from "./setup/ensure-installed.mjs";

await ensureInstalled("dev");
await installMissing();
runMain("test/bench/main.ts", process.argv.slice(2));
