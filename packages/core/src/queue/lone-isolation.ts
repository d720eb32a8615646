/**
 * Running alone where no other process can open the database: in this one, with nothing claimed and nothing running
 * beside it. If the process ends meanwhile, the next one finds the mark that was set before the work began, and that,
 * not the count of expired claims, fails it.
 */
import { describeDeath, expiredClaimsBeforeIsolation } from "../domain/poison.ts";
import { noPlaceMs, released, type Isolation, type IsolationEnd, type IsolationParts, type Work } from "./isolation.ts";
import type { ClaimInWork } from "./work-claim.ts";

export function createLoneIsolation(parts: IsolationParts): Isolation {
  const { store, lease } = parts;
  /** Somebody runs alone, or waits for the others to finish. */
  let isTaken = false;
  let running = 0;
  let claiming = 0;
  let waiting: (() => void)[] = [];
  const changed = () => {
    for (const wake of waiting.splice(0)) wake();
  };
  const whenChanged = (signal: AbortSignal) =>
    new Promise<void>((resolve) => {
      waiting = [...waiting, resolve];
      signal.addEventListener("abort", () => resolve(), { once: true });
    });

  async function runAlone(
    claim: ClaimInWork,
    work: Work,
    lost: AbortSignal,
    draining: AbortSignal,
  ): Promise<IsolationEnd> {
    if (await store.takeLoneRun(claim.id)) {
      const step = await store.lastStep(claim.goal, claim.id, claim.attempt);
      return {
        outcome: "died",
        reason: describeDeath({ exit: null, stderr: "", lastStep: step, diedBefore: claim.expiredClaims - 1 }),
      };
    }
    const away = AbortSignal.any([lost, draining]);
    // Ends: nothing new begins meanwhile, and what runs has deadlines.
    while ((running > 0 || claiming > 0) && !away.aborted) await whenChanged(away);
    if (away.aborted) return postpone(claim);
    await store.markLoneRun(claim.id);
    try {
      return await work(lost);
    } finally {
      await store.unmarkLoneRun(claim.id);
    }
  }

  async function postpone(claim: ClaimInWork): Promise<IsolationEnd> {
    await store.releaseOwnClaim(lease, claim, noPlaceMs);
    return released;
  }

  return {
    async run(claim, work, lost, draining) {
      if (isTaken) return postpone(claim);
      if (claim.expiredClaims < expiredClaimsBeforeIsolation) {
        running += 1;
        try {
          return await work(lost);
        } finally {
          running -= 1;
          changed();
        }
      }
      isTaken = true;
      let outcome = "faulted";
      try {
        const end = await runAlone(claim, work, lost, draining);
        outcome = end.outcome;
        return end;
      } finally {
        isTaken = false;
        changed();
        parts.metrics.isolatedRuns.inc({ stage: claim.stage, outcome });
      }
    },
    async beforeClaim(stopping) {
      // Ends with the run that is alone.
      while (isTaken && !stopping.aborted) await whenChanged(stopping);
      claiming += 1;
      return () => {
        claiming -= 1;
        changed();
      };
    },
  };
}
