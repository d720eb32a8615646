/**
 * Sends again what the queue lost and takes over what a dead process left (W8). Every service runs one; any number at
 * once do no harm, since each change is guarded. It never decides anything about a goal: it only wakes whoever does.
 */
import type { Logger } from "../logging.ts";
import type { Metrics } from "../metrics.ts";
import { messageOf } from "../domain/errors.ts";
import type { Loop } from "../probes/progress.ts";
import { failpoint } from "../failpoints.ts";
import type { Store } from "../store/store.ts";
import { addJobs, findLostJobs, type QueueBackend } from "./backend.ts";

/** Rows of one kind that one round takes on. */
const batch = 500;
/** A job that was sent this long ago and that nobody claimed is looked up. */
const graceMs = 3000;

export interface ReconcilerParts {
  readonly store: Store;
  readonly queue: Pick<QueueBackend, "queues">;
  readonly tenantCap: number;
  readonly metrics: Metrics;
  /** The newest event number of a goal that has news. */
  readonly events: (goalId: string, newest: number) => void;
}

/**
 * @param taken see `findLostJobs`; kept from round to round
 * @param turned after each tenant: with many of them a round takes long, and is alive
 */
export async function reconcileOnce(
  { store, queue, tenantCap, metrics, events }: ReconcilerParts,
  taken: Map<string, number>,
  turned: () => void = () => undefined,
): Promise<void> {
  const released = await store.releaseDeadClaims(batch);
  if (released > 0) failpoint("reconcile.released");
  const woken = await store.wakePlanners(batch);
  for (const { goalId, eventSeq } of await store.warnOfWall(batch)) events(goalId, eventSeq);
  const unclaimed = await store.findUnclaimedJobs(graceMs, batch);
  const lost = await findLostJobs(queue, unclaimed, taken);
  if (lost.length > 0) {
    await store.forgetJobs(lost);
    failpoint("reconcile.forgot");
  }
  turned();
  for (const tenant of await store.tenantsWithDueWork()) {
    const due = await store.dispatchDue(tenant, tenantCap, batch);
    if (due.length > 0) failpoint("reconcile.dispatched");
    await addJobs(queue, due);
    turned();
  }
  metrics.reconciled.inc({ what: "dead_claim" }, released);
  metrics.reconciled.inc({ what: "woken_plan" }, woken);
  metrics.reconciled.inc({ what: "lost_job" }, lost.length);
}

export function startReconciler(
  parts: ReconcilerParts,
  everyMs: number,
  log: Logger,
  loop: Pick<Loop, "turn">,
): { stop(): Promise<void> } {
  const stopping = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let round: Promise<void> = Promise.resolve();
  const taken = new Map<string, number>();
  const next = () => {
    if (stopping.signal.aborted) return;
    // Spread, so that replicas which started together do not ask together.
    timer = setTimeout(
      () => {
        round = reconcileOnce(parts, taken, loop.turn)
          .catch((thrown: unknown) => log.warn({ event: "reconcile_failed", error: messageOf(thrown) }))
          .then(loop.turn)
          .then(next);
      },
      everyMs * (0.75 + Math.random() / 2),
    );
  };
  next();
  return {
    async stop() {
      stopping.abort();
      clearTimeout(timer);
      await round;
    },
  };
}
