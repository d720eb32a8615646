/** When to try again. Randomness and the clock come in from outside, so tests neither sleep nor flake. */
import { setTimeout as sleep } from "node:timers/promises";
import type { ClientRetry } from "./errors.ts";

export interface Waiting {
  /** 0 ≤ n < 1. */
  readonly random: () => number;
  /** Rejects with the signal's reason where that aborts first. */
  readonly wait: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
}

export const realWaiting: Waiting = {
  random: Math.random,
  wait: async (ms, signal) => {
    try {
      await sleep(ms, undefined, signal === undefined ? {} : { signal });
    } catch (thrown) {
      signal?.throwIfAborted();
      throw thrown;
    }
  },
};

/** Short, since the server is most often on the same machine and only starting. */
const baseMs = 250;
/** A restart of a server takes a few seconds; asking rarer than this only makes people wait. */
const maxMs = 5000;
/** However long a server asks for, somebody is waiting in front of a terminal. */
const maxAskedMs = 30_000;

/** Half of an exponential step is fixed, half is chance: clients that lost the same server do not return at once. */
export function retryDelayMs(retry: ClientRetry, failures: number, random: () => number): number {
  if (typeof retry === "object") return Math.min(retry.afterMs, maxAskedMs);
  const full = Math.min(baseMs * 2 ** Math.max(failures - 1, 0), maxMs);
  return Math.round(full / 2 + (random() * full) / 2);
}
