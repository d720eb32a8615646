/**
 * The port that every provider's adapter fills. An adapter translates between `domain/model.ts` and one SDK and does
 * nothing else: no retries, no routing, no prices.
 */
import type { ModelCallOptions, ModelRequest, ModelResponse } from "../domain/model.ts";

export interface Provider {
  readonly name: string;
  /** Throws `OuterloopError`: `model_unavailable` (backoff), `rate_limited` (afterMs), `context_length`, `model_refused`, `model_output`, `timeout`, `cancelled`. */
  generate(model: string, request: ModelRequest, options: ModelCallOptions): Promise<ProviderResponse>;
}

/** What an adapter knows of an answer; the price is added above it. */
export interface ProviderResponse extends Omit<ModelResponse, "costMicroUsd" | "provider"> {
  /** Prompt tokens that were written to a cache, part of `usage.inputTokens`: some providers charge extra for them. */
  readonly cacheWriteTokens?: number;
}

/** Turns texts into vectors. `dimensions` is fixed per model and kept with each vector. */
export interface Embedder {
  /** `provider/model`: vectors of different models are never compared. */
  readonly name: string;
  readonly dimensions: number;
  embed(texts: readonly string[], signal: AbortSignal): Promise<readonly (readonly number[])[]>;
}
