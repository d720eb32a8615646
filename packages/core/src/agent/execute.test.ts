import fc from "fast-check";
import { expect, test } from "vitest";
import { canonicalJson } from "../domain/json.ts";
import type { AssistantMessage, ModelRequest } from "../domain/model.ts";
import { describeRequest, rebuildRequest } from "../domain/request-refs.ts";
import { journalFormat } from "../domain/step.ts";
import type { ModelStep, Step, ToolStep } from "../domain/step.ts";
import type { Task } from "../domain/task.ts";
import { defaultExecutionLimits, nextExecutionMove, type ExecutionState } from "./execute.ts";

const task = { id: "t_1", key: "t1", attempt: 1, text: "do it", evidence: [], tools: [], depth: 0 } as unknown as Task;
const state = (steps: readonly Step[], limits = defaultExecutionLimits): ExecutionState => ({
  task,
  parts: ["first", "second"],
  tools: [{ name: "look", description: "looks", parameters: {} }],
  steps,
  limits,
});
/** Not for secrecy: equal texts have equal names. */
const hash = (text: string) =>
  `h${text.split("").reduce((sum, char) => (sum * 31 + char.charCodeAt(0)) >>> 0, 7)}:${text.length}`;

function answer(
  move: ReturnType<typeof nextExecutionMove>,
  message: Omit<AssistantMessage, "role">,
): { readonly step: ModelStep; readonly request: ModelRequest; readonly kept: ReadonlyMap<string, string> } {
  if (move.kind !== "model") throw new Error(`expected a model call, got ${move.kind}`);
  const described = describeRequest(move.request, move.added, move.elided, hash, journalFormat);
  const step: ModelStep = {
    kind: "model",
    attempt: 1,
    seq: move.seq,
    stage: "execute",
    durationMs: 1,
    input: described.refs,
    output: { message: { role: "assistant", ...message }, stop: "end", provider: "p", model: "m" },
    usage: { inputTokens: 0, cachedInputTokens: 0, outputTokens: 0, reasoningTokens: 0 },
    costMicroUsd: 0,
    requestHash: described.requestHash,
  };
  return {
    step,
    request: move.request,
    kept: new Map([...described.blobs, ...described.prompts].map((each) => [each.hash, each.body])),
  };
}

const calls = (...names: string[]) => names.map((name, index) => ({ id: `c${index}`, name, args: {} }));
const result = (seq: number, text = "seen"): ToolStep => ({
  kind: "tool",
  attempt: 1,
  seq,
  stage: "execute",
  durationMs: 1,
  name: "look",
  args: {},
  ok: true,
  output: { callId: `c${seq}`, text },
});

test("an attempt begins with a model call, runs the calls that it asks for, and ends with its text", () => {
  const first = answer(nextExecutionMove(state([])), { text: "", toolCalls: calls("look", "look") });
  expect(nextExecutionMove(state([first.step]))).toMatchObject({
    kind: "tools",
    calls: [
      { seq: 2, refused: false },
      { seq: 3, refused: false },
    ],
  });
  const second = answer(nextExecutionMove(state([first.step, result(2), result(3)])), {
    text: " found it ",
    toolCalls: [],
  });
  expect(second.step.seq).toBe(4);
  expect(nextExecutionMove(state([first.step, result(2), result(3), second.step]))).toEqual({
    kind: "finish",
    result: "found it",
  });
});

test("after a crash only the calls without a result run again", () => {
  const first = answer(nextExecutionMove(state([])), { text: "", toolCalls: calls("look", "look", "look") });
  expect(nextExecutionMove(state([first.step, result(3)]))).toMatchObject({
    kind: "tools",
    calls: [{ seq: 2 }, { seq: 4 }],
  });
});

test("the order in which steps come back from the store does not matter", () => {
  const first = answer(nextExecutionMove(state([])), { text: "", toolCalls: calls("look", "look") });
  const steps = [result(3), first.step, result(2)];
  expect(nextExecutionMove(state(steps))).toEqual(nextExecutionMove(state(steps.toReversed())));
});

