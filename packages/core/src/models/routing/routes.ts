/**
 * Which model serves which stage, decided from settings (DESIGN §8), and the routed `Model` that the rest of the house
 * calls: adapter, retries, price.
 */
import type { PriceCall } from "../../domain/budget.ts";
import { OuterloopError } from "../../domain/errors.ts";
import { stages, type Model, type Stage } from "../../domain/model.ts";
import { boundAnswer, defaultPayloadLimits } from "../../domain/payload.ts";
import { anthropicKind } from "../adapters/anthropic.ts";
import type { Connection } from "../adapters/shared/connection.ts";
import { createEmbedder } from "./embed-route.ts";
import { choiceFor, type ModelChoice, type ModelSettings, type ProviderName } from "./model-settings.ts";
import { isOpenAiHost, listModels } from "../adapters/openai/client.ts";
import { openAiKind } from "../adapters/openai/kind.ts";
import { costOf, mostCostOf } from "./prices.ts";
import type { Embedder, Provider } from "../provider.ts";
import { defaultRetryPolicy, sleepFor, withRetry, type RetryTools } from "./retry.ts";

/** What routing is handed: who serves offline, and, for tests, the network, randomness and time. */
export interface ModelParts {
  readonly offline: Provider;
  readonly localEmbedder: Embedder;
  readonly fetch?: typeof fetch;
  readonly random?: RetryTools["random"];
  readonly sleep?: RetryTools["sleep"];
}

export interface Models {
  readonly model: Model;
  readonly embedder: Embedder;
  /** What a call of a stage costs at most, by the price table. */
  price(stage: Stage): PriceCall;
  /** True where no stage leaves this process. */
  readonly offline: boolean;
  /** Each stage and embedding with its `provider/model`, for people to read. */
  describe(): readonly { readonly stage: Stage | "embed"; readonly route: string }[];
}

interface Route {
  readonly provider: Provider;
  /** The model's name; may ask the server for it, once. */
  readonly model: (signal: AbortSignal) => Promise<string>;
  readonly describe: () => string;
  /** undefined until the server was asked for it. */
  readonly known: () => string | undefined;
}

/** Throws `config` for settings that cannot work; makes no call. */
export function createModels(settings: ModelSettings, parts: ModelParts): Models {
  const choices = stages.map((stage) => [stage, choiceFor(stage, settings)] as const);
  const used = new Set(choices.map(([, choice]) => choice.provider));
  const providers = Object.fromEntries([...used].map((name) => [name, createProvider(name, settings, parts)]));
  const listed = listedModel(openAiConnection(settings, parts));
  const routes = Object.fromEntries(
    choices.map(([stage, choice]) => [
      stage,
      createRoute(stage, choice, providers[choice.provider]!, settings, listed),
    ]),
  ) as Record<Stage, Route>;
  const offline = choices.every(([, choice]) => choice.provider === "offline");
  const embedder = createEmbedder(settings, openAiConnection(settings, parts), parts.localEmbedder, offline);
  const policy = { ...defaultRetryPolicy, ...(settings.modelTries ? { tries: settings.modelTries } : {}) };
  const limits = settings.limits ?? defaultPayloadLimits;
  const { random = Math.random, sleep = sleepFor } = parts;
  return {
    embedder,
    offline,
    async model(request, options) {
      const { provider, model } = routes[request.stage];
      const { signal, onText } = options;
      let begunAt = 0;
      let firstTokenMs: number | null = null;
      let tried = 0;
      const generate = async () => {
        const name = await model(signal);
        begunAt = performance.now();
        tried += 1;
        let offset = 0;
        return provider.generate(name, request, {
          signal,
          onToken: () => (firstTokenMs ??= Math.round(performance.now() - begunAt)),
          ...(onText !== undefined && {
            onText: (text: string) => {
              onText({ try: tried, offset, text });
              offset += text.length;
            },
          }),
        });
      };
      const response = await withRetry(generate, {
        policy,
        signal: options.signal,
        random,
        sleep,
      });
      const { cacheWriteTokens, ...answer } = response;
      const costMicroUsd = costOf(provider.name, answer.model, answer.usage, cacheWriteTokens);
      const bound = boundAnswer(answer.message, limits);
      if (!bound.ok)
        throw new OuterloopError("too_large", `${provider.name}/${answer.model}: ${bound.why}`, {
          billed: { tokens: answer.usage.inputTokens + answer.usage.outputTokens, costMicroUsd },
        });
      return { ...answer, message: bound.message, provider: provider.name, costMicroUsd, firstTokenMs, tries: [] };
    },
    price: (stage) => (inputTokens, outputTokens) => {
      const { provider, known } = routes[stage];
      return mostCostOf(provider.name, known() ?? "", inputTokens, outputTokens);
    },
    describe: () => [
      ...stages.map((stage) => ({ stage, route: routes[stage].describe() })),
      { stage: "embed" as const, route: embedder.name },
    ],
  };
}

