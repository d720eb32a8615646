/**
 * Ends a process whose main thread stands still, as in an endless synchronous loop: its lease has run out and others have
 * its work, but it would hold its place, its memory and a CPU for ever, and nothing in its own thread can stop it.
 */
import { url as inspectorUrl } from "node:inspector";
import { Worker } from "node:worker_threads";
import { messageOf } from "./domain/errors.ts";
import type { Logger } from "./logging.ts";

export interface Watchdog {
  stop(): Promise<void>;
}

export interface WatchdogData {
  /** Counted up by the main thread. */
  readonly beats: SharedArrayBuffer;
  readonly tickMs: number;
  /** Ticks without a beat that end the process. */
  readonly patience: number;
}

/** Looks in the time that it grants: enough that a tick which falls badly is no matter. */
const looks = 10;
/** It counts and waits; what it takes is for Node to read TypeScript. */
const heapMb = 64;

/** @param stuckMs 0 for never; a debugger that holds the process is no fault of it */
export function startWatchdog(stuckMs: number, log: Logger): Watchdog {
  if (stuckMs === 0 || inspectorUrl() !== undefined) return { stop: async () => undefined };
  const beats = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  const counter = new Int32Array(beats);
  const tickMs = Math.max(stuckMs / looks, 10);
  const beat = setInterval(() => Atomics.add(counter, 0, 1), tickMs / 2);
  beat.unref();
  const thread = new Worker(new URL("./watchdog-thread.ts", import.meta.url), {
    workerData: { beats, tickMs, patience: looks } satisfies WatchdogData,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: heapMb },
  });
  // A process without its watchdog works on.
  thread.on("error", (thrown) => log.error({ event: "watchdog_failed", error: messageOf(thrown) }));
  thread.unref();
  return {
    async stop() {
      clearInterval(beat);
      await thread.terminate();
    },
  };
}
