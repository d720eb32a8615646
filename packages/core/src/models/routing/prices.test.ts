import { expect, test } from "vitest";
import { noUsage } from "../../domain/model.ts";
import { costOf, findPrice, mostCostOf } from "./prices.ts";

const priceOf = (provider: string, model: string) => findPrice(provider, provider, model, {})?.price;
const known = (provider: string, model: string) => priceOf(provider, model)!;

test("fresh, cached and written tokens cost their own prices", () => {
  const usage = { ...noUsage, inputTokens: 10_000, cachedInputTokens: 4_000, outputTokens: 1_000 };
  // 6,000 × $2 + 4,000 × $0.10 + 1,000 × $10 a million.
  expect(costOf(known("openai", "gpt-6.1-sol"), usage)).toBe(12_000 + 400 + 10_000);
  // Of the fresh ones 2,000 were written at 1.25 times the price.
  expect(costOf(known("openai", "gpt-6.1-sol"), usage, 2_000)).toBe(8_000 + 5_000 + 400 + 10_000);
});

test("a dated name costs what its undated one does, a newer model does not", () => {
  const usage = { ...noUsage, outputTokens: 1_000_000 };
  expect(costOf(known("openai", "gpt-6-sol-2026-09-22"), usage)).toBe(10_000_000);
  expect(costOf(known("anthropic", "claude-haiku-4-5-20251001"), usage)).toBe(5_000_000);
  expect(costOf(known("anthropic", "claude-opus-5"), usage)).toBe(25_000_000);
  expect(costOf(known("anthropic", "claude-opus-5-5"), usage)).toBe(20_000_000);
  expect(priceOf("anthropic", "claude-opus-5-6")).toBeUndefined();
});

test("a long prompt makes the whole request dearer", () => {
  const usage = { ...noUsage, inputTokens: 300_000, outputTokens: 1_000 };
  expect(costOf(known("openai", "gpt-6.1-terra"), usage)).toBe(600_000 + 7_500);
});

test("an unknown price is null, offline is free", () => {
  expect(priceOf("openai", "llama3.3:70b")).toBeUndefined();
  expect(priceOf("copilot", "gpt-6.1-sol")).toBeUndefined();
  expect(costOf(known("offline", "rules"), { ...noUsage, inputTokens: 5 })).toBe(0);
});

test("a fraction of a micro-dollar is rounded up, so that no call is free", () => {
  expect(costOf(known("openai", "gpt-6-luna"), { ...noUsage, inputTokens: 1 })).toBe(1);
});

test("the most that a call costs is no less than any bill for it, however much a cache takes or gives", () => {
  for (const [provider, model] of [
    ["openai", "gpt-6.1-sol"],
    ["anthropic", "claude-haiku-5-5"],
  ] as const)
    for (const [cached, written] of [
      [0, 0],
      [90_000, 0],
      [0, 110_000],
    ] as const)
      expect(mostCostOf(known(provider, model), 110_000, 500)).toBeGreaterThanOrEqual(
        costOf(
          known(provider, model),
          { inputTokens: 110_000, cachedInputTokens: cached, outputTokens: 500, reasoningTokens: 0 },
          written,
        ),
      );
});

test("what settings say wins over what is listed, and says so", () => {
  const own = { input: 1, cachedInput: 1, output: 1, cacheWriteFactor: 1 };
  expect(findPrice("openai", "openai", "gpt-6.1-sol", { "openai/gpt-6.1-sol": own })).toEqual({
    version: "settings",
    price: own,
  });
  expect(findPrice("gpu", "openai", "qwen", { "gpu/qwen": own })?.price).toBe(own);
  expect(findPrice("openai", "openai", "gpt-6.1-sol", {})?.version).toMatch(/^\d{4}-\d\d-\d\d$/);
});
