/** OpenAI's Chat Completions as a server speaks it: https://developers.openai.com/api/reference/resources/chat */
import { promptedOutput } from "../adapters/shared/prompted-schema.ts";
import { pieces, type Dialect, type Frame, type SpokenAnswer } from "./wire.ts";

interface Body {
  readonly messages: readonly { readonly role: string; readonly content?: string; readonly tool_call_id?: string }[];
  readonly tools?: readonly { readonly function: { readonly name: string } }[];
  readonly response_format?: { readonly json_schema?: { readonly name?: string } };
}

export const chatDialect: Dialect = {
  protocol: "chat",
  path: /\/chat\/completions$/,
  read(raw) {
    const body = raw as unknown as Body;
    const last = body.messages.findLastIndex((message) => message.role !== "tool");
    return {
      outputName: body.response_format?.json_schema?.name ?? promptedOutput(systemOf(body)),
      toolNames: (body.tools ?? []).map((tool) => tool.function.name),
      messageCount: body.messages.filter((message) => message.role !== "system").length,
      lastToolResults: body.messages
        .slice(last + 1)
        .map((message) => ({ callId: message.tool_call_id ?? "", text: message.content ?? "" })),
    };
  },
  say(answer) {
    const chunk = (delta: object, finish: string | null = null): Frame => ({
      data: { ...shellOf(answer), choices: [{ index: 0, delta, finish_reason: finish }] },
    });
    const head = [chunk({ role: "assistant", content: "" })];
    if (answer.reasoning !== undefined) head.push(chunk({ reasoning_content: answer.reasoning }));
    for (const content of pieces(answer.text)) head.push(chunk({ content }));
    for (const refusal of pieces(answer.refusal ?? "")) head.push(chunk({ refusal }));
    answer.calls.forEach(({ id, name, argsText }, index) => {
      head.push(chunk({ tool_calls: [{ index, id, type: "function", function: { name, arguments: "" } }] }));
      for (const piece of pieces(argsText))
        head.push(chunk({ tool_calls: [{ index, function: { arguments: piece } }] }));
    });
    const finish = answer.stop === "end" || answer.stop === "refusal" ? "stop" : answer.stop;
    return {
      head,
      tail: [
        chunk({}, finish),
        { data: { ...shellOf(answer), choices: [], usage: usageOf(answer) } },
        { data: "[DONE]" },
      ],
    };
  },
  sayError: ({ message, code }) => ({ error: { message, type: code ?? "error", code: code ?? null, param: null } }),
};

function systemOf({ messages }: Body): string {
  return messages.find(({ role }) => role === "system")?.content ?? "";
}

function shellOf({ id, model }: SpokenAnswer) {
  return { id, model, object: "chat.completion.chunk", created: 0 };
}

function usageOf({ usage }: SpokenAnswer) {
  return {
    prompt_tokens: usage.inputTokens,
    prompt_tokens_details: {
      cached_tokens: usage.cachedInputTokens,
      cache_write_tokens: usage.cacheWriteTokens ?? 0,
    },
    completion_tokens: usage.outputTokens,
    completion_tokens_details: { reasoning_tokens: usage.reasoningTokens },
    total_tokens: usage.inputTokens + usage.outputTokens,
  };
}
