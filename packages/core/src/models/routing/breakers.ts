/**
 * One circuit breaker per provider and model, shared by all replicas: whoever sees it fail opens it for everybody, one of them
 * probes it, and its success closes it for everybody. The share of failures is counted per process, by cockatiel's breaker.
 *
 * 1. A held model is not called but by probes. A probe is a request of its own, so no goal waits for one that hangs.
 * 2. Only what somebody wanted lately is probed, by a process that knows how.
 * 3. Where the store is away, what was known last holds; what was found here is told again until it is written.
 */
import { CircuitState, CountBreaker } from "cockatiel";
import { LRUCache } from "lru-cache";
import { messageOf } from "../../domain/errors.ts";
import { storable } from "../../domain/json.ts";
import type { HeldTarget, ModelControl } from "./control.ts";
import type { BreakerSettings } from "./settings.ts";

export interface BreakerParts {
  readonly control: ModelControl;
  readonly settings: () => BreakerSettings;
  /** Asks a model for a word, and throws where it does not answer; null for a model that is in no route here any more. */
  readonly probeOf: (target: string) => ((signal: AbortSignal) => Promise<unknown>) | null;
  /** What changed, for people; and what the store did not take. */
  readonly changed: (target: string, state: "open" | "cooling" | "closed", reason: string) => void;
  readonly failed: (thrown: unknown) => void;
}

export interface Hold {
  readonly ms: number;
  readonly state: HeldTarget["state"];
  readonly reason: string;
}

export interface Breakers {
  /** How long a model is held back; null where it may be called. Asking for one keeps its probes going. */
  hold(target: string): Hold | null;
  succeeded(target: string): void;
  failed(target: string, reason: string): void;
  /** The provider said when to come back: nobody calls it before. */
  cool(target: string, reason: string, forMs: number): void;
  /** Learns what others found, and probes what is due. */
  sync(): Promise<void>;
  /** As known here. */
  held(): readonly HeldTarget[];
  stop(): void;
}

interface Known extends HeldTarget {
  readonly readAt: number;
  /** When the store had it, by this process's clock; null until then. */
  readonly savedAt: number | null;
}

/** Shorter waits are a try's own. */
const shortestCoolMs = 1000;
/** What one call was told holds back all others no longer than this; then one is made, and told again. */
const longestCoolMs = 60_000;
/** What nobody asked for in this time is not probed. */
const wantedMs = 120_000;
/** Of what waits for a probe that is due. */
const dueMs = 1000;
/** Models whose calls are counted; far more than any settings name. */
const maxTargets = 1000;
const maxReasonChars = 300;

export function createBreakers({ control, settings, probeOf, changed, failed }: BreakerParts): Breakers {
  const counters = new LRUCache<string, CountBreaker>({ max: maxTargets });
  const wanted = new LRUCache<string, true>({ max: maxTargets, ttl: wantedMs });
  const probing = new Set<string>();
  const stopping = new AbortController();
  const known = new Map<string, Known>();

  const counterOf = (target: string) => {
    const { calls, minCalls, failureShare } = settings();
    const counter =
      counters.get(target) ??
      new CountBreaker({ threshold: failureShare, size: calls, minimumNumberOfCalls: minCalls });
    counters.set(target, counter);
    return counter;
  };
  const leftMs = ({ readAt, leftMs: left }: Known) => Math.max(0, left - (performance.now() - readAt));

  function hold(target: string, state: HeldTarget["state"], reason: string, forMs: number): void {
    const said = storable(reason).slice(0, maxReasonChars).toWellFormed();
    const before = known.get(target);
    const readAt = performance.now();
    known.set(target, { target, state, reason: said, leftMs: forMs, probing: false, readAt, savedAt: null });
    wanted.set(target, true);
    if (before === undefined) changed(target, state, said);
    void save(target).catch(failed);
  }

  async function save(target: string): Promise<void> {
    const row = known.get(target);
    if (row === undefined) return;
    await control.hold(target, row.state, row.reason, leftMs(row));
    // A reading that began before may not have seen it.
    if (known.get(target) === row) known.set(target, { ...row, savedAt: performance.now() });
  }

  async function probe(target: string, ask: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
    const { openMs, maxOpenMs, probeMs } = settings();
    if (!(await control.claimProbe(target, probeMs * 2))) return;
    try {
      await ask(AbortSignal.any([stopping.signal, AbortSignal.timeout(probeMs)]));
    } catch (thrown) {
      if (stopping.signal.aborted) return;
      const reason = storable(messageOf(thrown)).slice(0, maxReasonChars).toWellFormed();
      return control.probeFailed(target, reason, openMs, maxOpenMs);
    }
    await control.release(target);
    close(target);
  }

  function close(target: string): void {
    counters.delete(target);
    if (known.delete(target)) changed(target, "closed", "it answers again");
  }

  async function sync(): Promise<void> {
    const unsaved = [...known.values()].filter((row) => row.savedAt === null && leftMs(row) > 0);
    for (const { target, readAt } of unsaved) if (performance.now() - readAt > dueMs) await save(target);
    const begunAt = performance.now();
    const rows = await control.readHeld();
    const readAt = performance.now();
    const read = new Set(rows.map((row) => row.target));
    for (const row of rows) {
      const before = known.get(row.target);
      if (before !== undefined && (before.savedAt === null || before.savedAt > begunAt)) continue;
      known.set(row.target, { ...row, readAt, savedAt: begunAt });
      if (before === undefined) changed(row.target, row.state, row.reason);
    }
    // Others found that it answers, or its time is over: what failed before counts no more.
    for (const [target, row] of known)
      if (!read.has(target) && (row.savedAt === null ? leftMs(row) === 0 : row.savedAt <= begunAt)) close(target);
    for (const row of known.values()) {
      const { target } = row;
      if (row.state !== "open" || leftMs(row) > 0 || !wanted.has(target) || probing.has(target)) continue;
      const ask = probeOf(target);
      if (ask === null) continue;
      probing.add(target);
      void probe(target, ask)
        .catch(failed)
        .finally(() => probing.delete(target));
    }
  }

  return {
    hold(target) {
      const row = known.get(target);
      if (row === undefined) return null;
      const left = leftMs(row);
      if (row.state === "cooling" && left === 0) return null;
      wanted.set(target, true);
      return { ms: Math.max(left, dueMs), state: row.state, reason: row.reason };
    },
    succeeded: (target) => counterOf(target).success(CircuitState.Closed),
    failed(target, reason) {
      if (counterOf(target).failure(CircuitState.Closed) && known.get(target)?.state !== "open")
        hold(target, "open", reason, settings().openMs);
    },
    cool(target, reason, forMs) {
      if (forMs >= shortestCoolMs && known.get(target)?.state !== "open")
        hold(target, "cooling", reason, Math.min(forMs, longestCoolMs));
    },
    sync,
    held: () =>
      [...known.values()].map(({ readAt, savedAt, ...row }) => ({
        ...row,
        leftMs: leftMs({ readAt, savedAt, ...row }),
      })),
    stop: () => stopping.abort(),
  };
}
