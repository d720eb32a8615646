/**
 * External calls: approved, journaled, sent with a key, never silently repeated. What may be done about one is decided by
 * `nextEffectMove`; this performs it. Each round takes every call as far as it can go without a person.
 */
import {
  approvalHash,
  canonicalJson,
  failpoint,
  nextEffectMove,
  type ClaimedTask,
  type Committed,
  type Effect,
  type EffectMove,
  type EffectRow,
  type JsonObject,
  type NewEvent,
  type PendingCall,
  type Probed,
  type StageRuntime,
  type StepRow,
  type ToolStep,
  type Twin,
  type WaitRow,
  type WaitsOfAttempt,
} from "@outerloop/core";
import type { Registry } from "@outerloop/skills";
import { aboutCall, mayGoOn, type ClaimWriter, type ToolCalls } from "./tool-calls.ts";

export interface ExternalCall {
  readonly pending: PendingCall;
  /** Of what the model asked for. */
  readonly key: string;
  readonly occurrence: number;
}

export type ExternalRound = { readonly steps: readonly ToolStep[]; readonly committed: Committed | null } &
  /** Something was answered or asked: look again. */
  (
    | { readonly kind: "moved" }
    /** All that is left waits. */
    | { readonly kind: "idle" }
    | { readonly kind: "stopped" }
    | { readonly kind: "later"; readonly afterMs: number }
    | { readonly kind: "failed"; readonly reason: string }
  );

export interface ExternalCalls {
  /**
   * @param open calls of the turn that are not answered, of whatever kind
   * @param reserve a step for the next call; false where none is to be had
   */
  advance(
    calls: readonly ExternalCall[],
    waits: WaitsOfAttempt,
    open: number,
    reserve: () => Promise<boolean>,
  ): Promise<ExternalRound>;
}

/** Before a call that another task has under way is looked at again: a quarter of the time that it has taken, within these. */
const elsewhereMs = { least: 2000, most: 600_000 };
/** Before a receiver that deduplicates is asked the same again; doubled with every try. */
const sendAgainMs = 1000;

