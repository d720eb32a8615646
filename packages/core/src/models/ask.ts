/** One model call with its duration and its metrics; shared by all stages. */
import { storable } from "../domain/json.ts";
import type { CallText } from "../domain/model-delta.ts";
import type { Metrics } from "../metrics.ts";
import type { Redactor } from "../redaction.ts";
import type { Caller, Model, ModelRequest, ModelResponse } from "../domain/model.ts";

export interface Asked {
  readonly response: ModelResponse;
  readonly durationMs: number;
}

export interface Asking {
  readonly model: Model;
  readonly metrics: Metrics;
  readonly signal: AbortSignal;
  readonly caller: Caller;
  /** Told of the answer's text as it arrives. */
  readonly text: CallText;
  /** Keeps the process's secrets out of what is remembered of the answer, here and in the journal alike. */
  readonly redactor: Pick<Redactor, "kept">;
  /** See `RoutedCallOptions`. */
  readonly avoid?: readonly string[] | undefined;
}

/** @throws OuterloopError what the models of the route said, or `cancelled` */
export async function ask(
  request: ModelRequest,
  { model: routed, metrics, text, redactor, ...options }: Asking,
): Promise<Asked> {
  const start = performance.now();
  const answer = await routed(request, { ...options, onText: (delta) => text.onText(delta) }).finally(() => text.end());
  const response = { ...answer, message: redactor.kept(storable(answer.message)) };
  // Goals may name any number of models.
  const model = response.isRouted ? response.model : "other";
  const labels = { stage: request.stage, provider: response.provider, model };
  const { usage } = response;
  metrics.tokens.inc({ ...labels, type: "input" }, usage.inputTokens - usage.cachedInputTokens);
  metrics.tokens.inc({ ...labels, type: "cached" }, usage.cachedInputTokens);
  metrics.tokens.inc({ ...labels, type: "output" }, usage.outputTokens - usage.reasoningTokens);
  metrics.tokens.inc({ ...labels, type: "reasoning" }, usage.reasoningTokens);
  if (response.costMicroUsd !== null) metrics.costUsd.inc(labels, response.costMicroUsd / 1e6);
  const durationMs = Math.round(performance.now() - start);
  const asked = response.isRouted ? response.asked : "other";
  metrics.modelTries.inc({ stage: request.stage, model: asked, outcome: "answered" });
  metrics.modelSeconds.observe({ stage: request.stage, model: asked }, durationMs / 1000);
  if (response.firstTokenMs !== null)
    metrics.firstTokenSeconds.observe({ stage: request.stage, model: asked }, response.firstTokenMs / 1000);
  return { response, durationMs };
}
