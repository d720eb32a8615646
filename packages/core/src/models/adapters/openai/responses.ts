/**
 * OpenAI's Responses API, stateless: `store: false`, so the whole conversation goes with every request, and reasoning
 * items come back encrypted and are sent again. https://developers.openai.com/api/docs/guides/reasoning
 */
import type OpenAI from "openai";
import type {
  AssistantMessage,
  Message,
  ModelCallOptions,
  ModelRequest,
  StopReason,
  ToolCall,
  ToolSpec,
  Usage,
} from "../../../domain/model.ts";
import { contextOf, timeoutsOf, type Connection } from "../shared/connection.ts";
import { endedEarly, liveCall, type LiveCall } from "../shared/live-call.ts";
import { createOpenAiClient } from "./client.ts";
import { capabilitiesOf, quirksOf } from "./quirks.ts";
import { sideCalls } from "./side-calls.ts";
import { keepOpaque, opaqueOf, withFreshOpaque, type OpaqueOwner } from "../shared/opaque.ts";
import { outputLimit } from "../shared/params.ts";
import { faultError, type FaultContext } from "../shared/provider-error.ts";
import type { Provider, ProviderResponse } from "../../provider.ts";
import { isStrictSchema } from "../shared/strict-schema.ts";
import { readToolArgs } from "../shared/tool-args.ts";

type Params = OpenAI.Responses.ResponseCreateParamsStreaming;
type InputItem = OpenAI.Responses.ResponseInputItem;
type OutputItem = OpenAI.Responses.ResponseOutputItem;
type Response = OpenAI.Responses.Response;
type StreamEvent = OpenAI.Responses.ResponseStreamEvent;

export function createOpenAiResponses(connection: Connection): Provider {
  const client = createOpenAiClient(connection);
  const quirks = { ...quirksOf(connection), api: "responses" as const };
  const capabilities = capabilitiesOf(quirks);
  return {
    name: connection.name,
    capabilities: () => capabilities,
    ...sideCalls(client, connection, quirks),
    generate(model, request, options) {
      const context = contextOf(connection, `${connection.name}/${model}`);
      const owner = { provider: connection.name, api: "responses", model };
      return liveCall(context, timeoutsOf(connection), options, async (live) => {
        const stream = await withFreshOpaque(request, (sent) =>
          client.responses.create(toParams(owner, sent, options), { signal: live.signal }),
        );
        const { response, items } = await readStream(stream, live, context);
        return toResponse(response, items, owner);
      });
    },
  };
}

/** The API's own minimum. */
const fewestOutputTokens = 16;

function toParams(owner: OpaqueOwner, request: ModelRequest, options: ModelCallOptions): Params {
  const { effort, temperature, serviceTier } = options.params ?? {};
  return {
    model: owner.model,
    instructions: request.system,
    input: request.messages.flatMap((message) => toInput(message, owner)),
    max_output_tokens: Math.max(outputLimit(request, options), fewestOutputTokens),
    store: false,
    stream: true,
    // Models from before reasoning reject it.
    ...(/^(gpt-[34]|chatgpt)/.test(owner.model) ? {} : { include: ["reasoning.encrypted_content"] }),
    ...(effort && { reasoning: { effort } }),
    ...(temperature !== undefined && { temperature }),
    ...(serviceTier !== undefined && { service_tier: serviceTier as NonNullable<Params["service_tier"]> }),
    ...(request.tools.length > 0 ? { tools: request.tools.map(toTool) } : {}),
    ...(request.output
      ? {
          text: {
            format: {
              type: "json_schema",
              name: request.output.name,
              schema: request.output.schema,
              strict: isStrictSchema(request.output.schema),
            },
          },
        }
      : {}),
  };
}

/** `strict` is always said: the API takes an absent one for true. */
function toTool({ name, description, parameters }: ToolSpec): OpenAI.Responses.FunctionTool {
  return { type: "function", name, description, parameters, strict: isStrictSchema(parameters) };
}

