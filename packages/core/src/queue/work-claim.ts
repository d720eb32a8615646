/**
 * What surrounds the work on any claim: it is watched and measured, a claim that was lost ends it quietly, and a fault of
 * ours never leaves a claim held by a process that lives on, since nobody would take it over.
 */
import { messageOf, OuterloopError } from "../domain/errors.ts";
import type { Logger } from "../logging.ts";
import type { Metrics } from "../metrics.ts";
import type { Committed, Door, Write } from "../store/commit.ts";
import type { GoalId } from "../domain/ids.ts";
import type { ClaimWatch } from "./claim-watch.ts";
import type { Isolation } from "./isolation.ts";

export interface ClaimInWork {
  readonly stage: "plan" | "execute" | "reflect";
  /** The row that is claimed. */
  readonly kind: "task" | "goal";
  readonly id: string;
  readonly fence: number;
  readonly goal: GoalId;
  /** Under which it journals. */
  readonly attempt: number;
  /** Claims in a row that ran out with their process (W8). */
  readonly expiredClaims: number;
  /** The program that works on this one claim in a child process. */
  readonly isolatedMain: URL;
  /** With the ids of what is worked on. */
  readonly log: Logger;
  /** Ends the claim for a fault: what `work` threw. */
  readonly giveUp: (reason: string) => Write;
  /** Gives the claim back, for something outside that was away: work goes on later. */
  readonly release: (dueInMs: number) => Write;
}

/** How work on a claim ended; `failure` is for people. */
export interface WorkEnd {
  readonly outcome: "moved" | "waiting" | "released" | "stale" | "failed";
  readonly failure: string | null;
}

export interface ClaimParts {
  readonly claims: ClaimWatch;
  readonly metrics: Metrics;
  readonly door: Door;
  readonly isolation: Isolation;
}

/** Before work that met an outage goes on. */
const outageMs = 3000;
/** Before a claim that could not be given up is tried again. */
const retryMs = 5000;

/** @returns why it failed, or null */
export async function workClaim(
  { claims, metrics, door, isolation }: ClaimParts,
  claim: ClaimInWork,
  work: (lost: AbortSignal) => Promise<WorkEnd>,
  draining: AbortSignal,
): Promise<string | null> {
  const { stage, log } = claim;
  const lost = new AbortController();
  const unwatch = claims.watch(claim.kind, claim.id, claim.fence, lost);
  const timer = metrics.stageSeconds.startTimer({ stage });
  const foundPoison = async (reason: string): Promise<WorkEnd> => {
    log.error({ event: "poison_found", stage, reason });
    const committed = await giveUp(door, claim.giveUp(reason), draining, log);
    // What it committed before it died stands: then nothing is left to fail.
    if (committed?.outcome !== "won") return { outcome: "stale", failure: null };
    metrics.poison.inc({ stage });
    return { outcome: "failed", failure: reason };
  };
  let end: WorkEnd;
  try {
    const ended = await isolation.run(claim, work, lost.signal, draining);
    end = ended.outcome === "died" ? await foundPoison(ended.reason) : ended;
  } catch (thrown) {
    if (lost.signal.aborted) end = { outcome: "stale", failure: null };
    else if (isOutage(thrown)) {
      log.warn({ event: `${stage}_outage`, error: messageOf(thrown) });
      await giveUp(door, claim.release(outageMs), draining, log);
      end = { outcome: "released", failure: null };
    } else {
      const reason = `internal fault: ${messageOf(thrown)}`;
      log.error({ event: `${stage}_fault`, error: messageOf(thrown) });
      await giveUp(door, claim.giveUp(reason), draining, log);
      end = { outcome: "failed", failure: reason };
    }
  } finally {
    unwatch();
  }
  timer({ outcome: end.outcome });
  if (end.outcome === "stale") metrics.staleClaims.inc({ stage });
  if (end.failure !== null) metrics.failures.inc({ stage });
  log.info({ event: `${stage}_${end.outcome}`, ...(end.failure === null ? {} : { reason: end.failure }) });
  return end.failure;
}

/** The store, an embedder, a queue: trying again later can help, until the goal's budgets end it. */
function isOutage(thrown: unknown): boolean {
  return thrown instanceof OuterloopError && thrown.retry !== "never";
}

/** Ends when the write is decided either way, when it never can be, or when the process goes and its lease with it. */
async function giveUp(door: Door, write: Write, stopping: AbortSignal, log: Logger): Promise<Committed | null> {
  while (!stopping.aborted) {
    try {
      return await door.commit(write);
    } catch (thrown) {
      log.error({ event: "claim_not_given_up", error: messageOf(thrown) });
      if (!isOutage(thrown)) return null;
      await new Promise((resolve) => setTimeout(resolve, retryMs).unref());
    }
  }
  return null;
}
