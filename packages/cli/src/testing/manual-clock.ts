/** A clock that goes on when it is told to. */
import type { Clock } from "../live/clock.ts";

export interface ManualClock extends Clock {
  advance(ms: number): void;
  /** Calls that are still to come. */
  readonly pending: number;
}

export function createManualClock(): ManualClock {
  let now = 0;
  let calls: { readonly at: number; readonly run: () => void }[] = [];
  return {
    now: () => now,
    after(ms, run) {
      const call = { at: now + ms, run };
      calls.push(call);
      return () => (calls = calls.filter((each) => each !== call));
    },
    advance(ms) {
      const until = now + ms;
      // Ends: each turn takes a call out or is the last; a call that comes back is due later.
      for (;;) {
        const next = calls.filter((each) => each.at <= until).toSorted((a, b) => a.at - b.at)[0];
        if (next === undefined) break;
        calls = calls.filter((each) => each !== next);
        now = next.at;
        next.run();
      }
      now = until;
    },
    get pending() {
      return calls.length;
    },
  };
}
