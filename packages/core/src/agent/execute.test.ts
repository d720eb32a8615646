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

test("an answer of nothing is told so once, then ends the attempt with that reason", () => {
  const first = answer(nextExecutionMove(state([])), { text: "  ", toolCalls: [] });
  const second = nextExecutionMove(state([first.step]));
  expect(second).toMatchObject({
    kind: "model",
    request: {
      messages: [{ role: "user" }, { role: "user", parts: [expect.stringContaining("was empty") as string] }],
    },
  });
  const again = answer(second, { text: "", toolCalls: [] });
  expect(nextExecutionMove(state([first.step, again.step]))).toEqual({
    kind: "give_up",
    reason: "stuck: it answered with nothing",
  });
  const mended = answer(second, { text: "found", toolCalls: [] });
  expect(nextExecutionMove(state([first.step, mended.step]))).toEqual({ kind: "finish", result: "found" });
});

test("an answer that was cut off is asked for shorter once, then taken as far as it goes", () => {
  const cut = ({ step }: ReturnType<typeof answer>): ModelStep => ({
    ...step,
    output: { ...step.output, stop: "length" },
  });
  const first = cut(answer(nextExecutionMove(state([])), { text: "a long", toolCalls: [] }));
  const second = nextExecutionMove(state([first]));
  expect(JSON.stringify(second)).toContain("was cut off");
  const again = cut(answer(second, { text: "still long", toolCalls: [] }));
  expect(nextExecutionMove(state([first, again]))).toMatchObject({
    kind: "finish",
    result: expect.stringContaining("still long\n… (cut off") as string,
  });
});

/** Drives a model that never answers: what it was told, and why its attempt ended. */
function runInCircles(
  askFor: (turn: number) => { readonly text?: string; readonly calls: AssistantMessage["toolCalls"] },
  answerWith: (call: { readonly name: string; readonly args: object }, turn: number) => Partial<ToolStep>,
): { readonly told: readonly string[]; readonly ended: string } {
  let steps: Step[] = [];
  const told: string[] = [];
  for (let turn = 0; turn < 30; turn += 1) {
    const move = nextExecutionMove(state(steps, { ...defaultExecutionLimits, maxToolCalls: 25 }));
    if (move.kind === "give_up") return { told, ended: move.reason };
    if (move.kind !== "model") throw new Error(`unexpected ${move.kind}`);
    const last = move.request.messages.at(-1);
    if (turn > 0 && last?.role === "user") told.push(...last.parts);
    const { text = "", calls: toolCalls } = askFor(turn);
    const made = answer(move, { text, toolCalls });
    steps = [
      ...steps,
      made.step,
      ...toolCalls.map((call, index) => ({
        ...result(made.step.seq + 1 + index),
        name: call.name,
        args: call.args,
        ...answerWith(call, turn),
      })),
    ];
  }
  throw new Error("the machine did not end");
}

const call = (name: string, args: Record<string, string> = {}) => [{ id: "c", name, args }];
const says = (text: string) => ({ output: { callId: "c", text } });

test("the same call with the same result is told at the fourth time, and ends the attempt at the fifth", () => {
  const { told, ended } = runInCircles(
    () => ({ calls: call("look", { path: "a" }) }),
    () => says("same"),
  );
  expect(told).toEqual([expect.stringContaining("4 times, always with the same result")]);
  expect(ended).toMatch(/^stuck: it made the call look\(\{"path":"a"\}\) 5 times/);
});

test("a call that is repeated since what it looks at changes is no circle", () => {
  const { ended } = runInCircles(
    () => ({ calls: call("look") }),
    (_, turn) => says(`state ${turn}`),
  );
  expect(ended).toContain("asked for more tools after 25 calls");
});

test("the same error is told at the third time, and ends the attempt at the fourth", () => {
  const { told, ended } = runInCircles(
    (turn) => ({ calls: call("look", { path: `a${turn}` }) }),
    (_, turn) => ({ ok: false, ...says(`There is no file "a${turn}".`) }),
  );
  expect(told).toEqual([expect.stringContaining("look has failed 3 times in the same way")]);
  expect(ended).toMatch(/^stuck: look failed again and again in the same way: There is no file/);
});

test("going back and forth between two calls is told at the sixth, and ends the attempt at the seventh", () => {
  const { told, ended } = runInCircles(
    (turn) => ({ calls: call(turn % 2 === 0 ? "look" : "listen") }),
    ({ name }) => says(name),
  );
  expect(told).toEqual([expect.stringContaining("You go back and forth between look({}) and listen({})")]);
  expect(ended).toMatch(/^stuck: it went back and forth between (look and listen|listen and look)/);
});

test("saying the same without finding anything new is told, then ends the attempt", () => {
  const { told, ended } = runInCircles(
    (turn) => ({ text: "I will look further.", calls: call("look", { path: `${turn % 3}` }) }),
    ({ args }) => says(JSON.stringify(args)),
  );
  expect(told).toEqual([expect.stringContaining("You say the same again and again")]);
  expect(ended).toMatch(/^stuck: it said the same again and again/);
});

test("long arguments of old calls are left out like long results, and every call keeps its result", () => {
  const limits = { ...defaultExecutionLimits, maxRequestChars: 12_000, maxToolCalls: 25 };
  let steps: Step[] = [];
  const kept = new Map<string, string>();
  for (let turn = 0; turn < 5; turn += 1) {
    const move = nextExecutionMove(state(steps, limits));
    const made = answer(move, { text: "", toolCalls: call("write", { path: `f${turn}.md`, text: "x".repeat(5000) }) });
    for (const [key, text] of made.kept) kept.set(key, text);
    steps = [...steps, made.step, { ...result(made.step.seq + 1, `wrote ${turn}`), name: "write" }];
  }
  const last = answer(nextExecutionMove(state(steps, limits)), { text: "done", toolCalls: [] });
  for (const [key, text] of last.kept) kept.set(key, text);
  const { messages } = last.request;
  expect(JSON.stringify(messages).length).toBeLessThan(12_000);
  expect(JSON.stringify(messages)).toContain("left out to keep this short: 4800 characters");
  expect(JSON.stringify(messages)).toContain('"path":"f0.md"');
  for (const [index, message] of messages.entries())
    if (message.role === "assistant") expect(messages[index + 1]).toMatchObject({ role: "tool", results: [{}] });
  const rebuilt = rebuildRequest(last.step, [...steps, last.step], (key) => kept.get(key)!);
  expect(canonicalJson(rebuilt)).toBe(canonicalJson(last.request));
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
