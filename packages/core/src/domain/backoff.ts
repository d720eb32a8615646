/** How long work waits for something outside that was away. */
import type { Retry } from "./errors.ts";

export interface BackoffPolicy {
  /** Upper bound of the first wait; it doubles with every further one. */
  readonly baseMs: number;
  /** No wait is longer. */
  readonly capMs: number;
}

/** Full jitter: what failed together does not come back together. @param backoffs how often it waited before, in a row */
export function backoffMs({ baseMs, capMs }: BackoffPolicy, backoffs: number, random: () => number): number {
  return Math.ceil(random() * Math.min(capMs, baseMs * 2 ** backoffs));
}

/** A wait that was asked for (Retry-After) wins. */
export function awayMs(
  retry: Exclude<Retry, "never">,
  policy: BackoffPolicy,
  backoffs: number,
  random: () => number,
): number {
  return retry === "backoff" ? backoffMs(policy, backoffs, random) : retry.afterMs;
}
