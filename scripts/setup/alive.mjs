import fs from "node:fs";

/** Whether a process with this pid runs on this machine; one that has ended but was not yet reaped does not. */
export function isAlive(pid) {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return error.code === "EPERM";
  }
  try {
    // pid (name) state …; macOS has no /proc.
    return !/\) [ZX] [^)]*$/.test(fs.readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return true;
  }
}
