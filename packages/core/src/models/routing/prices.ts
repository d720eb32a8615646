/** What calls cost, by the price lists of kinds of providers and what settings say beside them. */
import type { Usage } from "../../domain/model.ts";
import { providerKinds } from "../kinds.ts";
import type { Price } from "../provider.ts";

/** `gpt-6-sol-2026-09-22` and `claude-haiku-4-5-20251001` cost what their undated names do; `claude-opus-5-5` is not a dated `claude-opus-5`. */
const dateSuffix = /-(\d{4}-\d{2}-\d{2}|\d{8}|latest)$/;
const free: Price = { input: 0, cachedInput: 0, output: 0, cacheWriteFactor: 1 };
/** Providers of this process: they send nothing out and cost nothing. */
const freeProviders = new Set(["offline", "local", "replay"]);

export interface PriceList {
  /** Which one it is, for the journal: the day of the kind's list, or `settings`. */
  readonly version: string;
  readonly price: Price;
}

/**
 * @param own `provider/model` → price, as settings say; wins over what is listed
 * @returns undefined where no price is known, which is not free
 */
export function findPrice(
  provider: string,
  kindName: string,
  model: string,
  own: Readonly<Record<string, Price>>,
): PriceList | undefined {
  if (freeProviders.has(provider)) return { version: "free", price: free };
  const undated = model.replace(dateSuffix, "");
  const said = own[`${provider}/${model}`] ?? own[`${provider}/${undated}`];
  if (said !== undefined) return { version: "settings", price: said };
  const list = providerKinds.find((kind) => kind.name === kindName)?.prices;
  const price = list?.models[model] ?? list?.models[undated];
  return list === undefined || price === undefined ? undefined : { version: list.asOf, price };
}

/**
 * Micro-dollars, rounded up.
 * @param cacheWriteTokens the part of the input that was written to a cache
 */
export function costOf(price: Price, usage: Usage, cacheWriteTokens = 0): number {
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

/** Micro-dollars that a call costs at most, whatever of its prompt a cache takes or gives. */
export function mostCostOf(price: Price, inputTokens: number, outputTokens: number): number {
  const usage = { inputTokens, cachedInputTokens: 0, outputTokens, reasoningTokens: 0 };
  return Math.max(costOf(price, usage), costOf(price, usage, inputTokens));
}
