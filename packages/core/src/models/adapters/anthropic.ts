/**
 * Anthropic's Messages API with its native structured output. Thinking blocks go back as they came; they are signed
 * and bound to the model and, on newer models, to the conversation.
 * https://platform.claude.com/docs/en/build-with-claude/preserved-thinking
 */
import Anthropic from "@anthropic-ai/sdk";
import { z } from "zod";
import { toParams } from "./anthropic/params.ts";
import { readStream, toResponse } from "./anthropic/stream.ts";
import { contextOf, noKey, sdkTimeoutMs, timeoutsOf, type Connection } from "./shared/connection.ts";
import { liveCall } from "./shared/live-call.ts";
import { withFreshOpaque } from "./shared/opaque.ts";
import type { Capabilities, Price, Provider, ProviderKind, Rates } from "../provider.ts";

const ownBaseUrl = "https://api.anthropic.com";

const capabilities: Capabilities = { tools: true, structured: "native", embeddings: false, transcription: false };

/** The API's limit on a page; it has some twenty models. */
const mostListed = 1000;

const dollar = 1_000_000;

function rates(input: number, cachedInput: number, output: number): Rates {
  return { input: input * dollar, cachedInput: cachedInput * dollar, output: output * dollar };
}

function price(input: number, cachedInput: number, output: number): Price {
  return { ...rates(input, cachedInput, output), cacheWriteFactor: 1.25 };
}

export const anthropicKind: ProviderKind = {
  name: "anthropic",
  options: z.strictObject({}),
  env: { key: "ANTHROPIC_API_KEY", baseUrl: "ANTHROPIC_BASE_URL" },
  needsKey: (baseUrl) => baseUrl === undefined,
  /** The model that thinks plans and judges, the faster one executes, which is most calls. Current by the models that the SDK lists. */
  defaults: () => ({
    intake: "claude-sonnet-5-5",
    plan: "claude-opus-5-5",
    execute: "claude-sonnet-5-5",
    hard: "claude-opus-5-5",
    reflect: "claude-opus-5-5",
  }),
  /** https://platform.claude.com/docs/en/about-claude/pricing; not known here: batch, priority and regional prices, and what a gateway adds. */
  prices: {
    asOf: "2026-11-20",
    models: {
      "claude-fable-5-1": price(10, 0.25, 50),
      "claude-opus-5-5": price(4, 0.2, 20),
      "claude-opus-5": price(5, 0.5, 25),
      "claude-sonnet-5-5": price(2, 0.1, 10),
      "claude-sonnet-5": price(2, 0.2, 10),
      "claude-haiku-5-5": { ...price(0.1, 0.01, 0.5), longPrompt: { over: 100_000, rates: rates(0.5, 0.05, 2.5) } },
      "claude-haiku-4-5": price(1, 0.1, 5),
    },
  },
  create: createAnthropic,
};

export function createAnthropic(connection: Connection): Provider {
  const client = new Anthropic({
    apiKey: connection.apiKey ?? noKey,
    // The SDK adds /v1 itself; users who know OpenAI's convention write it too.
    baseURL: (connection.baseURL ?? ownBaseUrl).replace(/\/v1\/?$/, ""),
    timeout: sdkTimeoutMs(connection),
    // Retries are counted in one place, `routing/call.ts`.
    maxRetries: 0,
    logLevel: "off",
    ...(connection.fetch ? { fetch: connection.fetch } : {}),
  });
  return {
    name: connection.name,
    capabilities: () => capabilities,
    listModels: (signal) => {
      const context = contextOf(connection, `${connection.name} (${connection.baseURL ?? ownBaseUrl})`);
      return liveCall(context, timeoutsOf(connection), { signal }, async (live) => {
        const page = await client.models.list({ limit: mostListed }, { signal: live.signal });
        return page.data.map(({ id }) => id);
      });
    },
    generate(model, request, options) {
      const context = contextOf(connection, `${connection.name}/${model}`);
      const owner = { provider: connection.name, api: "messages", model };
      return liveCall(context, timeoutsOf(connection), options, async (live) => {
        const stream = await withFreshOpaque(request, (sent) =>
          client.messages.create(toParams(owner, sent, options), { signal: live.signal }),
        );
        return toResponse(await readStream(stream, live, context), owner);
      });
    },
  };
}
