/**
 * Runs the tool calls of one model turn and journals each (W4). Independent reads run side by side; what writes or reaches out
 * runs in the order of the calls. A turn whose calls wait (for a time, a signal, a person) is put to sleep once nothing of it
 * can run, and goes on from its journal when it is woken.
 *
 * A run ends: each round answers at least one call, asks for at least one wait, or ends the turn.
 */
import {
  answerOfWait,
  canonicalJson,
  failpoint,
  type ClaimedTask,
  type Committed,
  type JsonObject,
  type PendingCall,
  type StageRuntime,
  type ToolStep,
  type WaitRequest,
  type WaitRow,
  type WaitsOfAttempt,
} from "@outerloop/core";
import type { Registry } from "@outerloop/skills";
import { createExternalCalls, type ExternalCall } from "./external-calls.ts";
import { createToolCalls, mayGoOn, type ClaimWriter } from "./tool-calls.ts";

/** How a turn's calls ended. `steps` are the results that were journaled. */
export type ToolsRan = { readonly steps: readonly ToolStep[] } &
  /** All are answered, or the last commit says that no more may be started: a lost claim, a pause, a spent budget. */
  (
    | { readonly kind: "ran"; readonly committed: Committed }
    | { readonly kind: "asleep" }
    | { readonly kind: "later"; readonly afterMs: number }
    | { readonly kind: "failed"; readonly reason: string }
  );

export interface ToolRunner {
  /**
   * @param before tool results of this attempt, those of this turn too
   * @param turnSeq the position of the model call that asked
   */
  run(calls: readonly PendingCall[], before: readonly ToolStep[], turnSeq: number): Promise<ToolsRan>;
}

const stale: Committed = { outcome: "stale" };

export function createToolRunner(
  runtime: StageRuntime,
  registry: Registry,
  claim: ClaimedTask,
  lost: AbortSignal,
  writer: ClaimWriter,
): ToolRunner {
  const { task } = claim;
  const toolCalls = createToolCalls(runtime, registry, claim, lost, writer);
  const external = createExternalCalls(runtime, registry, claim, toolCalls, writer);
  const effectOf = (pending: PendingCall) =>
    // A call that is refused or does not fit its schema only has an answer.
    pending.refused || registry.check(pending.call) !== null
      ? "pure"
      : (registry.get(pending.call.name)?.effect ?? "pure");

  /** Only the first turn after a claim can have waits that this claim did not ask for. */
  let takenUp = claim.steps.length > 0;

  return {
    async run(calls, before, turnSeq) {
      const steps: ToolStep[] = [];
      const open = new Map(calls.map((pending) => [pending.seq, pending]));
      let committed: Committed = stale;

      /** Journals one answer; says whether the next may begin. */
      const answer = async (pending: PendingCall, ran: Parameters<typeof toolCalls.journal>[1], costsStep: boolean) => {
        open.delete(pending.seq);
        const journaled = await toolCalls.journal(pending, ran, { costsStep, isLast: open.size === 0 });
        steps.push(journaled.step);
        committed = journaled.committed;
        return mayGoOn(committed);
      };
      /** A turn that slept gave its reservation back. */
      const reserve = async (count = 1) => {
        if (writer.reserved() >= count) return true;
        committed = await writer.commit({ reserve: count - writer.reserved() });
        return mayGoOn(committed);
      };

      const keys = occurrenceKeys(calls, before, turnSeq, toolCalls.keyOf);
      const reads = calls.filter((pending) => effectOf(pending) === "pure");
      let waits: WaitsOfAttempt | null = takenUp ? await runtime.store.loadWaits(task.id, task.attempt) : null;
      takenUp = false;

      const waited = new Set<number>(waits?.bySeq.keys());
      const asked: { readonly pending: PendingCall; readonly wait: WaitRequest }[] = [];
      const toRead = reads.filter((pending) => !waited.has(pending.seq));
      if (!(await reserve(toRead.filter((pending) => !pending.refused).length)))
        return { kind: "ran", steps, committed };
      const results = await Promise.all(
        toRead.map(async (pending) => ({
          pending,
          ran: await toolCalls.run(pending, pending.call.args, keys.get(pending.seq)!.key),
        })),
      );
      for (const { pending, ran } of results) {
        if (ran.outcome.ok && ran.outcome.wait !== undefined) asked.push({ pending, wait: ran.outcome.wait });
        else if (!(await answer(pending, ran, !pending.refused))) return { kind: "ran", steps, committed };
      }

      for (const pending of calls.filter((each) => effectOf(each) === "stored")) {
        if (!(await reserve())) return { kind: "ran", steps, committed };
        const ran = await toolCalls.run(pending, pending.call.args, keys.get(pending.seq)!.key);
        if (!(await answer(pending, ran, true))) return { kind: "ran", steps, committed };
      }

      if (asked.length > 0) {
        committed = await writer.commit({
          waits: asked.map(({ pending, wait }): WaitRow => waitRow(runtime, task.attempt, pending.seq, wait)),
        });
        failpoint("wait.requested");
        if (!mayGoOn(committed)) return { kind: "ran", steps, committed };
        waits = null;
      }

      // Ends: see the head of this file.
      while (open.size > 0) {
        waits ??= await runtime.store.loadWaits(task.id, task.attempt);
        const seen = waits;
        for (const pending of [...open.values()].filter((each) => effectOf(each) === "pure")) {
          const wait = seen.bySeq.get(pending.seq);
          if (wait === undefined || wait.resolution === null) continue;
          const over = answerOfWait(wait, wait.resolution);
          if (over.kind === "fail") return { kind: "failed", steps, reason: over.reason };
          if (!(await reserve())) return { kind: "ran", steps, committed };
          const ran = { outcome: { ok: over.ok, text: over.text }, durationMs: 0 };
          if (!(await answer(pending, ran, true))) return { kind: "ran", steps, committed };
        }

        const reaching = [...open.values()].filter((each) => effectOf(each) === "external");
        const round = await external.advance(
          reaching.map((pending): ExternalCall => ({ pending, ...keys.get(pending.seq)! })),
          seen,
          open.size,
          reserve,
        );
        for (const step of round.steps) {
          steps.push(step);
          open.delete(step.seq);
        }
        if (round.committed !== null) committed = round.committed;
        switch (round.kind) {
          case "stopped":
            return { kind: "ran", steps, committed };
          case "failed":
            return { kind: "failed", steps, reason: round.reason };
          case "later":
            return { kind: "later", steps, afterMs: round.afterMs };
          case "moved":
            waits = null;
            continue;
          case "idle":
            break;
        }
        if (open.size === 0) break;

        committed = await writer.commit({ move: { to: "waiting", wakes: seen.wakes } });
        if (committed.outcome === "won") {
          failpoint("wait.committed");
          return { kind: "asleep", steps };
        }
        if (committed.outcome === "stale") return { kind: "ran", steps, committed };
        // Something came while it looked (W5): look again.
        waits = null;
      }
      if (mayGoOn(committed)) await reserve();
      return { kind: "ran", steps, committed };
    },
  };
}