function createRoute(
  stage: Stage,
  choice: ModelChoice,
  provider: Provider,
  settings: ModelSettings,
  listed: ListedModel,
): Route {
  const isUnknown = choice.provider === "openai" && choice.model === undefined && !isOpenAiHost(settings.openAiBaseUrl);
  if (isUnknown)
    return {
      provider,
      model: listed.ask,
      describe: () => `openai/${listed.known() ?? "(the server's first model)"}`,
      known: listed.known,
    };
  const defaults: Partial<Record<Stage, string>> =
    choice.provider === "openai"
      ? openAiKind.defaults({ name: "openai", baseURL: settings.openAiBaseUrl })
      : choice.provider === "anthropic"
        ? anthropicKind.defaults({ name: "anthropic" })
        : {};
  const model = choice.model ?? defaults[stage] ?? "rules";
  return { provider, model: async () => model, describe: () => `${choice.provider}/${model}`, known: () => model };
}

interface ListedModel {
  readonly ask: (signal: AbortSignal) => Promise<string>;
  readonly known: () => string | undefined;
}

/** Asked at the first call, since the server may start after us; kept once it answered. */
function listedModel(connection: Connection): ListedModel {
  let known: string | undefined;
  return {
    known: () => known,
    async ask(signal) {
      known ??= (await listModels(connection, signal))[0];
      if (known !== undefined) return known;
      throw new OuterloopError(
        "config",
        `openai (${connection.baseURL}): the server lists no model; load one, or name it: OUTERLOOP_MODEL=openai/MODEL`,
      );
    },
  };
}

function createProvider(name: ProviderName, settings: ModelSettings, parts: ModelParts): Provider {
  switch (name) {
    case "openai": {
      requireReach("openai", "OPENAI", settings.openAiKey, settings.openAiBaseUrl);
      return openAiKind.create({
        ...openAiConnection(settings, parts),
        options: settings.openAiApi === undefined ? {} : { api: settings.openAiApi },
      });
    }
    case "anthropic":
      requireReach("anthropic", "ANTHROPIC", settings.anthropicKey, settings.anthropicBaseUrl);
      return anthropicKind.create(
        connectionOf("anthropic", settings.anthropicKey, settings.anthropicBaseUrl, settings, parts),
      );
    case "offline":
      return parts.offline;
  }
}

function requireReach(name: string, prefix: string, key: string | undefined, baseURL: string | undefined): void {
  if (!key && !baseURL) {
    throw new OuterloopError(
      "config",
      `a model of ${name} is selected, but there is no key: set ${prefix}_API_KEY, or ${prefix}_BASE_URL for a server that needs none`,
    );
  }
  // The URL itself is not repeated: it may carry a password.
  if (baseURL && !/^https?:/.test(URL.parse(baseURL)?.protocol ?? "")) {
    throw new OuterloopError("config", `${prefix}_BASE_URL is not a URL; write it like http://localhost:11434/v1`);
  }
}

function openAiConnection(settings: ModelSettings, parts: ModelParts): Connection {
  return connectionOf("openai", settings.openAiKey, settings.openAiBaseUrl, settings, parts);
}

function connectionOf(
  name: string,
  apiKey: string | undefined,
  baseURL: string | undefined,
  settings: ModelSettings,
  parts: ModelParts,
): Connection {
  const { requestTimeoutMs, firstTokenTimeoutMs, betweenTokensTimeoutMs } = settings;
  return {
    name,
    apiKey: apiKey || undefined,
    baseURL: baseURL || undefined,
    fetch: parts.fetch,
    timeouts: {
      ...(requestTimeoutMs ? { totalMs: requestTimeoutMs } : {}),
      ...(firstTokenTimeoutMs ? { firstTokenMs: firstTokenTimeoutMs } : {}),
      ...(betweenTokensTimeoutMs ? { betweenTokensMs: betweenTokensTimeoutMs } : {}),
    },
  };
}
