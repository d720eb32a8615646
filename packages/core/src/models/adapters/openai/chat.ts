/**
 * OpenAI's Chat Completions: what every compatible server speaks (Ollama, vLLM, llama.cpp, gateways), each a little
 * differently. Only OpenAI's own host is sent what the others may not know.
 */
import type OpenAI from "openai";
import type {
  AssistantMessage,
  Message,
  ModelRequest,
  StopReason,
  ToolCall,
  ToolSpec,
  Usage,
} from "../../../domain/model.ts";
import { contextOf, timeoutsOf, type Connection } from "../shared/connection.ts";
import { endedEarly, liveCall, type LiveCall } from "../shared/live-call.ts";
import { createOpenAiClient, isOpenAiHost, listModels, openAiCapabilities } from "./client.ts";
import { keepOpaque, opaqueOf, withFreshOpaque, type OpaqueOwner } from "../shared/opaque.ts";
import type { FaultContext } from "../shared/provider-error.ts";
import type { Provider, ProviderResponse } from "../../provider.ts";
import { isStrictSchema } from "../shared/strict-schema.ts";
import { readToolArgs } from "../shared/tool-args.ts";

type Params = OpenAI.Chat.ChatCompletionCreateParamsStreaming;
type ChatMessage = OpenAI.Chat.ChatCompletionMessageParam;
type Chunk = OpenAI.Chat.ChatCompletionChunk;
type CallDelta = OpenAI.Chat.ChatCompletionChunk.Choice.Delta.ToolCall;

export function createOpenAiChat(connection: Connection): Provider {
  const client = createOpenAiClient(connection);
  const isOwn = isOpenAiHost(connection.baseURL);
  return {
    name: connection.name,
    capabilities: () => openAiCapabilities,
    listModels: (signal) => listModels(connection, signal),
    generate(model, request, options) {
      const context = contextOf(connection, `${connection.name}/${model}`);
      const owner = { provider: connection.name, api: "chat", model };
      return liveCall(context, timeoutsOf(connection), options, async (live) => {
        const stream = await withFreshOpaque(request, (sent) =>
          client.chat.completions.create(toParams(owner, sent, isOwn), { signal: live.signal }),
        );
        return toResponse(await readStream(stream, live, context), request, owner);
      });
    },
  };
}

function toParams(owner: OpaqueOwner, request: ModelRequest, isOwn: boolean): Params {
  return {
    model: owner.model,
    messages: [
      { role: "system", content: request.system },
      ...request.messages.flatMap((message) => toMessages(message, owner)),
    ],
    stream: true,
    stream_options: { include_usage: true },
    // The older name is the one that every compatible server knows; OpenAI's reasoning models reject it.
    ...(isOwn
      ? { max_completion_tokens: request.maxOutputTokens, store: false }
      : { max_tokens: request.maxOutputTokens }),
    ...(request.tools.length > 0 ? { tools: request.tools.map((tool) => toTool(tool, isOwn)) } : {}),
    ...(request.output
      ? {
          response_format: {
            type: "json_schema",
            json_schema: {
              name: request.output.name,
              schema: request.output.schema,
              strict: isStrictSchema(request.output.schema),
            },
          },
        }
      : {}),
  };
}

function toTool({ name, description, parameters }: ToolSpec, isOwn: boolean): OpenAI.Chat.ChatCompletionFunctionTool {
  return {
    type: "function",
    function: { name, description, parameters, ...(isOwn && isStrictSchema(parameters) ? { strict: true } : {}) },
  };
}

/** Parts are joined: many compatible servers take text only, no lists. */
function toMessages(message: Message, owner: OpaqueOwner): ChatMessage[] {
  switch (message.role) {
    case "user":
      return [{ role: "user", content: message.parts.join("\n\n") }];
    case "assistant":
      return [toAssistant(message, owner)];
    case "tool":
      return message.results.map(({ callId, ok, text }) => ({
        role: "tool",
        tool_call_id: callId,
        content: ok ? text : `Error: ${text}`,
      }));
  }
}

