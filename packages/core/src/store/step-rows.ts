/** From a call that was made to what a commit journals of it. */
import { describeRequest } from "../domain/request-refs.ts";
import { ModelError, type OuterloopError } from "../domain/errors.ts";
import type { NewEvent } from "../domain/event.ts";
import type { FailedTry, ModelRequest, ModelResponse } from "../domain/model.ts";
import type { MessageRef, ModelStep, ModelStepOutput, StepStage } from "../domain/step.ts";
import type { Settlement, StepRow } from "./commit.ts";
import { sha256 } from "./ids.ts";

/** Of one call; a route has few models and few tries each. */
const maxToldTries = 20;

export interface ModelCall {
  readonly attempt: number;
  readonly seq: number;
  readonly stage: StepStage;
  readonly request: ModelRequest;
  readonly added: readonly MessageRef<string>[];
  readonly elided: readonly number[];
  readonly response: ModelResponse;
  readonly durationMs: number;
  /** Of the journal: what all workers that live can read. */
  readonly format: number;
}

export interface JournaledModelCall {
  readonly step: ModelStep;
  readonly row: StepRow;
  readonly prompts: readonly { readonly hash: string; readonly body: string }[];
  readonly blobs: readonly { readonly hash: string; readonly body: string }[];
  readonly settle: Settlement;
  readonly event: NewEvent;
}

/** @param task the task's id and key, null for steps of a planner */
export function journalModelCall(
  call: ModelCall,
  task: { readonly id: string; readonly key: string } | null,
): JournaledModelCall {
  const { response } = call;
  const described = describeRequest(call.request, call.added, call.elided, sha256, call.format);
  const { asked, tries, firstTokenMs, priceVersion } = response;
  const output: ModelStepOutput = {
    message: response.message,
    stop: response.stop,
    provider: response.provider,
    model: response.model,
    ...(asked !== `${response.provider}/${response.model}` && { asked }),
    ...(firstTokenMs !== null && { firstTokenMs }),
    ...(priceVersion !== null && { priceVersion }),
    ...(tries.length > 0 && { tries }),
  };
  return {
    step: {
      kind: "model",
      attempt: call.attempt,
      seq: call.seq,
      stage: call.stage,
      durationMs: call.durationMs,
      input: described.refs,
      output,
      usage: response.usage,
      costMicroUsd: response.costMicroUsd,
      requestHash: described.requestHash,
    },
    row: {
      attempt: call.attempt,
      seq: call.seq,
      phase: "result",
      stage: call.stage,
      kind: "model",
      name: `${response.provider}/${response.model}`,
      input: described.refs,
      output,
      ok: true,
      request_hash: described.requestHash,
      input_tokens: response.usage.inputTokens,
      cached_input_tokens: response.usage.cachedInputTokens,
      output_tokens: response.usage.outputTokens,
      reasoning_tokens: response.usage.reasoningTokens,
      cost_micro_usd: response.costMicroUsd,
      duration_ms: call.durationMs,
    },
    prompts: described.prompts,
    blobs: described.blobs,
    settle: {
      steps: 1,
      tokens: response.usage.inputTokens + response.usage.outputTokens,
      cost_micro_usd: response.costMicroUsd ?? 0,
      cost_unknown: response.costMicroUsd === null,
    },
    event: {
      type: "step.model",
      ...(task === null ? {} : { task: task.id }),
      data: {
        ...(task === null ? {} : { key: task.key }),
        stage: call.stage,
        attempt: call.attempt,
        seq: call.seq,
        model: `${response.provider}/${response.model}`,
        tokens: response.usage.inputTokens + response.usage.outputTokens,
        ms: call.durationMs,
        calls: response.message.toolCalls.map((each) => each.name),
        ...usageOf(response),
      },
    },
  };
}

/** What watchers see of a call's cost beside its tokens. */
function usageOf({ usage, costMicroUsd, firstTokenMs, tries }: ModelResponse) {
  return {
    usage: {
      input: usage.inputTokens,
      cached: usage.cachedInputTokens,
      output: usage.outputTokens,
      reasoning: usage.reasoningTokens,
    },
    usd: costMicroUsd === null ? null : costMicroUsd / 1e6,
    ...(firstTokenMs !== null && { first_token_ms: firstTokenMs }),
    ...(tries.length > 0 && { tries: tries.map(({ model, why }) => ({ model, why })) }),
  };
}

/** What of a failed call goes with the event that tells it: each request that was made, and why it failed. */
export function triesOf(thrown: OuterloopError): { readonly tries?: readonly FailedTry[] } {
  return thrown instanceof ModelError && thrown.tries.length > 0 ? { tries: thrown.tries.slice(-maxToldTries) } : {};
}

/** What a call that failed costs its budgets: nothing, unless it was billed all the same. */
export function settleBilled({ billed }: Pick<OuterloopError, "billed">): Settlement {
  if (billed === null) return { steps: 0, tokens: 0, cost_micro_usd: 0, cost_unknown: false };
  const { tokens, costMicroUsd } = billed;
  return { steps: 1, tokens, cost_micro_usd: costMicroUsd ?? 0, cost_unknown: costMicroUsd === null };
}
