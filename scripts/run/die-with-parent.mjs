// Preloaded into the child of run-main.mjs, whose process group is its own: a `kill -9` of the group that the user
// started would miss it and leave it holding the port and the database. So it dies as it would have in that group.
import { Socket } from "node:net";
import { isMainThread } from "node:worker_threads";

const fd = process.env.OUTERLOOP_PARENT_FD;
// A process that the child forks has this module on its command line too, but not that descriptor.
delete process.env.OUTERLOOP_PARENT_FD;

if (fd !== undefined && isMainThread) {
  const parent = new Socket({ fd: Number(fd), readable: true, writable: false });
  parent.on("error", () => {});
  parent.on("close", () => process.kill(process.pid, "SIGKILL"));
  parent.resume();
  parent.unref();
}
