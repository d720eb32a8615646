/** Whether so much is going on that a batch is worth waiting for: known of this process by its slots, of others by its last commit. */
import { manyInFlight } from "./commit.ts";

/** What a commit told of other processes' work holds for so long. */
const staleMs = 1000;

export interface Load {
  /** What a commit tells: tasks of one tenant on queues or in work. */
  inFlight(tasks: number): void;
  /** How long a batch waits for more: 0 while only a goal or two are in work. */
  gatherMs(): number;
}

export interface LoadOptions {
  /** The wait while much is going on. */
  readonly gatherMs: number;
  /** Of all workers of this process. */
  readonly slotsUsed: () => number;
  /** Milliseconds of a clock that goes on. */
  readonly now: () => number;
}

export function createLoad({ gatherMs, slotsUsed, now }: LoadOptions): Load {
  let told = { tasks: 0, at: -Infinity };
  return {
    inFlight: (tasks) => void (told = { tasks, at: now() }),
    gatherMs: () =>
      slotsUsed() >= manyInFlight || (told.tasks >= manyInFlight && now() - told.at < staleMs) ? gatherMs : 0,
  };
}
