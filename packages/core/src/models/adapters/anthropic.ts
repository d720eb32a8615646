/**
 * Anthropic's Messages API with its native structured output. Thinking blocks go back as they came; they are signed
 * and bound to the model and, on newer models, to the conversation.
 * https://platform.claude.com/docs/en/build-with-claude/preserved-thinking
 */
import Anthropic from "@anthropic-ai/sdk";
import { z } from "zod";
import type {
  AssistantMessage,
  Message,
  ModelRequest,
  StopReason,
  ToolCall,
  ToolSpec,
  Usage,
} from "../../domain/model.ts";
import { contextOf, noKey, sdkTimeoutMs, timeoutsOf, type Connection } from "./shared/connection.ts";
import { endedEarly, liveCall, type LiveCall } from "./shared/live-call.ts";
import { keepOpaque, opaqueOf, withFreshOpaque, type OpaqueOwner } from "./shared/opaque.ts";
import type { FaultContext } from "./shared/provider-error.ts";
import type { Capabilities, Price, Provider, ProviderKind, ProviderResponse, Rates } from "../provider.ts";
import { isStrictSchema } from "./shared/strict-schema.ts";
import { readToolArgs } from "./shared/tool-args.ts";

type Params = Anthropic.MessageCreateParamsStreaming;
type BlockParam = Anthropic.ContentBlockParam;
type StreamEvent = Anthropic.RawMessageStreamEvent;

const ownBaseUrl = "https://api.anthropic.com";

const capabilities: Capabilities = { tools: true, structured: "native", embeddings: false, transcription: false };

const dollar = 1_000_000;

function rates(input: number, cachedInput: number, output: number): Rates {
  return { input: input * dollar, cachedInput: cachedInput * dollar, output: output * dollar };
}

function price(input: number, cachedInput: number, output: number): Price {
  return { ...rates(input, cachedInput, output), cacheWriteFactor: 1.25 };
}

export const anthropicKind: ProviderKind = {
  name: "anthropic",
  options: z.strictObject({}),
  env: { key: "ANTHROPIC_API_KEY", baseUrl: "ANTHROPIC_BASE_URL" },
  needsKey: (baseUrl) => baseUrl === undefined,
  /** The model that thinks plans and judges, the faster one executes, which is most calls. Current by the models that the SDK lists. */
  defaults: () => ({
    intake: "claude-sonnet-5-5",
    plan: "claude-opus-5-5",
    execute: "claude-sonnet-5-5",
    hard: "claude-opus-5-5",
    reflect: "claude-opus-5-5",
  }),
  /** https://platform.claude.com/docs/en/about-claude/pricing; not known here: batch, priority and regional prices, and what a gateway adds. */
  prices: {
    asOf: "2026-11-20",
    models: {
      "claude-fable-5-1": price(10, 0.25, 50),
      "claude-opus-5-5": price(4, 0.2, 20),
      "claude-opus-5": price(5, 0.5, 25),
      "claude-sonnet-5-5": price(2, 0.1, 10),
      "claude-sonnet-5": price(2, 0.2, 10),
      "claude-haiku-5-5": { ...price(0.1, 0.01, 0.5), longPrompt: { over: 100_000, rates: rates(0.5, 0.05, 2.5) } },
      "claude-haiku-4-5": price(1, 0.1, 5),
    },
  },
  create: createAnthropic,
};

export function createAnthropic(connection: Connection): Provider {
  const client = new Anthropic({
    apiKey: connection.apiKey ?? noKey,
    // The SDK adds /v1 itself; users who know OpenAI's convention write it too.
    baseURL: (connection.baseURL ?? ownBaseUrl).replace(/\/v1\/?$/, ""),
    timeout: sdkTimeoutMs(connection),
    // Retries are counted in one place, `retry.ts`.
    maxRetries: 0,
    logLevel: "off",
    ...(connection.fetch ? { fetch: connection.fetch } : {}),
  });
  return {
    name: connection.name,
    capabilities: () => capabilities,
    generate(model, request, options) {
      const context = contextOf(connection, `${connection.name}/${model}`);
      const owner = { provider: connection.name, api: "messages", model };
      return liveCall(context, timeoutsOf(connection), options, async (live) => {
        const stream = await withFreshOpaque(request, (sent) =>
          client.messages.create(toParams(owner, sent), { signal: live.signal }),
        );
        return toResponse(await readStream(stream, live, context), owner);
      });
    },
  };
}

