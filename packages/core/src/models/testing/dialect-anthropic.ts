/** Anthropic's Messages API as a server speaks it: https://platform.claude.com/docs/en/build-with-claude/streaming */
import type { StopReason } from "../../domain/model.ts";
import { pieces, type Dialect, type Frame, type SpokenAnswer } from "./wire.ts";

interface Block {
  readonly type: string;
  readonly tool_use_id?: string;
  readonly content?: string;
}
interface Body {
  readonly messages: readonly { readonly role: string; readonly content: readonly Block[] }[];
  readonly tools?: readonly { readonly name: string }[];
  readonly output_config?: { readonly format?: { readonly schema?: { readonly title?: string } } };
}

export const anthropicDialect: Dialect = {
  protocol: "anthropic",
  path: /\/messages$/,
  read(raw) {
    const body = raw as unknown as Body;
    const resultsOf = (content: readonly Block[]) => content.filter((block) => block.type === "tool_result");
    return {
      outputName: body.output_config?.format?.schema?.title,
      toolNames: (body.tools ?? []).map((tool) => tool.name),
      messageCount: body.messages.reduce((count, { content }) => count + (resultsOf(content).length || 1), 0),
      lastToolResults: resultsOf(body.messages.at(-1)?.content ?? []).map((block) => ({
        callId: block.tool_use_id ?? "",
        text: block.content ?? "",
      })),
    };
  },
  say(answer) {
    const { id, model, usage } = answer;
    const message = {
      id,
      model,
      type: "message",
      role: "assistant",
      content: [],
      stop_reason: null,
      stop_sequence: null,
    };
    const head = [event("message_start", { message: { ...message, usage: inputUsage(answer) } })];
    blocksOf(answer).forEach(({ start, deltas }, index) => {
      head.push(event("content_block_start", { index, content_block: start }));
      for (const delta of deltas) head.push(event("content_block_delta", { index, delta }));
      head.push(event("content_block_stop", { index }));
    });
    const stopDetails = answer.refusal ? { type: "refusal", category: null, explanation: answer.refusal } : null;
    const end = event("message_delta", {
      delta: { stop_reason: stopReasons[answer.stop], stop_sequence: null, stop_details: stopDetails },
      usage: {
        output_tokens: usage.outputTokens,
        output_tokens_details: { thinking_tokens: usage.reasoningTokens },
        input_tokens: null,
      },
    });
    return { head, tail: [end, event("message_stop", {})] };
  },
  sayError: ({ message, code, status }) => ({
    type: "error",
    error: { type: code ?? errorTypes[status] ?? "api_error", message },
  }),
};

/** Anthropic has no content filter of its own. */
const stopReasons: Record<StopReason, string> = {
  end: "end_turn",
  tool_calls: "tool_use",
  length: "max_tokens",
  content_filter: "refusal",
  refusal: "refusal",
};
const errorTypes: Readonly<Record<number, string>> = {
  400: "invalid_request_error",
  429: "rate_limit_error",
  529: "overloaded_error",
};

function blocksOf({ reasoning, text, calls }: SpokenAnswer): { start: object; deltas: object[] }[] {
  const blocks: { start: object; deltas: object[] }[] = [];
  if (reasoning !== undefined) {
    const thoughts = pieces(reasoning).map((thinking) => ({ type: "thinking_delta", thinking }));
    blocks.push({
      start: { type: "thinking", thinking: "", signature: "" },
      deltas: [...thoughts, { type: "signature_delta", signature: "signed" }],
    });
  }
  if (text)
    blocks.push({
      start: { type: "text", text: "" },
      deltas: pieces(text).map((piece) => ({ type: "text_delta", text: piece })),
    });
  for (const { id, name, argsText } of calls) {
    blocks.push({
      start: { type: "tool_use", id, name, input: {} },
      deltas: pieces(argsText).map((partial_json) => ({ type: "input_json_delta", partial_json })),
    });
  }
  return blocks;
}

function inputUsage({ usage }: SpokenAnswer) {
  const { cachedInputTokens: cached, cacheWriteTokens: written = 0 } = usage;
  return {
    input_tokens: usage.inputTokens - cached - written,
    cache_read_input_tokens: cached,
    cache_creation_input_tokens: written,
    output_tokens: 0,
  };
}

function event(type: string, data: object): Frame {
  return { event: type, data: { type, ...data } };
}
