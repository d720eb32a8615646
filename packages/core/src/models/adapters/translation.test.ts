/** What each provider is sent, in its own words: the shapes that the case suite cannot compare across protocols. */
import { afterEach, expect, test } from "vitest";
import type { Message, ModelRequest } from "../../domain/model.ts";
import { outputSpecs } from "../../domain/plan.ts";
import { createAnthropic } from "./anthropic.ts";
import { createOpenAiChat } from "./openai/chat.ts";
import { openAiKind } from "./openai/kind.ts";
import { flavorOf } from "./openai/quirks.ts";
import { createOpenAiResponses } from "./openai/responses.ts";
import type { Provider } from "../provider.ts";
import { startScriptedServer, type ScriptedServer } from "../testing/scripted-server.ts";

const parameters = { type: "object", properties: {}, required: [], additionalProperties: false };
const request: ModelRequest = {
  stage: "execute",
  system: "You answer.",
  messages: [{ role: "user", parts: ["one", "two"] }],
  tools: [{ name: "list_files", description: "lists", parameters }],
  output: outputSpecs.verdict,
  maxOutputTokens: 500,
};

let server: ScriptedServer;
afterEach(() => server.close());

/** Two turns: the first thinks and calls a tool, whose failure the second is told. Returns both requests as sent. */
async function converse(create: (server: ScriptedServer) => Provider, model: string) {
  server = await startScriptedServer(({ number }) =>
    number === 1
      ? { reasoning: "thought", text: "Looking.", toolCalls: [{ name: "list_files", args: {}, id: "call_1" }] }
      : { text: "ok" },
  );
  const provider = create(server);
  const options = { signal: new AbortController().signal };
  const { message } = await provider.generate(model, request, options);
  const results = [{ callId: "call_1", name: "list_files", ok: false, text: "no files" }];
  const next: ModelRequest = { ...request, messages: [...request.messages, message, { role: "tool", results }] };
  await provider.generate(model, next, options);
  // The same turn as another provider's: nothing opaque, but all that was said.
  await provider.generate(`${model}-other`, next, options);
  return server.seen.map(({ body }) => body);
}

test("Responses", async () => {
  const [first, second, plain] = await converse(
    ({ openAiBaseUrl }) => createOpenAiResponses({ name: "openai", baseURL: openAiBaseUrl }),
    "gpt-6.1-sol",
  );
  expect(first).toEqual({
    model: "gpt-6.1-sol",
    instructions: "You answer.",
    input: [
      {
        role: "user",
        content: [
          { type: "input_text", text: "one" },
          { type: "input_text", text: "two" },
        ],
      },
    ],
    max_output_tokens: 500,
    store: false,
    stream: true,
    include: ["reasoning.encrypted_content"],
    tools: [{ type: "function", name: "list_files", description: "lists", parameters, strict: true }],
    text: { format: { type: "json_schema", name: "verdict", schema: outputSpecs.verdict.schema, strict: true } },
  });
  const output = { type: "function_call_output", call_id: "call_1", output: "Error: no files" };
  expect(second?.["input"]).toMatchObject([
    { role: "user" },
    { type: "reasoning", id: "rs_r1", summary: [], encrypted_content: "thought" },
    { type: "message", role: "assistant", content: [{ type: "output_text", text: "Looking." }] },
    { type: "function_call", call_id: "call_1", name: "list_files", arguments: "{}" },
    output,
  ]);
  expect(plain?.["input"]).toEqual([
    expect.objectContaining({ role: "user" }),
    { role: "assistant", content: "Looking." },
    { type: "function_call", call_id: "call_1", name: "list_files", arguments: "{}" },
    output,
  ]);
});

test("Chat Completions of a compatible server", async () => {
  const [first, second, plain] = await converse(
    ({ openAiBaseUrl }) => createOpenAiChat({ name: "openai", baseURL: openAiBaseUrl }),
    "qwen",
  );
  expect(first).toEqual({
    model: "qwen",
    messages: [
      { role: "system", content: "You answer." },
      { role: "user", content: "one\n\ntwo" },
    ],
    max_tokens: 500,
    stream: true,
    stream_options: { include_usage: true },
    tools: [{ type: "function", function: { name: "list_files", description: "lists", parameters } }],
    response_format: {
      type: "json_schema",
      json_schema: { name: "verdict", schema: outputSpecs.verdict.schema, strict: true },
    },
  });
  const calls = [{ id: "call_1", type: "function", function: { name: "list_files", arguments: "{}" } }];
  const assistant = { role: "assistant", content: "Looking.", tool_calls: calls };
  const result = { role: "tool", tool_call_id: "call_1", content: "Error: no files" };
  expect((second!["messages"] as unknown[]).slice(2)).toEqual([{ ...assistant, reasoning_content: "thought" }, result]);
  expect((plain!["messages"] as unknown[]).slice(2)).toEqual([assistant, result]);
});

