/**
 * The port that every provider's adapter fills, and what the house must know of a kind of provider to offer it. An adapter
 * translates between `domain/model.ts` and one SDK and does nothing else: no retries, no routing, no prices.
 */
import type { z } from "zod";
import type { ModelCallOptions, ModelRequest, ModelResponse } from "../domain/model.ts";
import type { Connection } from "./adapters/shared/connection.ts";

/** What a model can be asked for. A route whose stage needs what its model lacks is refused before any call. */
export interface Capabilities {
  /** Turns with tool calls. */
  readonly tools: boolean;
  /** `native`: the provider holds the answer to the schema. `prompted`: the schema is told, the answer is only checked. */
  readonly structured: "native" | "prompted" | "none";
  readonly embeddings: boolean;
  readonly transcription: boolean;
  /** A conversation goes out written into one prompt: nothing of an earlier turn is kept as its model wrote it. */
  readonly flattened?: boolean;
  /** Tokens of prompt and answer together; absent where it is not known. */
  readonly contextTokens?: number;
}

export interface Provider {
  /** As routes name it. */
  readonly name: string;
  capabilities(model: string): Capabilities;
  /** Throws `OuterloopError`: `model_unavailable` (backoff), `rate_limited` (afterMs), `context_length`, `model_refused`, `model_output`, `timeout`, `config`, `cancelled`. */
  generate(model: string, request: ModelRequest, options: ModelCallOptions): Promise<ProviderResponse>;
  /** There where some model of it embeds. Throws as `generate`. */
  embed?(model: string, request: EmbedRequest, signal: AbortSignal): Promise<EmbedResponse>;
  /** There where some model of it transcribes. Throws as `generate`. */
  transcribe?(model: string, request: TranscribeRequest, signal: AbortSignal): Promise<TranscribeResponse>;
  /** What it serves, for a route that names no model. Throws as `generate`. */
  listModels?(signal: AbortSignal): Promise<readonly string[]>;
  /** Ends what it keeps open, as a runtime of its own. */
  close?(): Promise<void>;
}

/** What an adapter knows of an answer; the price is added above it. */
export interface ProviderResponse extends Omit<
  ModelResponse,
  "costMicroUsd" | "priceVersion" | "provider" | "asked" | "isRouted" | "firstTokenMs" | "tries"
> {
  /** Prompt tokens that were written to a cache, part of `usage.inputTokens`: some providers charge extra for them. */
  readonly cacheWriteTokens?: number;
}

export interface EmbedRequest {
  readonly texts: readonly string[];
  /** The length that the vectors must have. */
  readonly dimensions: number;
}

export interface EmbedResponse {
  /** float[dimensions] for each text, in their order. */
  readonly vectors: readonly (readonly number[])[];
  readonly inputTokens: number;
}

export interface TranscribeRequest {
  readonly audio: Uint8Array;
  /** `audio/mpeg`, `audio/wav`, … */
  readonly mediaType: string;
  /** ISO 639-1, where it is known. */
  readonly language?: string;
}

export interface TranscribeResponse {
  readonly text: string;
  /** Of the audio; null where the provider bills by tokens and does not say. */
  readonly seconds: number | null;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** A kind of provider: one file in `adapters/`, one line in `kinds.ts`. */
export interface ProviderKind {
  /** As settings name it; a provider in settings is of the kind of its own name unless it says otherwise. */
  readonly name: string;
  /** What a provider of this kind may be told beside key, address and timeouts. Unknown fields are refused. */
  readonly options: z.ZodObject;
  /** Variables of the environment that select it without any further setting. */
  readonly env: {
    readonly key?: string;
    readonly baseUrl?: string;
    /** Options of this kind, by the variable that sets them. */
    readonly options?: Readonly<Record<string, string>>;
  };
  /** Whether it works without a key at this address; without an address, whether it needs none at all. */
  needsKey(baseUrl: string | undefined): boolean;
  /** Models for stages where a route names only the provider. */
  defaults(connection: Connection): DefaultModels;
  readonly prices: PriceTable;
  /** Lengths of vectors, by model, where they are known. */
  readonly dimensions?: Readonly<Record<string, number>>;
  /** Makes no call. Throws `config` for what cannot work. */
  create(connection: Connection): Provider;
}

/** Absent: the provider has nothing for it, or (`listed`) only the server knows. */
export interface DefaultModels {
  readonly intake?: string;
  readonly plan?: string;
  readonly execute?: string;
  readonly hard?: string;
  readonly reflect?: string;
  readonly summarize?: string;
  readonly embed?: string;
  readonly transcribe?: string;
  /** Whether the first model that the server lists serves the stages that have none here. */
  readonly listed?: boolean;
}

/** List prices of the standard tier, as published on a day. */
export interface PriceTable {
  /** `YYYY-MM-DD`. */
  readonly asOf: string;
  readonly models: Readonly<Record<string, Price>>;
}

/** Micro-dollars (1e-6 USD) per million tokens, so $2 is 2_000_000. */
export interface Rates {
  readonly input: number;
  readonly cachedInput: number;
  readonly output: number;
}

export interface Price extends Rates {
  /** What a prompt token written to the cache costs, as a multiple of `input`; 1 where writing is free of charge. */
  readonly cacheWriteFactor: number;
  /** From this many prompt tokens on, the whole request costs `rates`. */
  readonly longPrompt?: { readonly over: number; readonly rates: Rates };
}

/** Turns texts into vectors. `dimensions` is fixed per model and kept with each vector. */
export interface Embedder {
  /** `provider/model`: vectors of different models are never compared. */
  readonly name: string;
  readonly dimensions: number;
  embed(texts: readonly string[], signal: AbortSignal): Promise<readonly (readonly number[])[]>;
}
