/** OpenAI, and every server that is compatible with it. */
import { z } from "zod";
import type { Price, ProviderKind, Rates } from "../../provider.ts";
import { createOpenAiChat } from "./chat.ts";
import { flavors, isOpenAiHost, quirksOf, structuredWays } from "./quirks.ts";
import { createOpenAiResponses } from "./responses.ts";

const dollar = 1_000_000;

function rates(input: number, cachedInput: number, output: number): Rates {
  return { input: input * dollar, cachedInput: cachedInput * dollar, output: output * dollar };
}

/** OpenAI doubles input and adds half to output past 272,000 prompt tokens. */
function price(input: number, cachedInput: number, output: number, cacheWriteFactor: number): Price {
  const longPrompt = { over: 272_000, rates: rates(input * 2, cachedInput * 2, output * 1.5) };
  return { ...rates(input, cachedInput, output), cacheWriteFactor, longPrompt };
}

/** Nothing is cached. */
function flat(input: number, output: number): Price {
  return { ...rates(input, input, output), cacheWriteFactor: 1 };
}

export const openAiOptions = z.strictObject({
  /** Responses at OpenAI's own address, Chat Completions elsewhere, unless this is set. */
  api: z.enum(["responses", "chat"]).optional(),
  /** Whose server it is, where its address does not say. */
  flavor: z.enum(flavors).optional(),
  /** How Chat Completions asks for JSON of a shape, where the server differs from its flavour. */
  structured: z.enum(structuredWays).optional(),
  /** Azure's, where its base URL is not the versionless one. */
  api_version: z.string().min(1).max(40).optional(),
});

export const openAiKind: ProviderKind = {
  name: "openai",
  options: openAiOptions,
  env: {
    key: "OPENAI_API_KEY",
    baseUrl: "OPENAI_BASE_URL",
    options: { api: "OPENAI_API", flavor: "OPENAI_FLAVOR", api_version: "OPENAI_API_VERSION" },
  },
  needsKey: isOpenAiHost,
  /** The model that thinks plans and judges, the faster one executes, which is most calls. Current by the models that the SDK lists. */
  defaults: ({ baseURL, options }) =>
    isOpenAiHost(baseURL)
      ? {
          intake: "gpt-6.1-terra",
          plan: "gpt-6.1-sol",
          execute: "gpt-6.1-terra",
          hard: "gpt-6.1-sol",
          reflect: "gpt-6.1-sol",
          embed: "text-embedding-3-small",
          transcribe: "gpt-4o-transcribe",
        }
      : { listed: quirksOf({ baseURL, options }).listsModels },
  /** https://developers.openai.com/api/docs/pricing; not known here: batch, priority and regional prices, and what a gateway adds. */
  prices: {
    asOf: "2026-11-20",
    models: {
      "gpt-6-astra": price(10, 1, 50, 1.25),
      "gpt-6.1-sol": price(2, 0.1, 10, 1.25),
      "gpt-6.1-terra": price(1, 0.05, 5, 1.25),
      "gpt-6-sol": price(2, 0.2, 10, 1.25),
      "gpt-6-luna": price(0.1, 0.01, 0.5, 1.25),
      "gpt-5.6-terra": price(2, 0.2, 12, 1),
      "gpt-5.6-luna": price(0.2, 0.02, 1.2, 1),
      "text-embedding-3-small": flat(0.02, 0),
      "text-embedding-3-large": flat(0.13, 0),
      // By tokens; gpt-transcribe and whisper-1 are billed by the minute.
      "gpt-4o-transcribe": flat(2.5, 10),
      "gpt-4o-mini-transcribe": flat(1.25, 5),
      "gpt-5.4-mini": { ...rates(0.75, 0.075, 4.5), cacheWriteFactor: 1 },
    },
  },
  dimensions: { "text-embedding-3-small": 1536, "text-embedding-3-large": 3072 },
  create(connection) {
    const options = openAiOptions.parse(connection.options ?? {});
    const given = { ...connection, options };
    return quirksOf(given).api === "responses" ? createOpenAiResponses(given) : createOpenAiChat(given);
  },
};