test("calls past the limit are answered without running, the last one says so, and a model that will not stop is stopped", () => {
  const limits = { ...defaultExecutionLimits, maxToolCalls: 2 };
  let steps: Step[] = [];
  const first = answer(nextExecutionMove(state(steps, limits)), { text: "", toolCalls: calls("look", "look", "look") });
  const move = nextExecutionMove(state([first.step], limits));
  expect(move).toMatchObject({
    calls: [
      { refused: false, note: "" },
      { refused: false, note: expect.stringContaining("last tool call") as string },
      { refused: true },
    ],
  });
  steps = [first.step, result(2), result(3), result(4)];
  for (let turn = 0; turn < 20; turn += 1) {
    const next = nextExecutionMove(state(steps, limits));
    if (next.kind === "give_up") return;
    if (next.kind === "model") steps = [...steps, answer(next, { text: "", toolCalls: calls("look") }).step];
    else if (next.kind === "tools") steps = [...steps, ...next.calls.map((call) => result(call.seq))];
  }
  expect.unreachable("the machine did not end");
});

test("an answer of nothing ends the attempt with that reason", () => {
  const first = answer(nextExecutionMove(state([])), { text: "  ", toolCalls: [] });
  expect(nextExecutionMove(state([first.step]))).toMatchObject({ kind: "give_up" });
});

test("a long history loses its oldest results first, never the newest turn, and says so in their place", () => {
  const limits = { ...defaultExecutionLimits, maxRequestChars: 1500 };
  const first = answer(nextExecutionMove(state([], limits)), { text: "", toolCalls: calls("look") });
  const early = [first.step, result(2, "a".repeat(1000))];
  const second = answer(nextExecutionMove(state(early, limits)), { text: "", toolCalls: calls("look") });
  const move = nextExecutionMove(state([...early, second.step, result(4, "b".repeat(1000))], limits));
  expect(move).toMatchObject({ kind: "model", elided: [2] });
  const texts = JSON.stringify(move);
  expect(texts).toContain("left out to keep this short: 1000 characters");
  expect(texts).toContain("b".repeat(1000));
});

test("W4: any step's request can be rebuilt from the journal, and its hash is the recorded one", () => {
  const turn = fc.record({
    text: fc.string(),
    results: fc.array(fc.string({ maxLength: 300 }), { minLength: 1, maxLength: 3 }),
  });
  fc.assert(
    fc.property(fc.array(turn, { maxLength: 4 }), fc.integer({ min: 50, max: 1000 }), (turns, maxRequestChars) => {
      const limits = { ...defaultExecutionLimits, maxRequestChars };
      const kept = new Map<string, string>();
      const steps: Step[] = [];
      const asked: { step: ModelStep; request: ModelRequest }[] = [];
      for (const each of turns) {
        const made = answer(nextExecutionMove(state(steps, limits)), {
          text: each.text,
          toolCalls: calls(...each.results.map(() => "look")),
        });
        for (const [key, body] of made.kept) kept.set(key, body);
        asked.push(made);
        steps.push(made.step, ...each.results.map((text, index) => result(made.step.seq + 1 + index, text)));
      }
      for (const { step, request } of asked) {
        const rebuilt = rebuildRequest(step, steps, (key) => kept.get(key)!);
        expect(canonicalJson(rebuilt)).toBe(canonicalJson(request));
        expect(hash(canonicalJson(rebuilt))).toBe(step.requestHash);
      }
    }),
  );
});

test("W4: a short part of a request stands in its step, a long one and what was recalled are kept once by hash", () => {
  const parts = ["<goal>\nFind out.\n</goal>", "x".repeat(1025), '<memory kind="lesson">\nLook twice.\n</memory>'];
  const request: ModelRequest = {
    stage: "execute",
    system: "You work.",
    messages: [{ role: "user", parts }],
    tools: [],
    maxOutputTokens: 100,
  };
  const described = describeRequest(request, [{ role: "user", parts }], [], hash, journalFormat);
  expect(described.refs.added).toEqual([
    { role: "user", parts: [{ text: parts[0] }, hash(parts[1]!), hash(parts[2]!)] },
  ]);
  expect(described.blobs).toEqual(parts.slice(1).map((body) => ({ hash: hash(body), body })));

  const older = describeRequest(request, [{ role: "user", parts }], [], hash, 1);
  expect(older.refs.added).toEqual([{ role: "user", parts: parts.map(hash) }]);
  expect(older.blobs).toEqual(parts.map((body) => ({ hash: hash(body), body })));
  expect(older.requestHash).toBe(described.requestHash);
});