/** Who says it, what it is told by these parameters, and where it finds its key. */
const told = { effort: "low", temperature: 0.5, maxOutputTokens: 40, serviceTier: "priority" } as const;
const bearer = { authorization: "Bearer key-1" };
test.each([
  [
    { flavor: "openai", api: "chat" },
    { max_completion_tokens: 40, store: false, reasoning_effort: "low", service_tier: "priority" },
    { strict: true, headers: bearer },
  ],
  [
    { flavor: "azure", api_version: "2024-10-21" },
    { max_completion_tokens: 40, reasoning_effort: "low" },
    { strict: true, headers: { "api-key": "key-1" }, query: "?api-version=2024-10-21" },
  ],
  [{ flavor: "openrouter" }, { max_tokens: 40, reasoning: { effort: "low" } }, { strict: true, headers: bearer }],
  [{ flavor: "ollama" }, { max_tokens: 40, reasoning_effort: "low" }, { headers: bearer }],
  [{ flavor: "vllm" }, { max_completion_tokens: 40, reasoning_effort: "low" }, { headers: bearer }],
  [{ flavor: "lmstudio" }, { max_tokens: 40 }, { headers: bearer }],
  [{ flavor: "llamacpp" }, { max_tokens: 40 }, { headers: bearer }],
  [{}, { max_tokens: 40 }, { headers: bearer }],
  [{ structured: "json_object" }, { max_tokens: 40, response_format: { type: "json_object" } }, { headers: bearer }],
  [{ structured: "prompted" }, { max_tokens: 40, response_format: undefined }, { headers: bearer }],
] as const)("Chat Completions of %j", async (options, body, wire) => {
  server = await startScriptedServer(() => ({ text: "ok" }));
  const provider = openAiKind.create({ name: "p", apiKey: "key-1", baseURL: server.openAiBaseUrl, options });
  await provider.generate("m", request, { signal: new AbortController().signal, params: told });
  const seen = server.seen[0]!;
  const { model, messages, tools, ...rest } = seen.body as Record<string, unknown>;
  expect([model, messages]).toEqual(["m", [expect.objectContaining({ role: "system" }), expect.anything()]]);
  const response_format = {
    type: "json_schema",
    json_schema: { name: "verdict", schema: outputSpecs.verdict.schema, strict: true },
  };
  const streamed = { stream: true, stream_options: { include_usage: true } };
  expect(rest).toEqual({ ...streamed, response_format, temperature: 0.5, ...body });
  expect(tools).toMatchObject([{ function: { name: "list_files" } }]);
  const { strict, headers, query = "" }: { strict?: boolean; headers: object; query?: string } = wire;
  expect((tools as { function: { strict?: boolean } }[])[0]!.function.strict).toBe(strict);
  const { authorization, "api-key": apiKey } = seen.headers;
  expect({ ...(authorization && { authorization }), ...(apiKey && { "api-key": apiKey }) }).toEqual(headers);
  expect(seen.url).toBe(`/v1/chat/completions${query}`);
});

test("thoughts go back under the name by which the flavour knows them", async () => {
  const [, second] = await converse(
    ({ openAiBaseUrl }) =>
      openAiKind.create({ name: "openai", baseURL: openAiBaseUrl, options: { flavor: "openrouter" } }),
    "vendor/model",
  );
  expect((second!["messages"] as object[])[2]).toMatchObject({ reasoning: "thought" });
});

test.each([
  [undefined, "openai"],
  ["https://eu.api.openai.com/v1", "openai"],
  ["https://openrouter.ai/api/v1", "openrouter"],
  ["https://mine.openai.azure.com/openai/v1", "azure"],
  ["http://gpu:11434/v1", "ollama"],
  ["http://localhost:1234/v1", "lmstudio"],
  ["http://localhost:8000/v1", "compatible"],
  ["https://openrouter.ai.evil.example/v1", "compatible"],
])("%s is of the flavour %s", (baseURL, flavor) => {
  expect(flavorOf(baseURL)).toBe(flavor);
});

