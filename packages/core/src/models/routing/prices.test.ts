import { expect, test } from "vitest";
import { noUsage } from "../../domain/model.ts";
import { costOf, mostCostOf } from "./prices.ts";

test("fresh, cached and written tokens cost their own prices", () => {
  const usage = { ...noUsage, inputTokens: 10_000, cachedInputTokens: 4_000, outputTokens: 1_000 };
  // 6,000 × $2 + 4,000 × $0.10 + 1,000 × $10 a million.
  expect(costOf("openai", "gpt-6.1-sol", usage)).toBe(12_000 + 400 + 10_000);
  // Of the fresh ones 2,000 were written at 1.25 times the price.
  expect(costOf("openai", "gpt-6.1-sol", usage, 2_000)).toBe(8_000 + 5_000 + 400 + 10_000);
});

test("a dated name costs what its undated one does, a newer model does not", () => {
  const usage = { ...noUsage, outputTokens: 1_000_000 };
  expect(costOf("openai", "gpt-6-sol-2026-09-22", usage)).toBe(10_000_000);
  expect(costOf("anthropic", "claude-haiku-4-5-20251001", usage)).toBe(5_000_000);
  expect(costOf("anthropic", "claude-opus-5", usage)).toBe(25_000_000);
  expect(costOf("anthropic", "claude-opus-5-5", usage)).toBe(20_000_000);
  expect(costOf("anthropic", "claude-opus-5-6", usage)).toBeNull();
});

test("a long prompt makes the whole request dearer", () => {
  const usage = { ...noUsage, inputTokens: 300_000, outputTokens: 1_000 };
  expect(costOf("openai", "gpt-6.1-terra", usage)).toBe(600_000 + 7_500);
});

test("an unknown price is null, offline is free", () => {
  expect(costOf("openai", "llama3.3:70b", noUsage)).toBeNull();
  expect(costOf("copilot", "gpt-6.1-sol", noUsage)).toBeNull();
  expect(costOf("offline", "rules", { ...noUsage, inputTokens: 5 })).toBe(0);
});

test("a fraction of a micro-dollar is rounded up, so that no call is free", () => {
  expect(costOf("openai", "gpt-6-luna", { ...noUsage, inputTokens: 1 })).toBe(1);
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
      expect(mostCostOf(provider, model, 110_000, 500)).toBeGreaterThanOrEqual(
        costOf(
          provider,
          model,
          { inputTokens: 110_000, cachedInputTokens: cached, outputTokens: 500, reasoningTokens: 0 },
          written,
        )!,
      );
  expect(mostCostOf("openai", "unheard-of", 1, 1)).toBeNull();
});
