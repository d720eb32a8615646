// Postgres' data lies outside of the checkout where we run as root (paths.mjs), so deleting a checkout leaves it.
import fs from "node:fs";
import { join } from "node:path";
import { stopProcess } from "./process.mjs";

/** Stops and deletes under `parent` what belongs to checkouts that are no longer there. */
export async function deleteDataOfGoneCheckouts(parent) {
  if (!fs.existsSync(parent)) return;
  for (const name of fs.readdirSync(parent)) {
    const folder = join(parent, name);
    const checkout = readText(join(folder, "checkout"));
    if (checkout === undefined || fs.existsSync(checkout)) continue;
    const pid = Number(readText(join(folder, "postgres/postmaster.pid"))?.split("\n")[0]);
    if (pid) await stopProcess(pid, folder, ["SIGINT", "SIGQUIT"]);
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

function readText(path) {
  try {
    return fs.readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
