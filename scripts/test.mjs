// npm test [-- VITEST ARGUMENT …]: sets up what is missing, finds or installs the real servers, runs vitest.
import { runMain } from "./run/run-main.mjs";
import { installMissing } from "./servers/install.mjs";
import { ensureInstalled } from "./setup/ensure-installed.mjs";

await ensureInstalled("dev");
// Where they can be neither found nor installed, the tests that need them say so at the end.
await installMissing();
runMain("node_modules/vitest/vitest.mjs", ["run", ...process.argv.slice(2)]);