/** The API's limit on strict tools in one request; the rest go without. */
const mostStrictTools = 20;

function toParams(owner: OpaqueOwner, request: ModelRequest): Params {
  return {
    model: owner.model,
    max_tokens: request.maxOutputTokens,
    ...(request.system ? { system: request.system } : {}),
    messages: request.messages.flatMap((message) => toMessages(message, owner)),
    stream: true,
    ...(request.tools.length > 0 ? { tools: toTools(request.tools) } : {}),
    // The format has no name of its own; the schema's title carries it.
    ...(request.output
      ? {
          output_config: {
            format: { type: "json_schema", schema: { title: request.output.name, ...request.output.schema } },
          },
        }
      : {}),
  };
}

function toTools(tools: readonly ToolSpec[]): Anthropic.Tool[] {
  let strictLeft = mostStrictTools;
  return tools.map(({ name, description, parameters }) => {
    const strict = isStrictSchema(parameters) && strictLeft-- > 0;
    return { name, description, input_schema: { ...parameters, type: "object" }, ...(strict ? { strict } : {}) };
  });
}

/** Empty text blocks and empty turns are errors here. */
function toMessages(message: Message, owner: OpaqueOwner): Anthropic.MessageParam[] {
  const turn = (role: "user" | "assistant", content: readonly BlockParam[]) =>
    content.length > 0 ? [{ role, content: [...content] }] : [];
  switch (message.role) {
    case "user":
      return turn("user", message.parts.flatMap(textBlock));
    case "assistant":
      return turn("assistant", opaqueOf<BlockParam>(message, owner) ?? plainTurn(message));
    case "tool":
      return turn(
        "user",
        message.results.map(({ callId, ok, text }) => ({
          type: "tool_result",
          tool_use_id: callId,
          content: text,
          ...(ok ? {} : { is_error: true }),
        })),
      );
  }
}

function textBlock(text: string): BlockParam[] {
  return text.trim() === "" ? [] : [{ type: "text", text }];
}

function plainTurn({ text, toolCalls }: AssistantMessage): BlockParam[] {
  return [
    ...textBlock(text),
    ...toolCalls.map(({ id, name, args }): BlockParam => ({ type: "tool_use", id, name, input: args })),
  ];
}

interface Block {
  readonly start: Anthropic.ContentBlock;
  /** Text, thinking or JSON of arguments, as its deltas add up. */
  body: string;
  signature: string;
  isWhole: boolean;
}

interface Collected {
  readonly blocks: Block[];
  model: string | undefined;
  stop: Anthropic.StopReason | null;
  explanation: string;
  usage: Partial<Anthropic.Usage>;
}

/** Ends with `message_stop`, the stream's end, or the call's signal. */
async function readStream(
  stream: AsyncIterable<StreamEvent>,
  live: LiveCall,
  context: FaultContext,
): Promise<Collected> {
  const got: Collected = { blocks: [], model: undefined, stop: null, explanation: "", usage: {} };
  for await (const event of stream) {
    switch (event.type) {
      case "message_start":
        got.model = event.message.model;
        got.usage = event.message.usage;
        live.beat();
        break;
      case "content_block_start":
        got.blocks[event.index] = { start: event.content_block, body: "", signature: "", isWhole: false };
        live.beat();
        break;
      case "content_block_delta":
        addDelta(got.blocks[event.index], event.delta, live);
        break;
      case "content_block_stop": {
        const block = got.blocks[event.index];
        if (block) block.isWhole = true;
        live.beat();
        break;
      }
      case "message_delta":
        got.stop = event.delta.stop_reason;
        got.explanation = event.delta.stop_details?.explanation ?? "";
        got.usage = { ...got.usage, ...withoutNulls(event.usage) };
        live.beat();
        break;
      case "message_stop":
        return got;
      default:
        live.beat();
    }
  }
  throw endedEarly(context);
}

