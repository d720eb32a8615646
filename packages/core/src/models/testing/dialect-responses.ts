/** OpenAI's Responses API as a server speaks it: https://developers.openai.com/api/reference/resources/responses/streaming-events */
import type { JsonObject } from "../../domain/json.ts";
import { pieces, type Dialect, type Frame, type SpokenAnswer } from "./wire.ts";

interface Body {
  readonly input: readonly {
    readonly type?: string;
    readonly role?: string;
    readonly call_id?: string;
    readonly output?: string;
  }[];
  readonly tools?: readonly { readonly name: string }[];
  readonly text?: { readonly format?: { readonly name?: string } };
}

export const responsesDialect: Dialect = {
  protocol: "responses",
  path: /\/responses$/,
  read(raw) {
    const body = raw as unknown as Body;
    const last = body.input.findLastIndex((item) => item.type !== "function_call_output");
    return {
      outputName: body.text?.format?.name,
      toolNames: (body.tools ?? []).map((tool) => tool.name),
      messageCount: body.input.filter((item) => item.role !== undefined || item.type === "function_call_output").length,
      lastToolResults: body.input
        .slice(last + 1)
        .map((item) => ({ callId: item.call_id ?? "", text: item.output ?? "" })),
    };
  },
  say(answer) {
    const items = itemsOf(answer);
    const shell = { id: answer.id, object: "response", model: answer.model, created_at: 0, output: [] };
    const head = [event("response.created", { response: { ...shell, status: "in_progress" } })];
    items.forEach((item, index) => head.push(...itemFrames(item, index)));
    const isWhole = answer.stop !== "length" && answer.stop !== "content_filter";
    const reason = answer.stop === "length" ? "max_output_tokens" : "content_filter";
    const response = {
      ...shell,
      status: isWhole ? "completed" : "incomplete",
      incomplete_details: isWhole ? null : { reason },
      output: items,
      usage: usageOf(answer),
    };
    return { head, tail: [event(isWhole ? "response.completed" : "response.incomplete", { response })] };
  },
  sayError: ({ message, code }) => ({ error: { message, type: code ?? "error", code: code ?? null, param: null } }),
};

function itemsOf(answer: SpokenAnswer): JsonObject[] {
  const { id, text, refusal, reasoning, calls } = answer;
  const items: JsonObject[] = [];
  if (reasoning !== undefined)
    items.push({ type: "reasoning", id: `rs_${id}`, summary: [], encrypted_content: reasoning });
  const content = [
    ...(text ? [{ type: "output_text", text, annotations: [] }] : []),
    ...(refusal ? [{ type: "refusal", refusal }] : []),
  ];
  if (content.length > 0 || calls.length === 0)
    items.push({ type: "message", id: `msg_${id}`, role: "assistant", status: "completed", content });
  for (const call of calls) {
    items.push({
      type: "function_call",
      id: `fc_${call.id}`,
      call_id: call.id,
      name: call.name,
      arguments: call.argsText,
      status: "completed",
    });
  }
  return items;
}

function itemFrames(item: JsonObject, index: number): Frame[] {
  const place = { output_index: index, content_index: 0, item_id: item["id"] };
  const frames = [
    event("response.output_item.added", {
      output_index: index,
      item: { ...item, content: [], arguments: "", status: "in_progress" },
    }),
  ];
  for (const part of (item["content"] ?? []) as readonly { type: string; text?: string; refusal?: string }[]) {
    const type = part.type === "refusal" ? "response.refusal.delta" : "response.output_text.delta";
    for (const delta of pieces(part.text ?? part.refusal ?? "")) frames.push(event(type, { ...place, delta }));
  }
  for (const delta of pieces((item["arguments"] ?? "") as string)) {
    frames.push(event("response.function_call_arguments.delta", { ...place, delta }));
  }
  frames.push(event("response.output_item.done", { output_index: index, item }));
  return frames;
}

function usageOf({ usage }: SpokenAnswer) {
  return {
    input_tokens: usage.inputTokens,
    input_tokens_details: { cached_tokens: usage.cachedInputTokens, cache_write_tokens: usage.cacheWriteTokens ?? 0 },
    output_tokens: usage.outputTokens,
    output_tokens_details: { reasoning_tokens: usage.reasoningTokens },
    total_tokens: usage.inputTokens + usage.outputTokens,
  };
}

function event(type: string, data: object): Frame {
  return { event: type, data: { type, ...data } };
}
