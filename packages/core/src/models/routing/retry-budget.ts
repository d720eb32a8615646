/**
 * How many retries a model gets: a share of the calls made of it, and a few beside for when there are few calls. While all
 * of its calls fail, retries would only multiply them. After Finagle's RetryBudget:
 * https://twitter.github.io/finagle/guide/Clients.html#retry-budget
 */
export interface RetryBudget {
  /** A first request was made. */
  deposit(): void;
  /** Whether one more may be made again. */
  withdraw(): boolean;
}

/** There from the start, and the least that a share is counted up to. */
const reserve = 10;
/** Unspent calls of long ago pay for no storm now. */
const mostSaved = 50;

export function createRetryBudget(share: number): RetryBudget {
  let left = share === 0 ? 0 : reserve;
  return {
    deposit: () => void (left = Math.min(left + share, Math.max(reserve, mostSaved * share))),
    withdraw() {
      if (left < 1) return false;
      left -= 1;
      return true;
    },
  };
}
