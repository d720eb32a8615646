/**
 * What calls cost, as data. List prices of the standard tier as published on 2026-11-20; the authority is
 * https://developers.openai.com/api/docs/pricing and https://platform.claude.com/docs/en/about-claude/pricing.
 * Not known here: batch, priority and regional prices, and what a gateway adds.
 */
import type { Usage } from "../domain/model.ts";

/** Micro-dollars (1e-6 USD) per million tokens, so $2 is 2_000_000. */
interface Rates {
  readonly input: number;
  readonly cachedInput: number;
  readonly output: number;
}

interface Price extends Rates {
  /** What a prompt token written to the cache costs, as a multiple of `input`; 1 where writing is free of charge. */
  readonly cacheWriteFactor: number;
  /** From this many prompt tokens on, the whole request costs `rates`. */
  readonly longPrompt?: { readonly over: number; readonly rates: Rates };
}

const dollar = 1_000_000;

function rates(input: number, cachedInput: number, output: number): Rates {
  return { input: input * dollar, cachedInput: cachedInput * dollar, output: output * dollar };
}

/** OpenAI doubles input and adds half to output past 272,000 prompt tokens. */
function openAi(input: number, cachedInput: number, output: number, cacheWriteFactor: number): Price {
  const longPrompt = { over: 272_000, rates: rates(input * 2, cachedInput * 2, output * 1.5) };
  return { ...rates(input, cachedInput, output), cacheWriteFactor, longPrompt };
}

function anthropic(input: number, cachedInput: number, output: number): Price {
  return { ...rates(input, cachedInput, output), cacheWriteFactor: 1.25 };
}

export const priceTableDate = "2026-11-20";

const prices: Readonly<Record<string, Readonly<Record<string, Price>>>> = {
  openai: {
    "gpt-6-astra": openAi(10, 1, 50, 1.25),
    "gpt-6.1-sol": openAi(2, 0.1, 10, 1.25),
    "gpt-6.1-terra": openAi(1, 0.05, 5, 1.25),
    "gpt-6-sol": openAi(2, 0.2, 10, 1.25),
    "gpt-6-luna": openAi(0.1, 0.01, 0.5, 1.25),
    "gpt-5.6-terra": openAi(2, 0.2, 12, 1),
    "gpt-5.6-luna": openAi(0.2, 0.02, 1.2, 1),
    "gpt-5.4-mini": { ...rates(0.75, 0.075, 4.5), cacheWriteFactor: 1 },
  },
  anthropic: {
    "claude-fable-5-1": anthropic(10, 0.25, 50),
    "claude-opus-5-5": anthropic(4, 0.2, 20),
    "claude-opus-5": anthropic(5, 0.5, 25),
    "claude-sonnet-5-5": anthropic(2, 0.1, 10),
    "claude-sonnet-5": anthropic(2, 0.2, 10),
    "claude-haiku-5-5": { ...anthropic(0.1, 0.01, 0.5), longPrompt: { over: 100_000, rates: rates(0.5, 0.05, 2.5) } },
    "claude-haiku-4-5": anthropic(1, 0.1, 5),
  },
};

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
