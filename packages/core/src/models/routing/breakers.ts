/**
 * One circuit breaker per provider and model, shared by all replicas: whoever sees it fail opens it for everybody, one of them
 * probes it, and its success closes it for everybody. The share of failures is counted per process, by cockatiel's breaker.
 *
 * 1. A held model is not called but by probes. A probe is a request of its own, so no goal waits for one that hangs.
 * 2. Only what somebody wanted lately is probed.
 * 3. Where the store is away, what was known last holds.
 */
import { CircuitState, CountBreaker } from "cockatiel";
import type { HeldTarget, ModelControl } from "./control.ts";
import type { BreakerSettings } from "./settings.ts";

export interface BreakerParts {
  readonly control: ModelControl;
  readonly settings: () => BreakerSettings;
  /** Asks a model for a word. Throws where it does not answer. */
  readonly probe: (target: string, signal: AbortSignal) => Promise<void>;
  /** What changed, for people; and what the store did not take. */
  readonly changed: (target: string, state: "open" | "cooling" | "closed", reason: string) => void;
  readonly failed: (thrown: unknown) => void;
}

export interface Breakers {
  /** How long a model is held back; null where it may be called. Asking for one keeps its probes going. */
  heldMs(target: string): { readonly ms: number; readonly reason: string } | null;
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
}

/** Shorter waits are a try's own. */
const shortestCoolMs = 1000;
/** What one call was told holds back all others no longer than this; then one is made, and told again. */
const longestCoolMs = 60_000;
/** What nobody asked for in this time is not probed. */
const wantedMs = 120_000;
/** Of what waits for a probe that is due. */
const dueMs = 1000;
const maxTargets = 1000;
const maxReasonChars = 300;

export function createBreakers({ control, settings, probe, changed, failed }: BreakerParts): Breakers {
  const counters = new Map<string, CountBreaker>();
  const wanted = new Map<string, number>();
  const probing = new Set<string>();
  const stopping = new AbortController();
  let known = new Map<string, Known>();
  /** Held here while a read was under way, which cannot have seen it. */
  let changes = 0;

  const counterOf = (target: string) => {
    const counter =
      counters.get(target) ??
      new CountBreaker({
        threshold: settings().failureShare,
        size: settings().calls,
        minimumNumberOfCalls: settings().minCalls,
      });
    if (counters.size < maxTargets) counters.set(target, counter);
    return counter;
  };
  const leftMs = ({ readAt, leftMs: left }: Known) => Math.max(0, left - (performance.now() - readAt));

  function hold(target: string, state: HeldTarget["state"], reason: string, forMs: number): void {
    const said = reason.slice(0, maxReasonChars);
    const before = known.get(target);
    changes += 1;
    known.set(target, { target, state, reason: said, leftMs: forMs, probing: false, readAt: performance.now() });
    wanted.set(target, performance.now());
    if (before === undefined) changed(target, state, said);
    void control.hold(target, state, said, forMs).catch(failed);
  }

  async function runProbe(target: string): Promise<void> {
    const { openMs, maxOpenMs, probeMs } = settings();
    if (!(await control.claimProbe(target, probeMs * 2))) return;
    try {
      await probe(target, AbortSignal.any([stopping.signal, AbortSignal.timeout(probeMs)]));
      await control.release(target);
      release(target);
    } catch (thrown) {
      if (stopping.signal.aborted) return;
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      await control.probeFailed(target, reason.slice(0, maxReasonChars), openMs, maxOpenMs);
    }
  }

  function release(target: string): void {
    changes += 1;
    counters.delete(target);
    if (known.delete(target)) changed(target, "closed", "it answers again");
  }

  async function sync(): Promise<void> {
    const changesBefore = changes;
    const rows = await control.readHeld();
    // What was opened or closed here meanwhile is in the next reading.
    if (changes === changesBefore) {
      const readAt = performance.now();
      const read = new Map(rows.map((row) => [row.target, { ...row, readAt }]));
      for (const [target, row] of read) if (!known.has(target)) changed(target, row.state, row.reason);
      for (const target of known.keys())
        if (!read.has(target)) {
          // Others found that it answers: what failed before counts no more.
          counters.delete(target);
          changed(target, "closed", "it answers again");
        }
      known = read;
    }
    const now = performance.now();
    for (const [target, at] of wanted) if (now - at > wantedMs) wanted.delete(target);
    for (const row of known.values()) {
      if (row.state !== "open" || leftMs(row) > 0 || !wanted.has(row.target) || probing.has(row.target)) continue;
      probing.add(row.target);
      void runProbe(row.target)
        .catch(failed)
        .finally(() => probing.delete(row.target));
    }
  }

  return {
    heldMs(target) {
      const row = known.get(target);
      if (row === undefined) return null;
      const left = leftMs(row);
      if (row.state === "cooling" && left === 0) return null;
      if (wanted.size < maxTargets) wanted.set(target, performance.now());
      return { ms: Math.max(left, dueMs), reason: row.reason };
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
    held: () => [...known.values()].map(({ readAt, ...row }) => ({ ...row, leftMs: leftMs({ readAt, ...row }) })),
    stop: () => stopping.abort(),
  };
}