function toInput(message: Message, owner: OpaqueOwner): InputItem[] {
  switch (message.role) {
    case "user":
      return [{ role: "user", content: message.parts.map((text) => ({ type: "input_text", text })) }];
    case "assistant":
      return [...(opaqueOf<InputItem>(message, owner) ?? plainTurn(message))];
    case "tool":
      return message.results.map(({ callId, ok, text }) => ({
        type: "function_call_output",
        call_id: callId,
        output: ok ? text : `Error: ${text}`,
      }));
  }
}

function plainTurn({ text, toolCalls }: AssistantMessage): InputItem[] {
  const calls = toolCalls.map(({ id, name, args }): InputItem => ({
    type: "function_call",
    call_id: id,
    name,
    arguments: JSON.stringify(args),
  }));
  return text ? [{ role: "assistant", content: text }, ...calls] : calls;
}

/** Ends with the response's last event, the stream's end, or the call's signal. */
async function readStream(stream: AsyncIterable<StreamEvent>, live: LiveCall, context: FaultContext) {
  const items: OutputItem[] = [];
  for await (const event of stream) {
    switch (event.type) {
      case "response.output_text.delta":
      case "response.refusal.delta":
        live.token(event.delta);
        break;
      case "response.function_call_arguments.delta":
      case "response.reasoning_summary_text.delta":
        live.token();
        break;
      case "response.output_item.done":
        items[event.output_index] = event.item;
        live.beat();
        break;
      case "response.completed":
      case "response.incomplete":
        return { response: event.response, items: items.length > 0 ? items.filter(Boolean) : event.response.output };
      case "response.failed": {
        const { code = "server_error", message = "the response failed" } = event.response.error ?? {};
        throw faultError({ kind: code, message }, context);
      }
      default:
        live.beat();
    }
  }
  throw endedEarly(context);
}

function toResponse(response: Response, items: readonly OutputItem[], owner: OpaqueOwner): ProviderResponse {
  const parts = items.flatMap((item) => (item.type === "message" ? item.content : []));
  const refusal = parts.flatMap((part) => (part.type === "refusal" ? [part.refusal] : [])).join("\n\n");
  const messages = items.flatMap((item) => (item.type === "message" ? [textOf(item)] : []));
  // A call that the token limit cut off is not one.
  const toolCalls = items.flatMap((item): ToolCall[] =>
    item.type === "function_call" && item.status !== "incomplete"
      ? [{ id: item.call_id, name: item.name, args: readToolArgs(item.arguments) }]
      : [],
  );
  const keeps =
    response.status === "completed" &&
    items.some((item) => item.type === "reasoning" || (item.type === "message" && item.phase));
  return {
    message: {
      role: "assistant",
      text: messages.filter(Boolean).join("\n\n") || refusal,
      toolCalls,
      ...(keeps ? { opaque: keepOpaque(owner, items) } : {}),
    },
    stop: stopOf(response, refusal !== "", toolCalls.length > 0),
    usage: usageOf(response.usage),
    model: response.model ?? owner.model,
    cacheWriteTokens: response.usage?.input_tokens_details?.cache_write_tokens ?? 0,
  };
}

function textOf(message: OpenAI.Responses.ResponseOutputMessage): string {
  return message.content.map((part) => (part.type === "output_text" ? part.text : "")).join("");
}

function stopOf(response: Response, isRefusal: boolean, hasCalls: boolean): StopReason {
  if (isRefusal) return "refusal";
  if (response.status === "incomplete")
    return response.incomplete_details?.reason === "content_filter" ? "content_filter" : "length";
  return hasCalls ? "tool_calls" : "end";
}

/** Compatible servers leave details out, against the SDK's types. */
function usageOf(usage: OpenAI.Responses.ResponseUsage | undefined | null): Usage {
  return {
    inputTokens: usage?.input_tokens ?? 0,
    cachedInputTokens: usage?.input_tokens_details?.cached_tokens ?? 0,
    outputTokens: usage?.output_tokens ?? 0,
    reasoningTokens: usage?.output_tokens_details?.reasoning_tokens ?? 0,
  };
}
