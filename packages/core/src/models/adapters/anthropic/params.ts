/** A request in the words of the Messages API. Temperature is left out: the API has none any more. */
import type Anthropic from "@anthropic-ai/sdk";
import type {
  AssistantMessage,
  Message,
  ModelCallOptions,
  ModelRequest,
  OutputSpec,
  ToolSpec,
} from "../../../domain/model.ts";
import { opaqueOf, type OpaqueOwner } from "../shared/opaque.ts";
import { outputLimit } from "../shared/params.ts";
import { isStrictSchema } from "../shared/strict-schema.ts";

type Params = Anthropic.MessageCreateParamsStreaming;
type BlockParam = Anthropic.ContentBlockParam;

/**
 * Five minutes, renewed by each use. The system prompt is the same for every call of a stage; a conversation is marked only
 * where it goes on, since writing costs a quarter more than not to. https://platform.claude.com/docs/en/build-with-claude/prompt-caching
 */
const shortCache: Anthropic.CacheControlEphemeral = { type: "ephemeral" };

/** The API's limit on strict tools in one request; the rest go without. */
const mostStrictTools = 20;

export function toParams(owner: OpaqueOwner, request: ModelRequest, options: ModelCallOptions): Params {
  const { effort, serviceTier } = options.params ?? {};
  const format = request.output && toFormat(request.output);
  const isThinking = effort !== undefined && effort !== "none";
  const isLoop = request.tools.length > 0;
  const messages = request.messages.flatMap((message) => toMessages(message, owner));
  return {
    model: owner.model,
    max_tokens: outputLimit(request, options),
    ...(request.system && { system: [{ type: "text", text: request.system, cache_control: shortCache }] }),
    messages: isLoop ? withCacheMarks(messages) : messages,
    stream: true,
    ...(isLoop && { tools: toTools(request.tools) }),
    ...(effort === "none" && { thinking: { type: "disabled" } }),
    ...((format || isThinking) && { output_config: { ...(format && { format }), ...(isThinking && { effort }) } }),
    ...(isServiceTier(serviceTier) && { service_tier: serviceTier }),
  };
}

/** The format has no name of its own; the schema's title carries it. */
function toFormat({ name, schema }: OutputSpec): Anthropic.JSONOutputFormat {
  return { type: "json_schema", schema: { title: name, ...schema } };
}

function isServiceTier(tier: string | undefined): tier is NonNullable<Params["service_tier"]> {
  return tier === "auto" || tier === "standard_only";
}

/**
 * Marks the ends of this and the last request, so that a conversation is read from the cache however many results its
 * last turn brought: a mark is compared with the 20 blocks before it only. With that of the system prompt, which tools
 * precede, these are 3 of the 4 marks that the API takes.
 */
function withCacheMarks(messages: readonly Anthropic.MessageParam[]): Anthropic.MessageParam[] {
  const asked = messages.flatMap(({ role }, at) => (role === "user" ? [at] : []));
  const marked = new Set(asked.slice(-2));
  return messages.map((message, at) => (marked.has(at) ? withCacheMark(message) : message));
}

/** The content of a user's turn is always a list of texts and results, which all can be marked. */
function withCacheMark(message: Anthropic.MessageParam): Anthropic.MessageParam {
  const blocks = message.content as readonly (Anthropic.TextBlockParam | Anthropic.ToolResultBlockParam)[];
  const last = blocks.length - 1;
  return {
    role: "user",
    content: blocks.map((block, at) => (at < last ? block : { ...block, cache_control: shortCache })),
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

export function textBlock(text: string): BlockParam[] {
  return text.trim() === "" ? [] : [{ type: "text", text }];
}

function plainTurn({ text, toolCalls }: AssistantMessage): BlockParam[] {
  return [
    ...textBlock(text),
    ...toolCalls.map(({ id, name, args }): BlockParam => ({ type: "tool_use", id, name, input: args })),
  ];
}
