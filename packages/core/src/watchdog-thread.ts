/**
 * The thread that looks at the main one. It counts its own ticks and not the clock: a process that was stopped (SIGSTOP, a
 * laptop that slept) stops them too, and is given its full time again.
 */
import { writeSync } from "node:fs";
import { workerData } from "node:worker_threads";
import { stuckWords } from "./domain/poison.ts";
import type { WatchdogData } from "./watchdog.ts";

const { beats, tickMs, patience } = workerData as WatchdogData;
const counter = new Int32Array(beats);
const sleeper = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

let last = Atomics.load(counter, 0);
// Ends with the process, or with `terminate`.
for (let missed = 0; missed < patience;) {
  Atomics.wait(sleeper, 0, 0, tickMs);
  const now = Atomics.load(counter, 0);
  missed = now === last ? missed + 1 : 0;
  last = now;
}
try {
  writeSync(2, `${stuckWords} ${(tickMs * patience) / 1000} s: process ${process.pid} is ended\n`);
} catch {
  // Nobody reads; it ends all the same.
}
process.kill(process.pid, "SIGKILL");
