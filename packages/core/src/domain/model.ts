/**
 * What a model is asked and what it answers, whichever provider serves it. SDK types stop at `models/`; everything
 * else speaks these.
 */
import type { JsonObject, JsonValue } from "./json.ts";

/** The stages that ask models. A route names models for each. */
export const stages = ["intake", "plan", "execute", "reflect"] as const;
export type Stage = (typeof stages)[number];

export interface ToolSpec {
  readonly name: string;
  readonly description: string;
  /** JSON schema of the arguments: an object. */
  readonly parameters: JsonObject;
}

export interface ToolCall {
  /** The provider's id of the call; its result names it. */
  readonly id: string;
  readonly name: string;
  /** As the model wrote them, parsed; `{ malformed: text }` where they were not JSON. */
  readonly args: JsonObject;
}

export interface ToolResult {
  readonly callId: string;
  readonly name: string;
  readonly ok: boolean;
  readonly text: string;
}

/** A user message is a list of parts: a long part is stored once by hash, however many requests carry it. */
export interface UserMessage {
  readonly role: "user";
  readonly parts: readonly string[];
}
export interface AssistantMessage {
  readonly role: "assistant";
  readonly text: string;
  readonly toolCalls: readonly ToolCall[];
  /** What only the provider that wrote it understands (reasoning items, thinking blocks), sent back to it unchanged. */
  readonly opaque?: { readonly provider: string; readonly items: readonly JsonValue[] };
}
export interface ToolMessage {
  readonly role: "tool";
  /** The results of all calls of the assistant's turn before it, in the order of the calls. */
  readonly results: readonly ToolResult[];
}
export type Message = UserMessage | AssistantMessage | ToolMessage;

/** Asks for JSON of this shape instead of prose, by the provider's native mechanism. */
export interface OutputSpec {
  readonly name: "plan" | "verdict" | "intake";
  readonly schema: JsonObject;
}

export interface ModelRequest {
  readonly stage: Stage;
  readonly system: string;
  readonly messages: readonly Message[];
  readonly tools: readonly ToolSpec[];
  readonly output?: OutputSpec;
  readonly maxOutputTokens: number;
}

export interface Usage {
  /** Prompt tokens, those read from a cache included. */
  readonly inputTokens: number;
  readonly cachedInputTokens: number;
  /** Tokens written, reasoning included. */
  readonly outputTokens: number;
  readonly reasoningTokens: number;
}

export type StopReason = "end" | "tool_calls" | "length" | "content_filter" | "refusal";

export interface ModelResponse {
  readonly message: AssistantMessage;
  readonly stop: StopReason;
  readonly usage: Usage;
  readonly provider: string;
  /** The model that answered, as the provider names it. */
  readonly model: string;
  /** Micro-dollars (1e-6 USD); null where no price is known. */
  readonly costMicroUsd: number | null;
}

export interface ModelCallOptions {
  readonly signal: AbortSignal;
  /** Text as it arrives; for watchers only, never journaled. */
  readonly onText?: (delta: string) => void;
}

/** A routed model: what the agent's functions are handed. Throws `OuterloopError` with a `model_*` code. */
export type Model = (request: ModelRequest, options: ModelCallOptions) => Promise<ModelResponse>;

export const noUsage: Usage = { inputTokens: 0, cachedInputTokens: 0, outputTokens: 0, reasoningTokens: 0 };
