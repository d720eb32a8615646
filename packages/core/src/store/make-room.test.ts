import { expect, test } from "vitest";
import { mostInputTokens, usefulOutputTokens, type Held } from "../domain/budget.ts";
import type { ModelRequest } from "../domain/model.ts";
import type { Committed, Hold } from "./commit.ts";
import { makeRoom, nextCallHold } from "./make-room.ts";

const request: ModelRequest = {
  stage: "execute",
  system: "s".repeat(1000),
  messages: [{ role: "user", parts: ["go"] }],
  tools: [],
  maxOutputTokens: 8000,
};
const input = mostInputTokens(request);
const price = (inputTokens: number, outputTokens: number) => inputTokens + 10 * outputTokens;
const held = (over: Partial<Held> = {}): Held => ({ steps: 1, tokens: 0, microUsd: 0, money: false, ...over });

function scripted(answer: Partial<Extract<Committed, { outcome: "won" }>>) {
  const asked: { reserve: number; hold: Hold }[] = [];
  const commit = async (change: { reserve: number; hold: Hold }): Promise<Committed> => {
    asked.push(change);
    return { outcome: "won", goalStatus: "running", spent: null, held: held(), ...answer };
  };
  return { asked, commit };
}

test("a call that is covered costs no commit", async () => {
  const { asked, commit } = scripted({});
  expect(await makeRoom({ request, price }, held({ tokens: input + 8000 }), commit)).toEqual({ kind: "room", request });
  expect(asked).toEqual([]);
});

test("what is missing is asked for in one commit: all of the answer, at least a useful one", async () => {
  const { asked, commit } = scripted({ held: held({ tokens: input + 8000, microUsd: 90_000, money: true }) });
  const room = await makeRoom({ request, price }, held({ steps: 0, money: true }), commit);
  expect(room).toEqual({ kind: "room", request });
  expect(asked).toEqual([
    {
      reserve: 1,
      hold: {
        tokens: input + 8000,
        need_tokens: input + usefulOutputTokens,
        micro_usd: price(input, 8000),
        need_micro_usd: price(input, usefulOutputTokens),
      },
    },
  ]);
});

test("where less than all of it was free the answer is cut to what there is", async () => {
  const { commit } = scripted({ held: held({ tokens: input + 3000 }) });
  expect(await makeRoom({ request, price }, held(), commit)).toMatchObject({
    kind: "room",
    request: { maxOutputTokens: 3000 },
  });
  const dear = scripted({ held: held({ tokens: input + 8000, microUsd: price(input, 2000), money: true }) });
  expect(await makeRoom({ request, price }, held({ money: true }), dear.commit)).toMatchObject({
    request: { maxOutputTokens: 2000 },
  });
});

test.each([
  ["a budget is spent", { spent: "token_budget" }],
  ["others hold what is left", { spent: "wait" }],
  ["the goal was paused meanwhile", { goalStatus: "paused", held: held({ tokens: 1e6 }) }],
] as const)("no call is made where %s", async (_, answer) => {
  const { commit } = scripted(answer);
  expect(await makeRoom({ request, price }, held(), commit)).toMatchObject({ kind: "none", committed: answer });
});

test("a call whose price is not known says so", async () => {
  const { asked, commit } = scripted({ spent: "cost_budget" });
  await makeRoom({ request, price: () => null }, held({ tokens: 1e6, money: true }), commit);
  expect(asked[0]?.hold.unpriced).toBe(true);
});

test("what is held for the next call covers it where the results of its tools are of usual size", () => {
  const usage = { inputTokens: 2000, cachedInputTokens: 0, outputTokens: 300, reasoningTokens: 0 };
  const hold = nextCallHold(usage, 2, { request, price }, held({ money: true }));
  const next: ModelRequest = {
    ...request,
    messages: [
      ...request.messages,
      { role: "assistant", text: "", toolCalls: [] },
      { role: "tool", results: ["a", "b"].map((callId) => ({ callId, name: "x", ok: true, text: "r".repeat(5000) })) },
    ],
  };
  expect(hold.tokens).toBeGreaterThanOrEqual(mostInputTokens(next, usage) + next.maxOutputTokens);
  expect(hold.micro_usd).toBeGreaterThanOrEqual(price(mostInputTokens(next, usage), next.maxOutputTokens));
  expect([hold.need_tokens, hold.need_micro_usd]).toEqual([0, 0]);
});
