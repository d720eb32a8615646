import { expect, test } from "vitest";
import type { JsonObject } from "./json.ts";
import type { AssistantMessage } from "./model.ts";
import { boundAnswer, defaultPayloadLimits, maxArgsDepth } from "./payload.ts";

const answer = (args: JsonObject, text = ""): AssistantMessage => ({
  role: "assistant",
  text,
  toolCalls: [
    { id: "c1", name: "write_file", args },
    { id: "c2", name: "look", args: { path: "a" } },
  ],
  opaque: { provider: "openai", items: [{ bound: true }] },
});
const nested = (depth: number): JsonObject => {
  let value: JsonObject = { end: 1 };
  for (let n = 1; n < depth; n += 1) value = { in: value };
  return value;
};
const argsOf = (message: AssistantMessage, limits = defaultPayloadLimits) => {
  const bound = boundAnswer(message, limits);
  return bound.ok ? bound.message.toolCalls.map((call) => call.args) : bound.why;
};

test("an answer within its limits is left as it is", () => {
  const message = answer(nested(maxArgsDepth));
  expect(boundAnswer(message, defaultPayloadLimits)).toEqual({ ok: true, message });
});

test("arguments however deep are an error of their call, and of no other", () => {
  for (const depth of [maxArgsDepth + 1, 1_000_000])
    expect(argsOf(answer(nested(depth)))).toEqual([
      { malformed: expect.stringContaining("more than 64 levels deep") as string },
      { path: "a" },
    ]);
});

test("arguments that are too large are an error of their call that says the size and the limit", () => {
  const limits = { ...defaultPayloadLimits, toolArgsBytes: 1000 };
  const bound = boundAnswer(answer({ text: "ü".repeat(1000) }), limits);
  expect(bound).toMatchObject({
    ok: true,
    message: {
      toolCalls: [{ args: { malformed: expect.stringMatching(/have 2011 bytes, more than the 1000/) as string } }, {}],
    },
  });
  // What the provider bound to the turn as it was would not fit it any more.
  expect(bound.ok && bound.message.opaque).toBeUndefined();
});

test("an answer that is too large is none", () => {
  const limits = { ...defaultPayloadLimits, answerBytes: 1000 };
  expect(argsOf(answer({}, "x".repeat(1000)), limits)).toMatch(/answer has 1\d\d\d bytes, more than the 1000/);
});