export function createExternalCalls(
  runtime: StageRuntime,
  registry: Registry,
  claim: ClaimedTask,
  toolCalls: ToolCalls,
  writer: ClaimWriter,
): ExternalCalls {
  const { task } = claim;
  const { policy } = runtime.config;
  const probes = new Map<string, Probed>();
  /** Calls that this claim sent without learning what became of them, by key: not sent again before their time. */
  const resting = new Map<string, number>();

  function decide(
    { pending, key }: ExternalCall,
    waits: WaitsOfAttempt,
    effect: Effect | null,
    twin: Twin | undefined,
  ): EffectMove {
    const { call } = pending;
    const tool = registry.get(call.name);
    return nextEffectMove({
      args: call.args,
      effect,
      wait: waits.bySeq.get(pending.seq) ?? null,
      // What this goal may have done already is done again only if a person says so, whatever policy lets run.
      needsApproval: twin !== undefined || (policy.autoApprove !== "all" && !policy.autoApprove.has(call.name)),
      deduplicates: registry.deduplicates({ name: call.name, args: effect?.args ?? call.args }),
      hasProbe: tool?.effect === "external" && tool.reconcile !== undefined,
      probed: probes.get(key) ?? null,
      hashOf: (args) => approvalHash({ tool: call.name, version: tool?.version ?? "", args, policy: policy.version }),
    });
  }

  /** The intent first, in a commit of its own; sent only while the claim certainly stands. */
  async function send(
    { pending, key: asked, occurrence }: ExternalCall,
    move: Extract<EffectMove, { kind: "send" }>,
    effect: Effect | null,
    isLast: boolean,
  ): Promise<{ readonly step: ToolStep | null; readonly committed: Committed }> {
    const { call, seq } = pending;
    const key = effect?.key ?? asked;
    const sendKey = toolCalls.keyOf(call.name, move.args, occurrence);
    const intent: StepRow = {
      attempt: task.attempt,
      seq,
      phase: "intent",
      stage: "execute",
      kind: "tool",
      name: call.name,
      input: move.args,
      output: null,
      ok: true,
      duration_ms: 0,
    };
    const intended = await writer.commit({
      steps: [intent],
      effects: [
        {
          status: "intended",
          key,
          send_key: sendKey,
          root: task.rootId,
          attempt: task.attempt,
          seq,
          tool: call.name,
          version: registry.get(call.name)?.version ?? "",
          args: move.args,
          ...(move.turn !== null && { turn: move.turn }),
        },
      ],
    });
    if (intended.outcome !== "won") return { step: null, committed: intended };
    failpoint("effect.intended");
    // A process that was stopped for long finds here that others may have taken over. Nothing was sent, and if the claim
    // stands all the same that is written down.
    if (!writer.stands()) {
      const result = { text: "not sent: the process had not renewed its lease" };
      await writer.commit({ effects: [{ status: "failed", key, result }] });
      resting.set(asked, 0);
      return { step: null, committed: intended };
    }
    // What the receiver said before says nothing of what comes now.
    probes.delete(asked);
    const ran = await toolCalls.run(pending, move.args, sendKey);
    failpoint("effect.sent");

    const { outcome } = ran;
    if (!outcome.ok && outcome.unknown === true) {
      const committed = await writer.commit({
        effects: [{ status: "unknown", key, result: { text: outcome.text } }],
      });
      // Where it can be told or repeated it is left alone for a while: it may still be under way.
      const tool = registry.get(call.name);
      const isProbed = tool?.effect === "external" && tool.reconcile !== undefined;
      if (isProbed || registry.deduplicates({ name: call.name, args: move.args }))
        resting.set(asked, sendAgainMs * 2 ** (move.turn ?? 0));
      return { step: null, committed };
    }
    const settled: EffectRow = { status: outcome.ok ? "done" : "failed", key, result: { text: outcome.text } };
    // The model, and whoever reads the journal, must know that what ran is not what was asked for.
    const isEdited = canonicalJson(move.args) !== canonicalJson(call.args);
    const told = isEdited
      ? {
          ...ran,
          outcome: {
            ...outcome,
            text: `A person changed the arguments to ${JSON.stringify(move.args)}. ${outcome.text}`,
          },
        }
      : ran;
    const journaled = await toolCalls.journal(pending, told, { costsStep: true, isLast, effect: settled });
    failpoint("effect.journaled");
    return journaled;
  }

  function ask(
    { pending }: ExternalCall,
    about: "approval" | "outcome",
    effect: Effect | null,
    twin: Twin | undefined,
  ): WaitRow {
    const { call, seq } = pending;
    const version = registry.get(call.name)?.version ?? "";
    const args: JsonObject = about === "outcome" ? (effect?.args ?? call.args) : call.args;
    return {
      id: runtime.createId("wait"),
      attempt: task.attempt,
      seq,
      kind: about,
      name: call.name,
      subject: {
        tool: call.name,
        version,
        args,
        policy: policy.version,
        task: task.key,
        ...(twin !== undefined && {
          same_call: { task: twin.task, status: twin.status, at: twin.at.toISOString() },
        }),
        ...(about === "outcome" &&
          effect !== null && { key: effect.sendKey, turn: effect.turn, sent_at: effect.intendedAt.toISOString() }),
      },
      hash: approvalHash({ tool: call.name, version, args, policy: policy.version }),
      for_ms: policy.deadlineMs,
      on_deadline: policy.onDeadline,
    };
  }

  /** It may take the other a week, so nobody keeps looking. */
  function waitForOther({ pending }: ExternalCall, effect: Effect | null): WaitRow {
    const tookMs = Math.max(effect?.ageMs ?? 0, 0);
    return {
      id: runtime.createId("wait"),
      attempt: task.attempt,
      seq: pending.seq,
      kind: "timer",
      name: "another task",
      subject: { tool: pending.call.name },
      for_ms: Math.min(Math.max(tookMs / 4, elsewhereMs.least), elsewhereMs.most),
      on_deadline: "continue",
    };
  }

  return {
    async advance(calls, waits, open, reserve) {
      const steps: ToolStep[] = [];
      let committed: Committed | null = null;
      if (calls.length === 0) return { kind: "idle", steps, committed };
      /** Of what a person wants to run instead, which may be what another call is. */
      const editedKey = ({ pending, occurrence }: ExternalCall): string | null => {
        const resolution = waits.bySeq.get(pending.seq)?.resolution;
        return resolution?.by === "person" && resolution.args !== undefined
          ? toolCalls.keyOf(pending.call.name, resolution.args, occurrence)
          : null;
      };
      const effects = await runtime.store.loadEffects(
        task.goalId,
        task.id,
        calls.flatMap((each) => [each.key, editedKey(each) ?? []].flat()),
      );
      const twins = await runtime.store.loadTwins(
        task.goalId,
        task.rootId,
        calls
          .filter((each) => !effects.has(each.key))
          .map(({ key, pending }) => ({ key, tool: pending.call.name, args: pending.call.args })),
      );
      const toAsk: { readonly call: ExternalCall; readonly row: WaitRow }[] = [];
      let later: number | null = null;
      let moved = false;

      for (const call of calls) {
        const effect = effects.get(call.key) ?? effects.get(editedKey(call) ?? "") ?? null;
        const twin = twins.get(call.key);
        const restMs = resting.get(call.key);
        const wait = waits.bySeq.get(call.pending.seq);
        // It waits for another task, and a call has one wait at a time: whatever woke this one, it is looked at when that is over.
        const waitsForOther = wait?.kind === "timer" && wait.resolution === null;
        const move: EffectMove = waitsForOther
          ? { kind: "wait" }
          : restMs === undefined
            ? decide(call, waits, effect, twin)
            : { kind: "later" };
        const isLast = open - steps.length === 1;
        switch (move.kind) {
          case "answer": {
            const journaled = await toolCalls.journal(
              call.pending,
              { outcome: { ok: move.ok, text: move.text }, durationMs: 0 },
              {
                // What was not run costs nothing.
                costsStep: false,
                isLast,
                ...(move.settles !== null && {
                  effect: { status: move.settles, key: effect?.key ?? call.key, result: { text: move.text } },
                }),
              },
            );
            steps.push(journaled.step);
            committed = journaled.committed;
            moved = true;
            if (!mayGoOn(committed)) return { kind: "stopped", steps, committed };
            break;
          }
          case "ask": {
            const row = ask(call, move.about, effect, twin);
            const refusal = await runtime.store.findRefusal(task, row);
            if (refusal === null) {
              toAsk.push({ call, row });
              break;
            }
            const text = `A person rejected this same call before, so it was not ${move.about === "approval" ? "run" : "repeated; it may have happened"}.${refusal.reason === null ? "" : ` They said: ${refusal.reason}`}`;
            const journaled = await toolCalls.journal(
              call.pending,
              { outcome: { ok: false, text }, durationMs: 0 },
              { costsStep: false, isLast },
            );
            steps.push(journaled.step);
            committed = journaled.committed;
            moved = true;
            if (!mayGoOn(committed)) return { kind: "stopped", steps, committed };
            break;
          }
          case "probe": {
            const key = effect?.sendKey ?? call.key;
            probes.set(
              call.key,
              await registry.probe(
                { name: call.pending.call.name, args: effect?.args ?? call.pending.call.args },
                toolCalls.contextFor(key),
              ),
            );
            moved = true;
            break;
          }
          case "send": {
            if (!(await reserve())) return { kind: "stopped", steps, committed };
            const sent = await send(call, move, effect, isLast);
            committed = sent.committed;
            // A paused goal starts nothing.
            if (committed.outcome === "refused" && committed.why === "paused")
              return { kind: "later", steps, committed, afterMs: 0 };
            // Refused for any other reason, somebody took the call over meanwhile: look at what it is now.
            moved = true;
            if (sent.step !== null) steps.push(sent.step);
            if (committed.outcome !== "refused" && !mayGoOn(committed)) return { kind: "stopped", steps, committed };
            break;
          }
          case "later":
            if (restMs !== undefined) later = Math.max(later ?? 0, restMs);
            else if (wait?.resolution !== null) toAsk.push({ call, row: waitForOther(call, effect) });
            break;
          case "wait":
            break;
          case "fail":
            return { kind: "failed", steps, committed, reason: move.reason };
        }
      }

      if (toAsk.length > 0) {
        committed = await writer.commit({
          waits: toAsk.map((each) => each.row),
          events: toAsk
            .filter(({ row }) => row.kind !== "timer")
            .map(({ call, row }): NewEvent => ({
              type: "approval.requested",
              task: task.id,
              data: {
                id: row.id,
                key: task.key,
                kind: row.kind,
                tool: row.name,
                about: aboutCall(call.pending.call.args),
              },
            })),
        });
        failpoint("wait.requested");
        if (!mayGoOn(committed)) return { kind: "stopped", steps, committed };
        moved = true;
      }
      if (moved) return { kind: "moved", steps, committed };
      return later === null ? { kind: "idle", steps, committed } : { kind: "later", steps, committed, afterMs: later };
    },
  };
}
