/** An answer of the Messages API, read from its stream. */
import type Anthropic from "@anthropic-ai/sdk";
import type { StopReason, ToolCall, Usage } from "../../../domain/model.ts";
import type { ProviderResponse } from "../../provider.ts";
import { endedEarly, type LiveCall } from "../shared/live-call.ts";
import { keepOpaque, type OpaqueOwner } from "../shared/opaque.ts";
import type { FaultContext } from "../shared/provider-error.ts";
import { readToolArgs } from "../shared/tool-args.ts";
import { textBlock } from "./params.ts";

type BlockParam = Anthropic.ContentBlockParam;
type StreamEvent = Anthropic.RawMessageStreamEvent;

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
export async function readStream(
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

export function toResponse(got: Collected, owner: OpaqueOwner): ProviderResponse {
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
