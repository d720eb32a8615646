/**
 * External calls (DESIGN §6): what may be done about one, from what is known of it. Pure. The invariant is that a call which
 * may have reached its receiver is never sent a second time, unless the receiver deduplicates by its key, the tool's probe
 * finds that it did not happen, or a person says so.
 */
import type { JsonObject } from "./json.ts";
import type { Resolution, Wait } from "./wait.ts";

/**
 * - `intended`: the intent is journaled, the result is not: it may have happened.
 * - `done`: it happened, and its result is journaled.
 * - `failed`: it certainly did not happen.
 * - `unknown`: its tool could not tell.
 */
export type EffectStatus = "intended" | "done" | "failed" | "unknown";

export interface Effect {
  readonly key: string;
  /** What the receiver is given to deduplicate by. */
  readonly sendKey: string;
  readonly status: EffectStatus;
  /** The arguments that ran. */
  readonly args: JsonObject;
  /** How often it was sent or taken over; whoever takes it over names the turn that it saw. */
  readonly turn: number;
  /** Whether its owner is another task that is still at it. */
  readonly elsewhere: boolean;
  readonly result: string | null;
  readonly intendedAt: Date;
  /** Since then, by the database's clock. */
  readonly ageMs: number;
}

/** What a tool's probe found. */
export type Probed =
  | { readonly kind: "done"; readonly text: string }
  | { readonly kind: "not_done" }
  | { readonly kind: "unknown" };

export interface EffectState {
  readonly args: JsonObject;
  readonly effect: Effect | null;
  /** The newest wait for this call. */
  readonly wait: Wait | null;
  readonly needsApproval: boolean;
  readonly deduplicates: boolean;
  readonly hasProbe: boolean;
  /** null: not asked since the claim began. */
  readonly probed: Probed | null;
  /** The hash that approves these arguments now. */
  readonly hashOf: (args: JsonObject) => string;
}

export type EffectMove =
  /** Answered without a call: `settles` says what becomes of the effect's own row. */
  | { readonly kind: "answer"; readonly ok: boolean; readonly text: string; readonly settles: "done" | null }
  | { readonly kind: "ask"; readonly about: "approval" | "outcome" }
  | { readonly kind: "wait" }
  | { readonly kind: "probe" }
  | { readonly kind: "send"; readonly args: JsonObject; readonly turn: number | null }
  /** Another task has the same call under way: looked at again soon. */
  | { readonly kind: "later" }
  | { readonly kind: "fail"; readonly reason: string };

/** A call whose receiver deduplicates, or whose probe finds that it did not happen, is sent this often before a person is asked. */
export const maxSends = 5;

export function nextEffectMove(state: EffectState): EffectMove {
  const { effect } = state;
  if (effect === null || effect.status === "failed") return beforeSending(state);
  if (effect.status === "done") return { kind: "answer", ok: true, text: effect.result ?? "Done.", settles: null };
  return effect.elsewhere ? { kind: "later" } : afterUnknown(state, effect);
}

function beforeSending({ args, effect, wait, needsApproval, hashOf }: EffectState): EffectMove {
  const turn = effect?.turn ?? null;
  if (!needsApproval) return { kind: "send", args, turn };
  if (wait === null || wait.kind !== "approval") return { kind: "ask", about: "approval" };
  if (wait.resolution === null) return { kind: "wait" };
  const { resolution } = wait;
  if (resolution.by === "person" && (resolution.decision === "approve" || resolution.decision === "edit")) {
    const approved = resolution.args ?? args;
    // The tool or the policy changed since: what was approved is not what would run.
    if (hashOf(approved) !== wait.hash) return { kind: "ask", about: "approval" };
    return { kind: "send", args: approved, turn };
  }
  return refusal(wait, resolution, "this call, so it was not run");
}

function afterUnknown({ wait, deduplicates, hasProbe, probed }: EffectState, effect: Effect): EffectMove {
  const again: EffectMove = { kind: "send", args: effect.args, turn: effect.turn };
  // What a person said of one sending says nothing of the next.
  if (wait?.kind === "outcome" && wait.subject["turn"] === effect.turn) {
    const { resolution } = wait;
    if (resolution === null) return { kind: "wait" };
    if (resolution.by === "person" && resolution.decision === "happened")
      return { kind: "answer", ok: true, text: resolution.result ?? "Done, as a person has seen.", settles: "done" };
    if (resolution.by === "person" && resolution.decision === "run_again") return again;
    return refusal(wait, resolution, "what became of this call; it may have happened. Do not repeat it");
  }
  if (deduplicates && effect.turn < maxSends) return again;
  if (hasProbe) {
    if (probed === null) return { kind: "probe" };
    if (probed.kind === "done") return { kind: "answer", ok: true, text: probed.text, settles: "done" };
    if (probed.kind === "not_done" && effect.turn < maxSends) return again;
  }
  return { kind: "ask", about: "outcome" };
}

function refusal(wait: Wait, resolution: Resolution, what: string): EffectMove {
  if (resolution.by === "person")
    return {
      kind: "answer",
      ok: false,
      settles: null,
      text:
        wait.kind === "approval"
          ? `A person rejected ${what}.${resolution.reason ? ` They say: ${resolution.reason}` : ""}`
          : `A person could not say ${what}.${resolution.reason ? ` They say: ${resolution.reason}` : ""}`,
    };
  if (wait.onDeadline === "fail")
    return { kind: "fail", reason: `nobody decided about ${wait.name} by ${wait.deadlineAt.toISOString()}` };
  return {
    kind: "answer",
    ok: false,
    settles: null,
    text: `Nobody decided by ${wait.deadlineAt.toISOString()} about ${what}.`,
  };
}
