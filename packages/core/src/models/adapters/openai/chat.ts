/**
 * OpenAI's Chat Completions: what every compatible server speaks (Ollama, vLLM, llama.cpp, gateways), each a little
 * differently: `quirks.ts`. Of a route's parameters, effort and service tier are left out where a server does not know them.
 */
import type OpenAI from "openai";
import type {
  AssistantMessage,
  Message,
  ModelCallOptions,
  ModelParams,
  ModelRequest,
  OutputSpec,
  StopReason,
  ToolCall,
  ToolSpec,
  Usage,
} from "../../../domain/model.ts";
import { contextOf, timeoutsOf, type Connection } from "../shared/connection.ts";
import { endedEarly, liveCall, type LiveCall } from "../shared/live-call.ts";
import { createOpenAiClient } from "./client.ts";
import { capabilitiesOf, quirksOf, type Quirks } from "./quirks.ts";
import { sideCalls } from "./side-calls.ts";
import { keepOpaque, opaqueOf, withFreshOpaque, type OpaqueOwner } from "../shared/opaque.ts";
import { outputLimit } from "../shared/params.ts";
import { withPromptedSchema } from "../shared/prompted-schema.ts";
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
  const quirks = { ...quirksOf(connection), api: "chat" as const };
  const capabilities = capabilitiesOf(quirks);
  return {
    name: connection.name,
    capabilities: () => capabilities,
    ...sideCalls(client, connection, quirks),
    generate(model, request, options) {
      const context = contextOf(connection, `${connection.name}/${model}`);
      const owner = { provider: connection.name, api: "chat", model };
      return liveCall(context, timeoutsOf(connection), options, async (live) => {
        const stream = await withFreshOpaque(request, (sent) =>
          client.chat.completions.create(toParams(owner, sent, options, quirks), { signal: live.signal }),
        );
        return toResponse(await readStream(stream, live, context), request, owner, quirks);
      });
    },
  };
}

function toParams(owner: OpaqueOwner, asked: ModelRequest, options: ModelCallOptions, quirks: Quirks): Params {
  const request = quirks.structured === "json_schema" ? asked : withPromptedSchema(asked);
  return {
    model: owner.model,
    messages: [
      { role: "system", content: request.system },
      ...request.messages.flatMap((message) => toMessages(message, owner)),
    ],
    stream: true,
    ...(quirks.streamUsage && { stream_options: { include_usage: true } }),
    [quirks.maxTokens]: outputLimit(request, options),
    ...(quirks.store && { store: false }),
    ...(request.tools.length > 0 && { tools: request.tools.map((tool) => toTool(tool, quirks)) }),
    ...(request.output && toFormat(request.output, quirks)),
    ...toSampling(options.params, quirks),
  };
}

function toFormat({ name, schema }: OutputSpec, { structured }: Quirks): Pick<Params, "response_format"> {
  switch (structured) {
    case "json_schema":
      return {
        response_format: { type: "json_schema", json_schema: { name, schema, strict: isStrictSchema(schema) } },
      };
    case "json_object":
      return { response_format: { type: "json_object" } };
    case "prompted":
      return {};
  }
}

function toSampling({ effort, temperature, serviceTier }: ModelParams = {}, quirks: Quirks): Partial<Params> {
  return {
    ...(temperature !== undefined && { temperature }),
    ...(effort && quirks.effort === "reasoning_effort" && { reasoning_effort: effort }),
    // A field of OpenRouter, unknown to the SDK's types.
    ...(effort && quirks.effort === "reasoning" && { reasoning: { effort } }),
    ...(serviceTier !== undefined &&
      quirks.serviceTier && { service_tier: serviceTier as NonNullable<Params["service_tier"]> }),
  };
}

function toTool(
  { name, description, parameters }: ToolSpec,
  { strictTools }: Quirks,
): OpenAI.Chat.ChatCompletionFunctionTool {
  const strict = strictTools && isStrictSchema(parameters);
  return { type: "function", function: { name, description, parameters, ...(strict && { strict }) } };
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
  const [kept] = opaqueOf<Readonly<Record<string, string>>>(message, owner) ?? [];
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

interface Thoughts {
  readonly reasoning_content?: string | null;
  readonly reasoning?: string | null;
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
    const delta = choice.delta as typeof choice.delta & Thoughts;
    got.text += delta.content ?? "";
    got.refusal += delta.refusal ?? "";
    // Read under either name: servers of one flavour changed theirs between versions.
    got.reasoning += delta.reasoning_content ?? delta.reasoning ?? "";
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

function toResponse(got: Collected, request: ModelRequest, owner: OpaqueOwner, quirks: Quirks): ProviderResponse {
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
      ...(keeps ? { opaque: keepOpaque(owner, [{ [quirks.reasoning]: got.reasoning }]) } : {}),
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
