/** Streams as servers really send them, but for which the scripted server has no words: quirks, and failures midway. */
import { expect, test } from "vitest";
import type { ModelRequest } from "../../domain/model.ts";
import { createAnthropic } from "./anthropic.ts";
import { createOpenAiChat } from "./openai/chat.ts";
import { createOpenAiResponses } from "./openai/responses.ts";

const request: ModelRequest = {
  stage: "execute",
  system: "s",
  messages: [{ role: "user", parts: ["p"] }],
  tools: [],
  maxOutputTokens: 100,
};
const options = { signal: new AbortController().signal };

/** A connection whose server answers every request with these events. */
function streaming(events: readonly object[]) {
  const body = events
    .map((event) => `event: ${(event as { type?: string }).type ?? "message"}\ndata: ${JSON.stringify(event)}\n\n`)
    .join("");
  return {
    name: "openai",
    fetch: async () => new Response(body, { headers: { "content-type": "text/event-stream" } }),
  };
}

const chunk = (delta: object, finish_reason: string | null = null) => ({
  id: "c",
  model: "m",
  choices: [{ index: 0, delta, finish_reason }],
});
const call = (index: number, args: string, id?: string, name?: string) =>
  chunk({ tool_calls: [{ index, ...(id ? { id } : {}), function: { ...(name ? { name } : {}), arguments: args } }] });

function chat(events: readonly object[]) {
  return createOpenAiChat({ baseURL: "http://server.test/v1", ...streaming(events) }).generate("m", request, options);
}

test("calls whose pieces are interleaved are put together by their index", async () => {
  const answer = await chat([
    call(0, "", "a", "read"),
    call(1, "", "b", "write"),
    call(0, '{"x":'),
    call(1, '{"y":'),
    call(0, "1}"),
    call(1, "2}"),
    chunk({}, "tool_calls"),
  ]);
  expect(answer.message.toolCalls).toEqual([
    { id: "a", name: "read", args: { x: 1 } },
    { id: "b", name: "write", args: { y: 2 } },
  ]);
});

test("calls that all have index 0, a stop reason that denies them, and no usage are understood", async () => {
  const answer = await chat([call(0, '{"x":1}', "a", "read"), call(0, '{"y":2}', "b", "write"), chunk({}, "stop")]);
  expect(answer.message.toolCalls.map(({ id }) => id)).toEqual(["a", "b"]);
  expect(answer).toMatchObject({ stop: "tool_calls", usage: { inputTokens: 0, outputTokens: 0 } });
});

test("calls without ids get some that are unique in the conversation", async () => {
  const answer = await chat([
    call(0, "{}", undefined, "read"),
    call(1, "{}", undefined, "write"),
    chunk({}, "tool_calls"),
  ]);
  expect(answer.message.toolCalls.map(({ id }) => id)).toEqual(["call_1_0", "call_1_1"]);
});

test("a call that the token limit cut off is not made", async () => {
  const answer = await chat([call(0, '{"x":1}', "a", "read"), call(1, '{"y', "b", "write"), chunk({}, "length")]);
  expect(answer.message.toolCalls.map(({ id }) => id)).toEqual(["a"]);
  expect(answer.stop).toBe("length");
});

test("a stream that ends politely without a finish reason broke off", async () => {
  await expect(chat([chunk({ content: "half" })])).rejects.toMatchObject({
    code: "model_unavailable",
    retry: "backoff",
  });
});

test.each([
  ["rate_limit_exceeded", "rate_limited"],
  ["server_error", "model_unavailable"],
  ["bio_policy", "model_refused"],
])("Responses: a response that failed by %s is %s", async (code, expected) => {
  const provider = createOpenAiResponses(
    streaming([{ type: "response.failed", response: { error: { code, message: "no" } } }]),
  );
  await expect(provider.generate("m", request, options)).rejects.toMatchObject({ code: expected });
});

test("Responses: an error event is read by its code", async () => {
  const provider = createOpenAiResponses(
    streaming([{ type: "error", code: "context_length_exceeded", message: "no" }]),
  );
  await expect(provider.generate("m", request, options)).rejects.toMatchObject({ code: "context_length" });
});

test.each([
  ["overloaded_error", "model_unavailable"],
  ["rate_limit_error", "rate_limited"],
])("Messages: an error event of %s is %s", async (type, expected) => {
  const provider = createAnthropic({ ...streaming([{ type: "error", error: { type, message: "no" } }]) });
  await expect(provider.generate("m", request, options)).rejects.toMatchObject({ code: expected, retry: "backoff" });
});