function addDelta(block: Block | undefined, delta: Anthropic.RawContentBlockDelta, live: LiveCall): void {
  switch (delta.type) {
    case "text_delta":
      if (block) block.body += delta.text;
      live.token(delta.text);
      break;
    case "thinking_delta":
      if (block) block.body += delta.thinking;
      live.token();
      break;
    case "input_json_delta":
      if (block) block.body += delta.partial_json;
      live.token();
      break;
    case "signature_delta":
      if (block) block.signature += delta.signature;
      live.beat();
      break;
    default:
      live.beat();
  }
}

/** Later usage repeats what it knows and has null for the rest. */
function withoutNulls(usage: Anthropic.MessageDeltaUsage): Partial<Anthropic.Usage> {
  return Object.fromEntries(Object.entries(usage).filter(([, value]) => value !== null));
}

function toResponse(got: Collected, owner: OpaqueOwner): ProviderResponse {
  const blocks = got.blocks.filter(Boolean);
  const text = blocks.map((block) => (block.start.type === "text" ? block.start.text + block.body : "")).join("");
  // A call that the token limit cut off is not one.
  const toolCalls = blocks.flatMap((block): ToolCall[] =>
    block.start.type === "tool_use" && (block.isWhole || got.stop !== "max_tokens")
      ? [{ id: block.start.id, name: block.start.name, args: argsOf(block) }]
      : [],
  );
  const keeps =
    got.stop !== "max_tokens" &&
    blocks.some(({ start }) => start.type === "thinking" || start.type === "redacted_thinking");
  return {
    message: {
      role: "assistant",
      text: text || (got.stop === "refusal" ? got.explanation : ""),
      toolCalls,
      ...(keeps ? { opaque: keepOpaque(owner, blocks.flatMap(toParam)) } : {}),
    },
    stop: stopOf(got.stop, toolCalls.length > 0),
    usage: usageOf(got.usage),
    model: got.model ?? owner.model,
    cacheWriteTokens: got.usage.cache_creation_input_tokens ?? 0,
  };
}

function argsOf(block: Block) {
  if (block.start.type === "tool_use" && block.body === "")
    return readToolArgs(JSON.stringify(block.start.input ?? {}));
  return readToolArgs(block.body);
}

/** The block as it must be sent back, byte for byte. */
function toParam(block: Block): BlockParam[] {
  const { start, body, signature } = block;
  switch (start.type) {
    case "thinking":
      return [{ type: "thinking", thinking: start.thinking + body, signature: start.signature + signature }];
    case "redacted_thinking":
      return [{ type: "redacted_thinking", data: start.data }];
    case "text":
      return textBlock(start.text + body);
    case "tool_use":
      return [{ type: "tool_use", id: start.id, name: start.name, input: argsOf(block) }];
    default:
      return [];
  }
}

function stopOf(stop: Anthropic.StopReason | null, hasCalls: boolean): StopReason {
  if (stop === "refusal") return "refusal";
  if (stop === "max_tokens" || stop === "model_context_window_exceeded") return "length";
  return hasCalls ? "tool_calls" : "end";
}

/** `input_tokens` leaves out what was read from or written to the cache. */
function usageOf(usage: Partial<Anthropic.Usage>): Usage {
  const cached = usage.cache_read_input_tokens ?? 0;
  return {
    inputTokens: (usage.input_tokens ?? 0) + cached + (usage.cache_creation_input_tokens ?? 0),
    cachedInputTokens: cached,
    outputTokens: usage.output_tokens ?? 0,
    reasoningTokens: usage.output_tokens_details?.thinking_tokens ?? 0,
  };
}