function toAssistant(message: AssistantMessage, owner: OpaqueOwner): ChatMessage {
  const [kept] = opaqueOf<{ reasoning_content: string }>(message, owner) ?? [];
  return {
    role: "assistant",
    content: message.text,
    ...(message.toolCalls.length > 0
      ? {
          tool_calls: message.toolCalls.map(({ id, name, args }) => ({
            id,
            type: "function",
            function: { name, arguments: JSON.stringify(args) },
          })),
        }
      : {}),
    ...kept,
  };
}

interface Collected {
  text: string;
  refusal: string;
  /** Not in OpenAI's protocol; compatible servers with thinking models want it back while tools are being called. */
  reasoning: string;
  readonly calls: { index: number; id: string | undefined; name: string; args: string }[];
  finish: string | undefined;
  usage: OpenAI.CompletionUsage | undefined;
  model: string | undefined;
}

/** Usage comes in a chunk of its own after the last choice, so it reads to the stream's end. */
async function readStream(stream: AsyncIterable<Chunk>, live: LiveCall, context: FaultContext): Promise<Collected> {
  const got: Collected = {
    text: "",
    refusal: "",
    reasoning: "",
    calls: [],
    finish: undefined,
    usage: undefined,
    model: undefined,
  };
  for await (const chunk of stream) {
    got.model ??= chunk.model;
    if (chunk.usage) got.usage = chunk.usage;
    const choice = chunk.choices?.[0];
    if (!choice) {
      live.beat();
      continue;
    }
    const delta = choice.delta as typeof choice.delta & { reasoning_content?: string | null };
    got.text += delta.content ?? "";
    got.refusal += delta.refusal ?? "";
    got.reasoning += delta.reasoning_content ?? "";
    for (const call of delta.tool_calls ?? []) addCall(got, call);
    if (choice.finish_reason) got.finish = choice.finish_reason;
    live.token(delta.content ?? delta.refusal ?? undefined);
  }
  if (got.finish === undefined) throw endedEarly(context);
  return got;
}

/** Some servers give every call index 0 and tell them apart by id only. */
function addCall(got: Collected, delta: CallDelta): void {
  const known = got.calls.findLast((call) => call.index === delta.index);
  const isNew = known === undefined || (delta.id && known.id && delta.id !== known.id);
  if (isNew) {
    got.calls.push({
      index: delta.index,
      id: delta.id,
      name: delta.function?.name ?? "",
      args: delta.function?.arguments ?? "",
    });
  } else {
    known.id ??= delta.id;
    known.name += delta.function?.name ?? "";
    known.args += delta.function?.arguments ?? "";
  }
}

function toResponse(got: Collected, request: ModelRequest, owner: OpaqueOwner): ProviderResponse {
  // The last call of an answer cut off by the token limit is not whole.
  const whole = got.finish === "length" ? got.calls.slice(0, -1) : got.calls;
  // Ids that a server left out are made unique in the conversation by the turn's place in it.
  const toolCalls = whole.map(({ id, name, args }, index): ToolCall => ({
    id: id || `call_${request.messages.length}_${index}`,
    name,
    args: readToolArgs(args),
  }));
  const keeps = got.reasoning !== "" && toolCalls.length > 0;
  return {
    message: {
      role: "assistant",
      text: got.text || got.refusal,
      toolCalls,
      ...(keeps ? { opaque: keepOpaque(owner, [{ reasoning_content: got.reasoning }]) } : {}),
    },
    stop: stopOf(got, toolCalls.length > 0),
    usage: usageOf(got.usage),
    model: got.model || owner.model,
    cacheWriteTokens: got.usage?.prompt_tokens_details?.cache_write_tokens ?? 0,
  };
}

function stopOf(got: Collected, hasCalls: boolean): StopReason {
  if (got.refusal) return "refusal";
  if (got.finish === "length") return "length";
  if (got.finish === "content_filter") return "content_filter";
  // Not read from `finish`: some servers say "stop" with tool calls.
  return hasCalls ? "tool_calls" : "end";
}

function usageOf(usage: OpenAI.CompletionUsage | undefined): Usage {
  return {
    inputTokens: usage?.prompt_tokens ?? 0,
    cachedInputTokens: usage?.prompt_tokens_details?.cached_tokens ?? 0,
    outputTokens: usage?.completion_tokens ?? 0,
    reasoningTokens: usage?.completion_tokens_details?.reasoning_tokens ?? 0,
  };
}
