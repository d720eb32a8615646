/**
 * Where the work on a claim runs (W8). Most of it runs here, side by side. What held its claim in processes that died
 * runs alone: see `child-isolation.ts` for a worker, `lone-isolation.ts` for a database that no other process can open.
 */
import type { LeaseId } from "../domain/ids.ts";
import type { Logger } from "../logging.ts";
import type { Metrics } from "../metrics.ts";
import type { Store } from "../store/store.ts";
import type { ClaimInWork, WorkEnd } from "./work-claim.ts";

export type IsolationEnd =
  | WorkEnd
  /** It ended the process that ran nothing else. */
  | { readonly outcome: "died"; readonly reason: string };

export type Work = (lost: AbortSignal) => Promise<WorkEnd>;

export interface Isolation {
  run(claim: ClaimInWork, work: Work, lost: AbortSignal, draining: AbortSignal): Promise<IsolationEnd>;
  /** Waits while nothing may be claimed beside what runs. Call what it returns when the claimed work has begun. */
  beforeClaim(stopping: AbortSignal): Promise<() => void>;
}

export interface IsolationParts {
  readonly store: Store;
  readonly lease: LeaseId;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Before a claim that found no place to run alone is looked at again: about as long as such a run takes to begin. */
export const noPlaceMs = 1000;

export const released: WorkEnd = { outcome: "released", failure: null };

/** Runs everything at once where it stands: for a process that has only one claim anyway. */
export const noIsolation: Isolation = {
  run: (_claim, work, lost) => work(lost),
  beforeClaim: async () => () => undefined,
};
