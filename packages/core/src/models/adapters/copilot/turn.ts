/** One turn of a session, read from its events. */
import type { SessionEvent, SessionEventPayload } from "@github/copilot-sdk";
import type { OuterloopError } from "../../../domain/errors.ts";
import type { StopReason, ToolCall, Usage } from "../../../domain/model.ts";
import type { ProviderResponse } from "../../provider.ts";
import type { LiveCall } from "../shared/live-call.ts";
import type { Fault } from "../shared/provider-error.ts";
import { readToolArgs } from "../shared/tool-args.ts";
import { fromToolName } from "./prompt.ts";

type UsageData = SessionEventPayload<"assistant.usage">["data"];
type PermissionData = SessionEventPayload<"permission.requested">["data"];

interface CallText {
  readonly name: string;
  /** As the model wrote them, as far as they came. */
  args: string;
}

export interface TurnReader {
  readonly on: (event: SessionEvent) => void;
  /** Ends with the answer, or the error that the runtime reports; it may be abandoned. */
  readonly response: Promise<ProviderResponse>;
}

export function createTurnReader(
  live: LiveCall,
  toError: (fault: Fault) => OuterloopError,
  brokeOff: () => OuterloopError,
): TurnReader {
  const turn = Promise.withResolvers<ProviderResponse>();
  // A call that was stopped awaits it no more, while the runtime still ends the turn.
  turn.promise.catch(() => undefined);
  const calls = new Map<string, CallText>();
  let text = "";
  let usage: UsageData | undefined;
  const callOf = (id: string, name = "") => {
    const call = calls.get(id) ?? { name, args: "" };
    calls.set(id, call);
    return call;
  };
  const settle = (content?: string) => {
    if (usage) turn.resolve(toResponse(content || text, calls, usage));
  };
  return {
    response: turn.promise,
    on(event) {
      switch (event.type) {
        case "assistant.message_delta":
          text += event.data.deltaContent;
          return live.token(event.data.deltaContent);
        case "assistant.tool_call_delta":
          callOf(event.data.toolCallId, event.data.toolName).args += event.data.inputDelta;
          return live.token();
        case "assistant.reasoning_delta":
          return live.token();
        case "assistant.streaming_delta":
          return live.beat();
        case "assistant.usage":
          usage ??= event.data;
          return live.beat();
        case "assistant.message":
          for (const { toolCallId, name, arguments: args } of event.data.toolRequests ?? [])
            // What was streamed is as the model wrote it; here what is no JSON is gone.
            callOf(toolCallId, name).args ||= JSON.stringify(args ?? {});
          return settle(event.data.content);
        case "permission.requested":
          noteCall(event.data.permissionRequest, callOf);
          return;
        // There is no message of an answer that was cut off, which the runtime means to continue, nor of one with bad calls.
        case "assistant.turn_end":
          return settle();
        // One with a status is told by the request's own answer, which also says when to try again.
        case "model.call_failure":
          if (event.data.statusCode === undefined)
            turn.reject(toError({ kind: "", message: event.data.errorMessage ?? "the answer broke off" }));
          return;
        case "session.error":
          return turn.reject(toError(faultOf(event.data)));
        case "session.idle":
          return turn.reject(brokeOff());
        default:
          // The runtime tells much of itself, and none of that is the model's.
          return;
      }
    },
  };
}

/** A call without arguments streams nothing of itself. */
function noteCall(asked: PermissionData["permissionRequest"], callOf: (id: string, name: string) => CallText): void {
  if (asked.kind === "custom-tool" && asked.toolCallId) callOf(asked.toolCallId, asked.toolName);
}

/** Meanings of the runtime's `errorType` that no status tells. */
const statuses: Readonly<Record<string, number>> = {
  authentication: 401,
  authorization: 403,
  quota: 402,
  rate_limit: 429,
  context_limit: 413,
};

function faultOf(data: SessionEventPayload<"session.error">["data"]): Fault {
  const { errorType, errorCode, message, statusCode } = data;
  const isTokenless = /no github oauth token|not authenticated/i.test(message);
  return {
    status: statusCode ?? (isTokenless ? 401 : statuses[errorType]),
    kind: [errorCode, errorType].filter(Boolean).join(" "),
    message,
  };
}

function toResponse(text: string, calls: ReadonlyMap<string, CallText>, usage: UsageData): ProviderResponse {
  const written = [...calls].map(([id, { name, args }]): ToolCall => ({
    id,
    name: fromToolName(name),
    args: readToolArgs(args),
  }));
  // The last call of an answer cut off by the token limit is not whole.
  const toolCalls = usage.finishReason === "length" ? written.slice(0, -1) : written;
  return {
    message: { role: "assistant", text, toolCalls },
    stop: stopOf(usage, text, toolCalls.length > 0),
    usage: usageOf(usage),
    model: usage.model,
    cacheWriteTokens: usage.cacheWriteTokens ?? 0,
  };
}

/** The runtime keeps the words of a refusal to itself: what is left of one is an answer without any. */
function stopOf({ finishReason, contentFilterTriggered }: UsageData, text: string, hasCalls: boolean): StopReason {
  if (finishReason === "length") return "length";
  if (finishReason === "content_filter" || contentFilterTriggered) return "content_filter";
  if (hasCalls) return "tool_calls";
  return text === "" ? "refusal" : "end";
}

function usageOf(usage: UsageData): Usage {
  return {
    inputTokens: usage.inputTokens ?? 0,
    cachedInputTokens: usage.cacheReadTokens ?? 0,
    outputTokens: usage.outputTokens ?? 0,
    reasoningTokens: usage.reasoningTokens ?? 0,
  };
}
