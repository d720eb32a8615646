/**
 * How servers that speak OpenAI's protocol differ from it, as data. A flavour is named by the provider's option `flavor`,
 * else known by its address, else `compatible`: what most servers take. A wrong guess is mended by options, not by code.
 */
import type { Capabilities } from "../../provider.ts";
import type { Connection } from "../shared/connection.ts";

export interface Quirks {
  /** Which API is spoken unless the option `api` says otherwise. */
  readonly api: "responses" | "chat";
  readonly maxTokens: "max_completion_tokens" | "max_tokens";
  /** Whether tools may be marked `strict`. */
  readonly strictTools: boolean;
  /** Whether a stream is asked for its usage by `stream_options`. */
  readonly streamUsage: boolean;
  /** Whether `store: false` is known: only OpenAI keeps answers. */
  readonly store: boolean;
  /** How JSON of a shape is asked for. `json_object` and `prompted` also tell the schema in the prompt. */
  readonly structured: Structured;
  readonly auth: "bearer" | "api-key";
  /** Where a thinking model's thoughts stand in a message, read and sent back. */
  readonly reasoning: "reasoning_content" | "reasoning";
  /** How a model is told how long to think; null: it cannot be, and the model's own default holds. */
  readonly effort: "reasoning_effort" | "reasoning" | null;
  readonly serviceTier: boolean;
  readonly listsModels: boolean;
  readonly embeddings: boolean;
  readonly transcription: boolean;
}

export const structuredWays = ["json_schema", "json_object", "prompted"] as const;
export type Structured = (typeof structuredWays)[number];

export const flavors = [
  "openai",
  "azure",
  "openrouter",
  "ollama",
  "lmstudio",
  "vllm",
  "llamacpp",
  "compatible",
] as const;
export type Flavor = (typeof flavors)[number];

/** For what is not known: the older names, nothing that a strict parser could reject, and the schema as llama.cpp and vLLM take it. */
const compatible: Quirks = {
  api: "chat",
  maxTokens: "max_tokens",
  strictTools: false,
  streamUsage: true,
  store: false,
  structured: "json_schema",
  auth: "bearer",
  reasoning: "reasoning_content",
  effort: null,
  serviceTier: false,
  listsModels: true,
  embeddings: true,
  transcription: true,
};

export const quirks: Readonly<Record<Flavor, Quirks>> = {
  /** https://developers.openai.com/api/reference/resources/chat: reasoning models reject `max_tokens`. */
  openai: {
    ...compatible,
    api: "responses",
    maxTokens: "max_completion_tokens",
    strictTools: true,
    store: true,
    effort: "reasoning_effort",
    serviceTier: true,
  },
  /**
   * https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle: the base URL ends in /openai/v1 and needs no
   * `api_version`; with an older one the base URL names the deployment.
   */
  azure: {
    ...compatible,
    maxTokens: "max_completion_tokens",
    strictTools: true,
    auth: "api-key",
    effort: "reasoning_effort",
    // It lists what a region offers, not what is deployed.
    listsModels: false,
  },
  /**
   * https://openrouter.ai/docs/api-reference/overview, https://openrouter.ai/docs/use-cases/reasoning-tokens. It transcribes
   * by an API of its own: JSON with base64.
   */
  openrouter: {
    ...compatible,
    strictTools: true,
    reasoning: "reasoning",
    effort: "reasoning",
    transcription: false,
  },
  /** https://docs.ollama.com/api/openai-compatibility */
  ollama: { ...compatible, reasoning: "reasoning", effort: "reasoning_effort" },
  /** https://lmstudio.ai/docs/api/openai-api, https://lmstudio.ai/docs/developer/api-changelog: effort on /v1/responses only. */
  lmstudio: { ...compatible, transcription: false },
  /** https://docs.vllm.ai/en/latest/serving/openai_compatible_server/, https://docs.vllm.ai/en/v0.26.0/features/reasoning_outputs/ */
  vllm: { ...compatible, maxTokens: "max_completion_tokens", reasoning: "reasoning", effort: "reasoning_effort" },
  /** https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md */
  llamacpp: { ...compatible, transcription: false },
  compatible,
};

/** By host or by the port that a server has when nobody changes it; 8000 and 8080 are everybody's. */
export function flavorOf(baseURL: string | undefined): Flavor {
  if (isOpenAiHost(baseURL)) return "openai";
  const { hostname = "", port = "" } = URL.parse(baseURL ?? "") ?? {};
  const isUnder = (domain: string) => hostname === domain || hostname.endsWith(`.${domain}`);
  if (isUnder("openrouter.ai")) return "openrouter";
  if (["openai.azure.com", "cognitiveservices.azure.com", "services.ai.azure.com"].some(isUnder)) return "azure";
  if (port === "11434") return "ollama";
  if (port === "1234") return "lmstudio";
  return "compatible";
}

/** Whether a base URL is OpenAI's own, regional hosts included; compatible servers take fewer options and have other models. */
export function isOpenAiHost(baseURL: string | undefined): boolean {
  if (!baseURL) return true;
  const hostname = URL.parse(baseURL)?.hostname ?? "";
  return hostname === "api.openai.com" || hostname.endsWith(".api.openai.com");
}

/** What holds for a connection: its flavour, and what its options say against it. */
export function quirksOf({ baseURL, options = {} }: Pick<Connection, "baseURL" | "options">): Quirks {
  const { flavor, api, structured } = options as { flavor?: Flavor; api?: Quirks["api"]; structured?: Structured };
  const base = quirks[flavor ?? flavorOf(baseURL)];
  return { ...base, ...(api && { api }), ...(structured && { structured }) };
}

export function capabilitiesOf({ api, structured, embeddings, transcription }: Quirks): Capabilities {
  // Responses has one way only, and whoever serves it serves that.
  const isNative = api === "responses" || structured === "json_schema";
  return { tools: true, structured: isNative ? "native" : "prompted", embeddings, transcription };
}
