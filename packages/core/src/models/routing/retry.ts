/**
 * The one retry policy for calls of models; SDKs are told not to retry. It reads only `OuterloopError.retry`.
 *
 * 1. At most `tries` calls are made.
 * 2. A wait that the provider asks for is obeyed; one longer than `longestWaitMs` is the caller's to schedule.
 * 3. The signal ends a wait at once.
 */
import { setTimeout as delay } from "node:timers/promises";
import { backoffMs } from "../../domain/backoff.ts";
import { OuterloopError } from "../../domain/errors.ts";

export interface RetryPolicy {
  readonly tries: number;
  /** The first wait's upper bound; it doubles with every try. */
  readonly firstWaitMs: number;
  /** No backoff is longer. */
  readonly backoffCapMs: number;
  /** The longest wait a provider may ask for before the slot is better given back. */
  readonly longestWaitMs: number;
}

/** Three tries within a few seconds: an outage is longer, and is waited out by the task, not by a held slot. */
export const defaultRetryPolicy: RetryPolicy = {
  tries: 3,
  firstWaitMs: 500,
  backoffCapMs: 8_000,
  longestWaitMs: 15_000,
};

export interface RetryTools {
  readonly policy: RetryPolicy;
  readonly signal: AbortSignal;
  /** 0 ≤ n < 1. */
  readonly random: () => number;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

export const sleepFor: RetryTools["sleep"] = (ms, signal) => delay(ms, undefined, { signal });

/** How long to wait before try number `tried` + 1; undefined where there is none. */
export function nextWaitMs(
  thrown: unknown,
  tried: number,
  policy: RetryPolicy,
  random: () => number,
): number | undefined {
  if (!(thrown instanceof OuterloopError) || thrown.retry === "never" || tried >= policy.tries) return undefined;
  if (thrown.retry === "backoff") {
    return backoffMs({ baseMs: policy.firstWaitMs, capMs: policy.backoffCapMs }, tried - 1, random);
  }
  return thrown.retry.afterMs > policy.longestWaitMs ? undefined : thrown.retry.afterMs;
}

/** Ends with an answer, an error that no further try may help, or `cancelled`. */
export async function withRetry<T>(call: () => Promise<T>, { policy, signal, random, sleep }: RetryTools): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await call();
    } catch (thrown) {
      const waitMs = nextWaitMs(thrown, tried, policy, random);
      if (waitMs === undefined) throw thrown;
      try {
        await sleep(waitMs, signal);
      } catch {
        throw new OuterloopError("cancelled", "cancelled while waiting to try the model again");
      }
    }
  }
}