test("Responses and Messages are told the parameters that they know", async () => {
  server = await startScriptedServer(() => ({ text: "ok" }));
  const options = { signal: new AbortController().signal, params: told };
  const openAi = createOpenAiResponses({ name: "openai", baseURL: server.openAiBaseUrl });
  await openAi.generate("gpt-6.1-sol", request, options);
  expect(server.seen[0]!.body).toMatchObject({
    max_output_tokens: 40,
    reasoning: { effort: "low" },
    temperature: 0.5,
    service_tier: "priority",
  });
  const anthropic = createAnthropic({ name: "anthropic", baseURL: server.anthropicBaseUrl });
  await anthropic.generate("claude-opus-5-5", request, options);
  const { body } = server.seen[1]!;
  expect(body).toMatchObject({ max_tokens: 40, output_config: { effort: "low", format: { type: "json_schema" } } });
  expect(Object.keys(body)).not.toEqual(expect.arrayContaining(["temperature"]));
  expect(Object.keys(body)).not.toEqual(expect.arrayContaining(["service_tier"]));
  const quick = { ...options, params: { effort: "none", serviceTier: "standard_only" } } as const;
  await anthropic.generate("claude-opus-5-5", request, quick);
  expect(server.seen[2]!.body).toMatchObject({ thinking: { type: "disabled" }, service_tier: "standard_only" });
});

test("Messages", async () => {
  const [first, second, plain] = await converse(
    ({ anthropicBaseUrl }) => createAnthropic({ name: "anthropic", baseURL: anthropicBaseUrl }),
    "claude-opus-5-5",
  );
  expect(first).toEqual({
    model: "claude-opus-5-5",
    system: [{ type: "text", text: "You answer.", cache_control: { type: "ephemeral" } }],
    messages: [
      {
        role: "user",
        content: [
          { type: "text", text: "one" },
          { type: "text", text: "two", cache_control: { type: "ephemeral" } },
        ],
      },
    ],
    max_tokens: 500,
    stream: true,
    tools: [{ name: "list_files", description: "lists", input_schema: parameters, strict: true }],
    output_config: { format: { type: "json_schema", schema: { title: "verdict", ...outputSpecs.verdict.schema } } },
  });
  const said = [
    { type: "text", text: "Looking." },
    { type: "tool_use", id: "call_1", name: "list_files", input: {} },
  ];
  const cache_control = { type: "ephemeral" };
  const result = {
    role: "user",
    content: [{ type: "tool_result", tool_use_id: "call_1", content: "no files", is_error: true, cache_control }],
  };
  const thinking = { type: "thinking", thinking: "thought", signature: "signed" };
  expect((second!["messages"] as unknown[]).slice(1)).toEqual([
    { role: "assistant", content: [thinking, ...said] },
    result,
  ]);
  expect((plain!["messages"] as unknown[]).slice(1)).toEqual([{ role: "assistant", content: said }, result]);
});

test("Messages: a request without tools is not written to the cache but for its system prompt", async () => {
  server = await startScriptedServer(() => ({ text: "ok" }));
  const provider = createAnthropic({ name: "anthropic", baseURL: server.anthropicBaseUrl });
  await provider.generate("claude-opus-5-5", { ...request, tools: [] }, { signal: new AbortController().signal });
  expect(JSON.stringify(server.seen[0]!.body["messages"])).not.toContain("cache_control");
  expect(JSON.stringify(server.seen[0]!.body["system"])).toContain("cache_control");
});

test("Messages: a long conversation marks its last two ends and the system prompt, within the API's four", async () => {
  server = await startScriptedServer(() => ({
    text: "ok",
    usage: { inputTokens: 500, cachedInputTokens: 400, cacheWriteTokens: 60, outputTokens: 1, reasoningTokens: 0 },
  }));
  const provider = createAnthropic({ name: "anthropic", baseURL: server.anthropicBaseUrl });
  const turn = (n: number): Message[] => [
    { role: "assistant", text: "", toolCalls: [{ id: `c${n}`, name: "list_files", args: {} }] },
    { role: "tool", results: [{ callId: `c${n}`, name: "list_files", ok: true, text: `r${n}` }] },
  ];
  const messages = [...request.messages, ...[1, 2, 3, 4].flatMap(turn)];
  const answer = await provider.generate(
    "claude-opus-5-5",
    { ...request, messages },
    { signal: new AbortController().signal },
  );
  const { body } = server.seen[0]!;
  const marked = (body["messages"] as { content: object[] }[]).flatMap(({ content }, at) =>
    content.some((block) => "cache_control" in block) ? [at] : [],
  );
  expect(marked).toEqual([6, 8]);
  expect(JSON.stringify(body).match(/"cache_control"/g)).toHaveLength(3);
  expect(answer).toMatchObject({ usage: { inputTokens: 500, cachedInputTokens: 400 }, cacheWriteTokens: 60 });
});

test("no environment variable of an SDK is needed, and a server without a key is sent none of ours", async () => {
  await converse(
    ({ anthropicBaseUrl }) => createAnthropic({ name: "anthropic", baseURL: anthropicBaseUrl }),
    "claude-opus-5-5",
  );
  expect(JSON.stringify(server.seen[0]?.headers)).toContain("no-key");
});
