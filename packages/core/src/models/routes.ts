/**
 * Which model serves which stage, decided from settings (DESIGN §8), and the routed `Model` that the rest of the house
 * calls: adapter, retries, price.
 */
import type { PriceCall } from "../domain/budget.ts";
import { OuterloopError } from "../domain/errors.ts";
import { stages, type Model, type Stage } from "../domain/model.ts";
import { createAnthropic } from "./anthropic.ts";
import type { Connection } from "./connection.ts";
import { createEmbedder } from "./embed-route.ts";
import { choiceFor, type ModelChoice, type ModelSettings, type ProviderName } from "./model-settings.ts";
import { createOpenAiChat } from "./openai-chat.ts";
import { firstListedModel, isOpenAiHost } from "./openai-client.ts";
import { createOpenAiResponses } from "./openai-responses.ts";
import { costOf, mostCostOf } from "./prices.ts";
import type { Embedder, Provider } from "./provider.ts";
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

/**
 * The model that thinks plans and judges, the faster one executes, which is most calls. Current by the models that the
 * SDKs of the catalog list.
 */
const defaultModels = {
  openai: { intake: "gpt-6.1-terra", plan: "gpt-6.1-sol", execute: "gpt-6.1-terra", reflect: "gpt-6.1-sol" },
  anthropic: {
    intake: "claude-sonnet-5-5",
    plan: "claude-opus-5-5",
    execute: "claude-sonnet-5-5",
    reflect: "claude-opus-5-5",
  },
  offline: { intake: "rules", plan: "rules", execute: "rules", reflect: "rules" },
} as const satisfies Record<ProviderName, Record<Stage, string>>;

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
  const { random = Math.random, sleep = sleepFor } = parts;
  return {
    embedder,
    offline,
    async model(request, options) {
      const { provider, model } = routes[request.stage];
      const response = await withRetry(async () => provider.generate(await model(options.signal), request, options), {
        policy,
        signal: options.signal,
        random,
        sleep,
      });
      const { cacheWriteTokens, ...answer } = response;
      const costMicroUsd = costOf(provider.name, answer.model, answer.usage, cacheWriteTokens);
      return { ...answer, provider: provider.name, costMicroUsd };
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
  const model = choice.model ?? defaultModels[choice.provider][stage];
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
    ask: async (signal) => (known ??= await firstListedModel(connection, signal)),
  };
}

function createProvider(name: ProviderName, settings: ModelSettings, parts: ModelParts): Provider {
  switch (name) {
    case "openai": {
      requireReach("openai", "OPENAI", settings.openAiKey, settings.openAiBaseUrl);
      const api = settings.openAiApi ?? (isOpenAiHost(settings.openAiBaseUrl) ? "responses" : "chat");
      const connection = openAiConnection(settings, parts);
      return api === "responses" ? createOpenAiResponses(connection) : createOpenAiChat(connection);
    }
    case "anthropic":
      requireReach("anthropic", "ANTHROPIC", settings.anthropicKey, settings.anthropicBaseUrl);
      return createAnthropic(connectionOf(settings.anthropicKey, settings.anthropicBaseUrl, settings, parts));
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
  return connectionOf(settings.openAiKey, settings.openAiBaseUrl, settings, parts);
}

function connectionOf(
  apiKey: string | undefined,
  baseURL: string | undefined,
  settings: ModelSettings,
  parts: ModelParts,
): Connection {
  const { requestTimeoutMs, firstTokenTimeoutMs, betweenTokensTimeoutMs } = settings;
  return {
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
