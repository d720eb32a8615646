/**
 * What calls cost, as data. List prices of the standard tier as published on 2026-11-20; the authority is
 * https://developers.openai.com/api/docs/pricing and https://platform.claude.com/docs/en/about-claude/pricing.
 * Not known here: batch, priority and regional prices, and what a gateway adds.
 */
import type { Usage } from "../../domain/model.ts";
import { anthropicKind } from "../adapters/anthropic.ts";
import { openAiKind } from "../adapters/openai/kind.ts";
import type { Price } from "../provider.ts";

const prices: Readonly<Record<string, Readonly<Record<string, Price>>>> = {
  openai: openAiKind.prices.models,
  anthropic: anthropicKind.prices.models,
};
export const priceTableDate = openAiKind.prices.asOf;

/** `gpt-6-sol-2026-09-22` and `claude-haiku-4-5-20251001` cost what their undated names do; `claude-opus-5-5` is not a dated `claude-opus-5`. */
const dateSuffix = /-(\d{4}-\d{2}-\d{2}|\d{8}|latest)$/;

/**
 * Micro-dollars, rounded up; null where no price is known, which is not free.
 * @param cacheWriteTokens the part of the input that was written to a cache
 */
export function costOf(provider: string, model: string, usage: Usage, cacheWriteTokens = 0): number | null {
  if (provider === "offline") return 0;
  const price = prices[provider]?.[model] ?? prices[provider]?.[model.replace(dateSuffix, "")];
  if (!price) return null;
  const { input, cachedInput, output } =
    price.longPrompt && usage.inputTokens > price.longPrompt.over ? price.longPrompt.rates : price;
  const freshTokens = Math.max(0, usage.inputTokens - usage.cachedInputTokens - cacheWriteTokens);
  const total =
    freshTokens * input +
    cacheWriteTokens * input * price.cacheWriteFactor +
    usage.cachedInputTokens * cachedInput +
    usage.outputTokens * output;
  return Math.ceil(total / 1_000_000);
}

/** Micro-dollars that a call costs at most, whatever of its prompt a cache takes or gives; null where no price is known. */
export function mostCostOf(provider: string, model: string, inputTokens: number, outputTokens: number): number | null {
  const usage = { inputTokens, cachedInputTokens: 0, outputTokens, reasoningTokens: 0 };
  const plain = costOf(provider, model, usage);
  const written = costOf(provider, model, usage, inputTokens);
  return plain === null || written === null ? null : Math.max(plain, written);
}