/**
 * The key of each call: the nth of the same tool and arguments in this attempt, by the model's own order. A call of an earlier
 * turn that did not happen is not counted: asked for again it is the same call, and a retry that asks once finds the one that
 * happened. Within a turn all are counted, so that none gets another key when the others are answered.
 */
function occurrenceKeys(
  calls: readonly PendingCall[],
  before: readonly ToolStep[],
  turnSeq: number,
  keyOf: (tool: string, args: JsonObject, occurrence: number) => string,
): ReadonlyMap<number, { readonly key: string; readonly occurrence: number }> {
  const counts = new Map<string, number>();
  const count = (name: string, args: JsonObject) => {
    const same = `${name}\n${canonicalJson(args)}`;
    const nth = (counts.get(same) ?? 0) + 1;
    counts.set(same, nth);
    return nth;
  };
  const pending = new Map(calls.map((each) => [each.seq, each]));
  const keys = new Map<number, { readonly key: string; readonly occurrence: number }>();
  const all = [
    ...before
      .filter((step) => step.ok || step.seq > turnSeq)
      .map((step) => ({ seq: step.seq, name: step.name, args: step.args })),
    ...calls.map(({ seq, call }) => ({ seq, name: call.name, args: call.args })),
  ].toSorted((a, b) => a.seq - b.seq);
  for (const { seq, name, args } of all) {
    const nth = count(name, args);
    if (pending.has(seq)) keys.set(seq, { key: keyOf(name, args, nth), occurrence: nth });
  }
  return keys;
}

function waitRow(runtime: StageRuntime, attempt: number, seq: number, wait: WaitRequest): WaitRow {
  const base = { id: runtime.createId("wait"), attempt, seq, kind: wait.kind, name: wait.name };
  if (wait.kind === "signal") return { ...base, for_ms: wait.forMs, on_deadline: wait.onDeadline };
  return "until" in wait
    ? { ...base, until: wait.until, on_deadline: "continue" }
    : { ...base, for_ms: wait.forMs, on_deadline: "continue" };
}
