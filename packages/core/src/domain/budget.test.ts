import fc from "fast-check";
import { expect, test } from "vitest";
import { affordableOutput, callNeeds, covers, mostInputTokens, usefulOutputTokens, type PriceCall } from "./budget.ts";
import type { ModelRequest } from "./model.ts";

const requests = fc.record({
  stage: fc.constantFrom("plan", "execute", "reflect"),
  system: fc.string({ maxLength: 200 }),
  messages: fc.array(
    fc.record({
      role: fc.constant("user" as const),
      parts: fc.array(fc.string({ unit: "grapheme", maxLength: 300 }), { maxLength: 4 }),
    }),
    { minLength: 1, maxLength: 5 },
  ),
  tools: fc.constant([]),
  maxOutputTokens: fc.integer({ min: 1, max: 9000 }),
}) as fc.Arbitrary<ModelRequest>;

const heldAmounts = fc.record({
  steps: fc.integer({ min: 0, max: 3 }),
  tokens: fc.integer({ min: 0, max: 20_000 }),
  microUsd: fc.integer({ min: 0, max: 100_000 }),
  money: fc.boolean(),
});

/** Dearer from a certain prompt on, as real tables are. */
const prices: PriceCall = (input, output) => Math.ceil(input * (input > 1500 ? 4 : 2) + output * 10);

test("an answer that is afforded never costs more than is held, and no longer one is afforded", () => {
  fc.assert(
    fc.property(requests, heldAmounts, (request, held) => {
      const output = affordableOutput(held, request, prices);
      const input = mostInputTokens(request);
      const pays = (tokens: number) =>
        input + tokens <= held.tokens && (!held.money || prices(input, tokens)! <= held.microUsd);
      if (output === undefined) return held.steps === 0 || !pays(Math.min(usefulOutputTokens, request.maxOutputTokens));
      return (
        held.steps > 0 &&
        pays(output) &&
        output <= request.maxOutputTokens &&
        (output === request.maxOutputTokens || !pays(output + 1))
      );
    }),
    { numRuns: 1000 },
  );
});

test("what covers a call affords all of its answer", () => {
  fc.assert(
    fc.property(requests, heldAmounts, (request, held) => {
      if (!covers(held, callNeeds(request, prices))) return true;
      return affordableOutput(held, request, prices) === request.maxOutputTokens;
    }),
  );
});

test("an estimate is no less than one token a byte of every text, whatever was billed before", () => {
  fc.assert(
    fc.property(requests, (request) => {
      const bytes = Buffer.byteLength(
        request.system + request.messages.flatMap((each) => (each.role === "user" ? each.parts : [])).join(""),
      );
      const silent = { inputTokens: 0, cachedInputTokens: 0, outputTokens: 0, reasoningTokens: 0 };
      return mostInputTokens(request) >= bytes && mostInputTokens(request, silent) === mostInputTokens(request);
    }),
  );
});

test("what was billed for a conversation makes the estimate of its next turn smaller, not smaller than the bill", () => {
  const request: ModelRequest = {
    stage: "execute",
    system: "s".repeat(4000),
    messages: [
      { role: "user", parts: ["p".repeat(8000)] },
      { role: "assistant", text: "a".repeat(400), toolCalls: [] },
      { role: "user", parts: ["next"] },
    ],
    tools: [],
    maxOutputTokens: 1000,
  };
  const billed = { inputTokens: 3000, cachedInputTokens: 0, outputTokens: 100, reasoningTokens: 0 };
  const estimate = mostInputTokens(request, billed);
  expect(estimate).toBeGreaterThan(3100);
  expect(estimate).toBeLessThan(3300);
});

test("a call whose price is not known is not covered where money is limited", () => {
  const request: ModelRequest = { stage: "plan", system: "", messages: [], tools: [], maxOutputTokens: 10 };
  const held = { steps: 1, tokens: 10_000, microUsd: 10_000, money: true };
  const needs = callNeeds(request, () => null);
  expect([covers(held, needs), covers({ ...held, money: false }, needs)]).toEqual([false, true]);
  expect(affordableOutput(held, request, () => null)).toBeUndefined();
});
