import { describe, expect, test } from "vitest";
import { maxSends, nextEffectMove, type Effect, type EffectState } from "./effect.ts";
import type { Resolution, Wait } from "./wait.ts";

const args = { to: "a" };
const state = (changes: Partial<EffectState> = {}): EffectState => ({
  args,
  effect: null,
  wait: null,
  needsApproval: true,
  deduplicates: false,
  hasProbe: false,
  probed: null,
  hashOf: (of) => `hash of ${JSON.stringify(of)}`,
  ...changes,
});
const effect = (status: Effect["status"], changes: Partial<Effect> = {}): Effect => ({
  key: "k",
  sendKey: "s",
  status,
  args,
  turn: 1,
  elsewhere: false,
  result: "what came of it",
  intendedAt: new Date(0),
  ageMs: 0,
  ...changes,
});
const wait = (kind: Wait["kind"], resolution: Resolution | null, changes: Partial<Wait> = {}): Wait => ({
  id: "a_1" as Wait["id"],
  taskId: "t_1" as Wait["taskId"],
  attempt: 1,
  seq: 2,
  kind,
  name: "send",
  subject: { turn: 1 },
  hash: `hash of ${JSON.stringify(args)}`,
  deadlineAt: new Date(0),
  onDeadline: "reject",
  resolution,
  ...changes,
});
type Person = Extract<Resolution, { by: "person" }>;
const person = (decision: Person["decision"], more: Partial<Person> = {}): Person => ({
  by: "person",
  decision,
  principal: "key k",
  at: "now",
  ...more,
});

describe("before a call was sent", () => {
  test("it is put to a person, unless policy lets it run", () => {
    expect(nextEffectMove(state())).toEqual({ kind: "ask", about: "approval" });
    expect(nextEffectMove(state({ needsApproval: false }))).toEqual({ kind: "send", args, turn: null });
    expect(nextEffectMove(state({ wait: wait("approval", null) }))).toEqual({ kind: "wait" });
  });

  test("approved, it runs as it was shown; edited, with what the person wrote", () => {
    expect(nextEffectMove(state({ wait: wait("approval", person("approve")) }))).toEqual({
      kind: "send",
      args,
      turn: null,
    });
    const edited = { to: "b" };
    const decision = wait("approval", person("edit", { args: edited }), { hash: `hash of ${JSON.stringify(edited)}` });
    expect(nextEffectMove(state({ wait: decision }))).toEqual({ kind: "send", args: edited, turn: null });
  });

  test("an approval of anything but what would run does not hold", () => {
    const stale = wait("approval", person("approve"), { hash: "of an older version of the tool" });
    expect(nextEffectMove(state({ wait: stale }))).toEqual({ kind: "ask", about: "approval" });
  });

  test("rejected or not decided in time, it does not run, and the model reads why", () => {
    expect(nextEffectMove(state({ wait: wait("approval", person("reject", { reason: "too dear" })) }))).toMatchObject({
      kind: "answer",
      ok: false,
      text: expect.stringContaining("too dear"),
    });
    expect(nextEffectMove(state({ wait: wait("approval", { by: "deadline" }) }))).toMatchObject({
      kind: "answer",
      ok: false,
    });
    expect(nextEffectMove(state({ wait: wait("approval", { by: "deadline" }, { onDeadline: "fail" }) }))).toMatchObject(
      { kind: "fail" },
    );
  });

  test("one that certainly did not happen may be sent again, under the same approval", () => {
    expect(
      nextEffectMove(state({ effect: effect("failed", { turn: 3 }), wait: wait("approval", person("approve")) })),
    ).toEqual({ kind: "send", args, turn: 3 });
  });
});

describe("once a call may have reached its receiver", () => {
  test("one that is done is answered from the journal, whoever asks", () => {
    expect(nextEffectMove(state({ effect: effect("done") }))).toEqual({
      kind: "answer",
      ok: true,
      text: "what came of it",
      settles: null,
    });
  });

  for (const status of ["intended", "unknown"] as const) {
    const cut = (changes: Partial<EffectState> = {}, more: Partial<Effect> = {}) =>
      nextEffectMove(state({ needsApproval: false, effect: effect(status, more), ...changes }));

    test(`${status}: it is never sent again without a reason`, () => {
      expect(cut()).toEqual({ kind: "ask", about: "outcome" });
      expect(cut({ wait: wait("approval", person("approve")) })).toEqual({ kind: "ask", about: "outcome" });
      expect(cut({ wait: wait("outcome", null) })).toEqual({ kind: "wait" });
      expect(cut({ wait: wait("outcome", person("reject")) })).toMatchObject({ kind: "answer", ok: false });
      expect(cut({ wait: wait("outcome", { by: "deadline" }) })).toMatchObject({ kind: "answer", ok: false });
    });

    test(`${status}: a receiver that deduplicates is asked again, a bounded number of times`, () => {
      expect(cut({ deduplicates: true })).toEqual({ kind: "send", args, turn: 1 });
      expect(cut({ deduplicates: true }, { turn: maxSends })).toEqual({ kind: "ask", about: "outcome" });
    });

    test(`${status}: a probe decides before a person does`, () => {
      expect(cut({ hasProbe: true })).toEqual({ kind: "probe" });
      expect(cut({ hasProbe: true, probed: { kind: "not_done" } })).toEqual({ kind: "send", args, turn: 1 });
      expect(cut({ hasProbe: true, probed: { kind: "not_done" } }, { turn: maxSends })).toEqual({
        kind: "ask",
        about: "outcome",
      });
      expect(cut({ hasProbe: true, probed: { kind: "unknown" } })).toEqual({ kind: "ask", about: "outcome" });
      expect(cut({ hasProbe: true, probed: { kind: "done", text: "seen" } })).toEqual({
        kind: "answer",
        ok: true,
        text: "seen",
        settles: "done",
      });
    });

    test(`${status}: a person says that it happened, or runs it again`, () => {
      expect(cut({ wait: wait("outcome", person("happened", { result: "in my inbox" })) })).toEqual({
        kind: "answer",
        ok: true,
        text: "in my inbox",
        settles: "done",
      });
      expect(cut({ wait: wait("outcome", person("run_again")) })).toEqual({ kind: "send", args, turn: 1 });
    });

    test(`${status}: a person's word to run it again holds for one sending`, () => {
      const said = wait("outcome", person("run_again"));
      expect(cut({ wait: said }, { turn: 2 })).toEqual({ kind: "ask", about: "outcome" });
    });

    test(`${status}: while another task is at it, it is left alone`, () => {
      expect(cut({ deduplicates: true }, { elsewhere: true })).toEqual({ kind: "later" });
    });
  }
});
