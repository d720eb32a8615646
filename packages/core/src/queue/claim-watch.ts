/**
 * Notices that a claim in work was lost: its task was cancelled, or somebody took it over; and that other models were named
 * for it. Two queries a second for all claims of the process, none when there are none. A write with a stale fence is refused anyway (W3); this only ends
 * model and tool calls early.
 */
import type { Logger } from "../logging.ts";
import { messageOf } from "../domain/errors.ts";
import type { LeaseId } from "../domain/ids.ts";
import type { RouteOverrides } from "../domain/model.ts";
import type { OwnClaim } from "../store/claims.ts";
import type { Store } from "../store/store.ts";

export interface ClaimWatch {
  /** Aborts `onLost` when the row's fence is no longer this one. Returns what ends the watch. */
  watch(kind: "task" | "goal", id: string, fence: number, lost: AbortController): () => void;
  /** What is said by now of the models of a row that is watched, at most a look ago; null before the first look. */
  overrides(id: string): readonly RouteOverrides[] | null;
  stop(): void;
}

/** A cancelled goal's calls end within 2 s, and killing what runs alone takes a part of them. */
const everyMs = 500;
/** Longer than from a claim's commit to its work's begin. */
const sweepEveryMs = 5000;

interface Watched {
  readonly kind: "task" | "goal";
  readonly id: string;
  readonly fence: number;
  readonly lost: AbortController;
  overrides: readonly RouteOverrides[] | null;
}

type ClaimStore = Pick<Store, "currentClaims" | "listOwnClaims" | "releaseOwnClaim">;

/** @param sweeps whether this process owns the lease, so that what nobody here works on is nobody's */
export function startClaimWatch(store: ClaimStore, lease: LeaseId, log: Logger, sweeps: boolean): ClaimWatch {
  const watched = new Set<Watched>();
  let looking = false;

  async function look(): Promise<void> {
    for (const kind of ["task", "goal"] as const) {
      const own = [...watched].filter((each) => each.kind === kind);
      if (own.length === 0) continue;
      const rows = await store.currentClaims(
        kind,
        own.map((each) => each.id),
      );
      for (const each of own) {
        const row = rows.get(each.id);
        if (row?.fence === each.fence) each.overrides = row.overrides;
        else each.lost.abort(new Error("the claim was lost"));
      }
    }
  }

  /** Claims under our lease that nobody here works on, as of the last sweep. */
  let suspects: readonly OwnClaim[] = [];

  /**
   * A claim whose reply was lost, or whose end could not be written, would be held for as long as this process lives. So
   * what is ours in the database but in nobody's hands in two sweeps is given back.
   */
  async function sweep(): Promise<void> {
    const idle = (await store.listOwnClaims(lease)).filter(
      (claim) => ![...watched].some((each) => each.id === claim.id && each.fence === claim.fence),
    );
    const leaked = idle.filter((claim) => suspects.some((each) => each.id === claim.id && each.fence === claim.fence));
    suspects = idle;
    for (const claim of leaked) {
      log.warn({ event: "claim_leaked", [claim.kind]: claim.id, fence: claim.fence });
      await store.releaseOwnClaim(lease, claim);
    }
  }

  const sweeper = setInterval(() => {
    if (!sweeps) return;
    void sweep().catch((thrown: unknown) => log.debug({ event: "claim_sweep_failed", error: messageOf(thrown) }));
  }, sweepEveryMs);
  sweeper.unref();

  const timer = setInterval(() => {
    if (looking || watched.size === 0) return;
    looking = true;
    void look()
      .catch((thrown: unknown) => log.debug({ event: "claim_watch_failed", error: messageOf(thrown) }))
      .finally(() => (looking = false));
  }, everyMs);
  timer.unref();

  return {
    watch(kind, id, fence, lost) {
      const entry: Watched = { kind, id, fence, lost, overrides: null };
      watched.add(entry);
      return () => watched.delete(entry);
    },
    overrides: (id) => [...watched].findLast((each) => each.id === id)?.overrides ?? null,
    stop: () => {
      clearInterval(timer);
      clearInterval(sweeper);
    },
  };
}
