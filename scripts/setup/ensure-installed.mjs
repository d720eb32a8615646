import { failSetup } from "./setup-error.mjs";
import { isUpToDate } from "./stamp.mjs";

/**
 * Installs what `mode` ("prod" or "dev") needs, if anything changed since the last time; ends the process with the
 * reason where that fails. When nothing changed it costs a few milliseconds: the installer is not even loaded.
 */
export async function ensureInstalled(mode) {
  if (isUpToDate(mode)) return;
  const stop = (signal) => {
    process.stderr.write("\nInterrupted. The next start goes on from here.\n");
    process.exit(signal === "SIGINT" ? 130 : 143);
  };
  process.once("SIGINT", stop).once("SIGTERM", stop);
  const { install } = await import("./install.mjs");
  await install(mode).catch(failSetup);
  process.off("SIGINT", stop).off("SIGTERM", stop);
}
