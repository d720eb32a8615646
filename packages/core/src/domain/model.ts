/**
 * What a model is asked and what it answers, whichever provider serves it. SDK types stop at `models/`; everything
 * else speaks these.
 */
import type { JsonObject, JsonValue } from "./json.ts";

/** The stages that ask models. A route names models for each. */
export const stages = ["intake", "plan", "execute", "reflect"] as const;
export type Stage = (typeof stages)[number];

/** What a goal may route: the stages, and the execution of tasks that their planner marked as hard. */
export const routeStages = [...stages, "hard"] as const;
export type RouteStage = (typeof routeStages)[number];

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
  /** `provider/model`, as the route names it. */
  readonly asked: string;
  /** Whether it stands in a route, rather than in a goal's wish alone. */
  readonly isRouted: boolean;
  /** Micro-dollars (1e-6 USD); null where no price is known. */
  readonly costMicroUsd: number | null;
  /** By which price list: its day, `settings` or `free`. */
  readonly priceVersion: string | null;
  /** From the sending of the try that answered to its first token; null where the provider shows none before the whole. */
  readonly firstTokenMs: number | null;
  /** What was tried before and failed, in order; empty where the first try answered. */
  readonly tries: readonly FailedTry[];
}

/** One request that a provider did not answer usably, or a model of the route that was passed over without one. */
export interface FailedTry {
  /** `provider/model`. */
  readonly model: string;
  /** The code of the error, or why it was passed over: `breaker_open`, `over_limit`, `busy`. */
  readonly why: string;
  /** For people; no secrets. */
  readonly message: string;
  /** The request took this long; 0 for one that was not made. */
  readonly ms: number;
  /** When it began, counted from the call's beginning. */
  readonly atMs: number;
}

/** Parameters of a route's entry, for the providers that know them. */
export interface ModelParams {
  /** How long a reasoning model thinks. */
  readonly effort?: "none" | "low" | "medium" | "high";
  readonly temperature?: number;
  /** Lowers what a stage asks for. */
  readonly maxOutputTokens?: number;
  readonly serviceTier?: string;
}

/** One call of one model. */
export interface ModelCallOptions {
  readonly signal: AbortSignal;
  /** Text as it arrives; for watchers only, never journaled. */
  readonly onText?: (delta: string) => void;
  /** A piece of the answer arrived, whether watchers may see it or not. */
  readonly onToken?: () => void;
  readonly params?: ModelParams;
}

/** For whom a call is made, and what they said about models. */
export interface Caller {
  readonly tenantId: string;
  readonly goalId: string;
  /** The goal's own routes and then its task's, which win. */
  readonly overrides?: readonly RouteOverrides[];
  /** A task that its planner marked as hard. */
  readonly hard?: boolean;
  /** Whether money is limited, so that a model without a known price may not be asked. */
  readonly priced?: boolean;
  /** Times in a row that it was put off. */
  readonly waits?: number;
}

/** Models by stage, in order of preference, as a goal or a task names them: `provider/model`. */
export type RouteOverrides = Readonly<Partial<Record<RouteStage, readonly string[]>>>;

/** A piece of an answer under way, for watchers. A try that fails is followed by one that begins again at 0. */
export interface TextDelta {
  /** Counted from 1 in its call. */
  readonly try: number;
  /** Characters of the answer before this piece. */
  readonly offset: number;
  readonly text: string;
}

export interface RoutedCallOptions {
  readonly signal: AbortSignal;
  readonly caller: Caller;
  readonly onText?: ((delta: TextDelta) => void) | undefined;
  /** `provider/model` that answered unusably before: asked only where the route has no other. */
  readonly avoid?: readonly string[] | undefined;
}

/** A routed model: what stages are handed. Throws `ModelError`. */
export type Model = (request: ModelRequest, options: RoutedCallOptions) => Promise<ModelResponse>;

export const noUsage: Usage = { inputTokens: 0, cachedInputTokens: 0, outputTokens: 0, reasoningTokens: 0 };
