/** One case suite for every provider, through the real SDKs. What aimock can express runs against it too. */
import { LLMock } from "@copilotkit/aimock";
import { afterEach, describe, expect, test } from "vitest";
import type { OuterloopError } from "../../domain/errors.ts";
import type { JsonObject } from "../../domain/json.ts";
import type { Message, ModelCallOptions, ModelRequest } from "../../domain/model.ts";
import { outputSpecs, verdictSchema } from "../../domain/plan.ts";
import { createOfflineProvider } from "../offline/provider.ts";
import type { Provider, ProviderKind } from "../provider.ts";
import { readStructured, repairRequest } from "../structured.ts";
import { startScriptedServer, type ScriptedServer, type ScriptedServerOptions } from "../testing/scripted-server.ts";
import type { Protocol, Script } from "../testing/wire.ts";
import { anthropicKind } from "./anthropic.ts";
import { copilotKind } from "./copilot.ts";
import { openAiKind } from "./openai/kind.ts";
import type { Connection } from "./shared/connection.ts";
import { promptedOutput } from "./shared/prompted-schema.ts";

interface Target {
  readonly title: string;
  /** What its server is to speak; absent where it has none, and only the first cases apply. */
  readonly speaks?: Protocol;
  readonly model: string;
  readonly create: (connection: Connection) => Provider;
}

/** Options make the flavours whose wire differs. */
function served(kind: ProviderKind, speaks: Protocol, model: string, options: Connection["options"] = {}): Target {
  const title = [kind.name, ...Object.values(options)].join(" ");
  return { title, speaks, model, create: (connection) => kind.create({ ...connection, options }) };
}

/** Every provider, a line each. What one cannot do is left out by its capabilities. */
const targets: readonly Target[] = [
  served(openAiKind, "responses", "gpt-6.1-sol", { api: "responses" }),
  served(openAiKind, "chat", "gpt-6.1-sol", { flavor: "openai", api: "chat" }),
  served(openAiKind, "chat", "gpt-6.1-sol", { flavor: "azure" }),
  served(openAiKind, "chat", "vendor/model", { flavor: "openrouter" }),
  served(openAiKind, "chat", "qwen3:8b", { flavor: "ollama" }),
  served(openAiKind, "chat", "local-model", { flavor: "vllm" }),
  served(openAiKind, "chat", "local-model", { flavor: "compatible" }),
  served(openAiKind, "chat", "local-model", { structured: "json_object" }),
  served(openAiKind, "chat", "local-model", { structured: "prompted" }),
  served(anthropicKind, "anthropic", "claude-opus-5-5"),
  served(copilotKind, "chat", "gpt-6.1-sol"),
  { title: "offline", model: "rules", create: createOfflineProvider },
];

const key = "sk-test-0123456789abcdef";
const request: ModelRequest = {
  stage: "execute",
  system: "You answer.",
  messages: [{ role: "user", parts: ["first part", "second part"] }],
  tools: [],
  maxOutputTokens: 1000,
};
const pathSchema = {
  type: "object",
  properties: { path: { type: "string" } },
  required: ["path"],
  additionalProperties: false,
};
const looseSchema = { type: "object", properties: { query: { type: "string", minLength: 1 } }, required: ["query"] };
const tools = [
  { name: "read_file", description: "reads", parameters: pathSchema },
  { name: "search_files", description: "searches", parameters: looseSchema },
];
const quiet = (): ModelCallOptions => ({ signal: new AbortController().signal });

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

function connectionTo(target: Target, url: { readonly openAi: string; readonly anthropic: string }): Connection {
  return { name: "tested", apiKey: key, baseURL: target.speaks === "anthropic" ? url.anthropic : url.openAi };
}

/** A server that nobody listens on any more serves to ask a provider what it can. */
const nowhere = { openAi: "http://127.0.0.1:9/v1", anthropic: "http://127.0.0.1:9" };

async function scripted(
  target: Target,
  script: Script,
  connection: Partial<Connection> = {},
  options: ScriptedServerOptions = {},
): Promise<{ provider: Provider; server: ScriptedServer }> {
  const server = await startScriptedServer(script, options);
  cleanups.push(() => server.close());
  const url = { openAi: server.openAiBaseUrl, anthropic: server.anthropicBaseUrl };
  const provider = target.create({ ...connectionTo(target, url), ...connection });
  cleanups.push(async () => provider.close?.());
  return { provider, server };
}

/** Of a request in any of the protocols. */
function systemOf(body: JsonObject): string {
  const [first] = (body["messages"] ?? []) as readonly { readonly role?: string; readonly content?: unknown }[];
  const system = first?.role === "system" ? first.content : (body["instructions"] ?? body["system"]);
  return typeof system === "string" ? system : JSON.stringify(system);
}

/** The error a call ends with; a call that succeeds fails the test. */
async function failure(call: Promise<unknown>): Promise<OuterloopError> {
  return call.then(
    () => expect.unreachable("the call succeeded"),
    (error: unknown) => error as OuterloopError,
  );
}

describe.each(targets)("$title", (target) => {
  const { model } = target;
  const provider = target.create(connectionTo(target, nowhere));
  const capabilities = provider.capabilities(model);

  test("it offers the calls that its capabilities name, and no others", () => {
    expect([provider.embed !== undefined, provider.transcribe !== undefined]).toEqual([
      capabilities.embeddings,
      capabilities.transcription,
    ]);
  });

  test("a call that is stopped before it begins is cancelled", async () => {
    const options = { signal: AbortSignal.abort() };
    expect(await failure(provider.generate(model, request, options))).toMatchObject({ code: "cancelled" });
  });
});

describe.each(targets.filter(({ speaks }) => speaks))("$title", (target) => {
  const { model } = target;
  const capabilities = target.create(connectionTo(target, nowhere)).capabilities(model);
  const generate = (provider: Provider, asked: ModelRequest = request, options = quiet()) =>
    provider.generate(model, asked, options);

  test("text arrives in pieces for watchers and whole in the answer, with its usage", async () => {
    const usage = { inputTokens: 120, cachedInputTokens: 80, outputTokens: 30, reasoningTokens: 10 };
    const { provider } = await scripted(target, () => ({ text: "Hello there.", usage }));
    const deltas: string[] = [];
    const answer = await generate(provider, request, { ...quiet(), onText: (delta) => deltas.push(delta) });
    expect(answer).toMatchObject({
      message: { role: "assistant", text: "Hello there.", toolCalls: [] },
      stop: "end",
      usage,
      model,
    });
    expect(answer.message.opaque).toBeUndefined();
    expect(deltas.length).toBeGreaterThan(1);
    expect(deltas.join("")).toBe("Hello there.");
  });

  test("several calls of one turn come back in order and their results go out in one message", async () => {
    const { provider, server } = await scripted(target, ({ number, toolNames: [read = "", search = ""] }) =>
      number > 1
        ? { text: "done" }
        : {
            text: "Looking.",
            toolCalls: [
              { name: read, args: { path: "a.md" }, id: "call_a" },
              { name: search, args: { query: "b" }, id: "call_b" },
            ],
          },
    );
    const asked = { ...request, tools };
    const first = await generate(provider, asked);
    expect(first).toMatchObject({ stop: "tool_calls", message: { text: "Looking." } });
    expect(first.message.toolCalls).toEqual([
      { id: "call_a", name: "read_file", args: { path: "a.md" } },
      { id: "call_b", name: "search_files", args: { query: "b" } },
    ]);
    const results: Message = {
      role: "tool",
      results: [
        { callId: "call_a", name: "read_file", ok: true, text: "A" },
        { callId: "call_b", name: "search_files", ok: false, text: "not found" },
      ],
    };
    const second = await generate(provider, { ...asked, messages: [...asked.messages, first.message, results] });
    expect(second.message.text).toBe("done");
    const [asking, answering] = server.seen;
    expect(asking?.toolNames).toEqual([expect.stringMatching(/read_file$/), expect.stringMatching(/search_files$/)]);
    if (capabilities.flattened) {
      expect(JSON.stringify(answering?.body)).toMatch(/call_a.*a\.md.*call_b.*call_a.*A.*call_b.*not found/);
      return;
    }
    expect(answering?.lastToolResults).toEqual([
      { callId: "call_a", text: "A" },
      { callId: "call_b", text: expect.stringMatching(/^(Error: )?not found$/) },
    ]);
    expect(answering?.messageCount).toBe(4);
  });

  test("structured output is asked for by schema name, and repaired by one more round", async () => {
    const { provider, server } = await scripted(target, ({ outputName, number }) => {
      if (outputName !== "verdict") return { text: "no schema seen" };
      return number === 1 ? { json: { status: "perhaps" } } : { text: '```json\n{"status":"done"}\n```' };
    });
    const asked: ModelRequest = { ...request, stage: "reflect", output: outputSpecs.verdict };
    const first = await generate(provider, asked);
    const read = readStructured(first.message.text, verdictSchema);
    if (read.ok) return expect.unreachable("perhaps is no verdict");
    expect(read.why).toContain("status");
    const second = await generate(provider, repairRequest(asked, first, read.why));
    expect(readStructured(second.message.text, verdictSchema)).toEqual({
      ok: true,
      value: { status: "done", reason: "", new_tasks: [], lesson: "" },
    });
    expect(server.seen.map(({ outputName }) => outputName)).toEqual(["verdict", "verdict"]);
    if (!capabilities.flattened) expect(server.seen.map(({ messageCount }) => messageCount)).toEqual([1, 3]);
    // Told in the prompt where the provider cannot be held to it, and only there.
    const isTold = promptedOutput(systemOf(server.seen[0]!.body)) === "verdict";
    expect(isTold).toBe(capabilities.structured === "prompted");
  });

  test("malformed arguments reach the caller as text instead of failing the call", async () => {
    const { provider } = await scripted(target, ({ toolNames: [read = "", search = ""] }) => ({
      toolCalls: [
        { name: read, args: '{"path": "a.md' },
        { name: search, args: "[1]" },
        { name: read, args: "" },
      ],
    }));
    const answer = await generate(provider, { ...request, tools });
    expect(answer.message.toolCalls.map(({ args }) => args)).toEqual([
      { malformed: '{"path": "a.md' },
      { malformed: "[1]" },
      {},
    ]);
  });

  test.each(["length", "content_filter"] as const)("stop reason %s", async (stop) => {
    const { provider } = await scripted(target, () => ({ text: "half", stop }));
    const answer = await generate(provider);
    expect(answer.message.text).toBe("half");
    // Some filter by refusing.
    expect(stop === "content_filter" ? ["content_filter", "refusal"] : [stop]).toContain(answer.stop);
  });

  test("a refusal is an answer that says so", async () => {
    const { provider } = await scripted(target, () => ({ refusal: "I will not." }));
    expect(await generate(provider)).toMatchObject({
      stop: "refusal",
      message: { text: capabilities.flattened ? "" : "I will not.", toolCalls: [] },
    });
  });

  test.skipIf(capabilities.flattened)(
    "what the model thought goes back to it unchanged, to no other model, and is dropped when it is rejected",
    async () => {
      const { provider, server } = await scripted(target, ({ number }) => {
        if (number === 1)
          return { reasoning: "thought", toolCalls: [{ name: "read_file", args: { path: "a" }, id: "call_a" }] };
        if (number === 4)
          return {
            error: {
              status: 400,
              message: "Invalid `signature` in `thinking` block: encrypted reasoning is bound elsewhere",
            },
          };
        return { text: "ok" };
      });
      const first = await generate(provider, { ...request, tools });
      expect(first.message.opaque?.provider).toBe(provider.name);
      const results: Message = {
        role: "tool",
        results: [{ callId: "call_a", name: "read_file", ok: true, text: "A" }],
      };
      const next = { ...request, tools, messages: [...request.messages, first.message, results] };
      // Through JSON, as the journal keeps it.
      await generate(provider, JSON.parse(JSON.stringify(next)) as ModelRequest);
      await provider.generate(`${model}-other`, next, quiet());
      await generate(provider, next);
      const carriesThought = server.seen.map(({ body }) => JSON.stringify(body).includes('"thought"'));
      expect(carriesThought).toEqual([false, true, false, true, false]);
    },
  );

  test("429 without Retry-After is rate_limited and backs off", async () => {
    const { provider } = await scripted(target, () => ({ error: { status: 429, message: "slow down" } }));
    expect(await failure(generate(provider))).toMatchObject({ code: "rate_limited", retry: "backoff" });
  });

  test("429 with Retry-After is rate_limited and names the wait", async () => {
    const { provider } = await scripted(target, () => ({
      error: { status: 429, message: "slow down", headers: { "retry-after": "7" } },
    }));
    expect(await failure(generate(provider))).toMatchObject({ code: "rate_limited", retry: { afterMs: 7000 } });
  });

  test.each([500, 503, 529])(
    "%i is model_unavailable and worth a retry, which the SDK leaves to us",
    async (status) => {
      const { provider, server } = await scripted(target, () => ({ error: { status, message: "oops" } }));
      expect(await failure(generate(provider))).toMatchObject({ code: "model_unavailable", retry: "backoff" });
      expect(server.seen).toHaveLength(1);
    },
  );

  test("a request longer than the context is context_length and not tried again", async () => {
    for (const message of [
      "prompt is too long: 1200000 tokens > 1000000 maximum",
      "This model's maximum context length is 8192 tokens.",
    ]) {
      const { provider } = await scripted(target, () => ({ error: { status: 400, message } }));
      expect(await failure(generate(provider))).toMatchObject({ code: "context_length", retry: "never" });
    }
  });

  test("no server is model_unavailable, and the message says where", async () => {
    const { provider, server } = await scripted(target, () => "hang");
    await server.close();
    const error = await failure(generate(provider));
    expect(error).toMatchObject({ code: "model_unavailable", retry: "backoff" });
    expect(error.message).toMatch(/ECONNREFUSED|fetch failed/);
  });

  test("an answer that breaks off is model_unavailable, however much of it came", async () => {
    const { provider } = await scripted(target, () => ({ text: "half of", after: "break" }));
    expect(await failure(generate(provider))).toMatchObject({ code: "model_unavailable", retry: "backoff" });
  });

  test("an answer that is no JSON is model_unavailable", async () => {
    const { provider } = await scripted(target, () => ({ text: "half of", after: "garbage" }));
    expect(await failure(generate(provider))).toMatchObject({ code: "model_unavailable", retry: "backoff" });
  });

  test("a signal cancels a call under way, and the provider sees the hang-up", async () => {
    const { provider, server } = await scripted(target, () => ({ text: "endless", after: "hang" }));
    const stop = new AbortController();
    const error = await failure(generate(provider, request, { signal: stop.signal, onText: () => stop.abort() }));
    expect(error).toMatchObject({ code: "cancelled", retry: "never" });
    await server.seen[0]?.hungUp;
    expect(await failure(generate(provider, request, { signal: stop.signal }))).toMatchObject({ code: "cancelled" });
    expect(server.seen).toHaveLength(1);
  });

  test.each([
    ["no answer at all", { firstTokenMs: 20 }, "before the first token", "backoff"],
    ["silence in the middle", { betweenTokensMs: 20 }, "between tokens", "backoff"],
    ["the total limit", { totalMs: 20 }, "in total", "never"],
  ] as const)("%s ends in a timeout that hangs up", async (_title, timeouts, said, retry) => {
    const isMidway = "betweenTokensMs" in timeouts;
    const { provider, server } = await scripted(target, () => (isMidway ? { text: "half", after: "hang" } : "hang"), {
      timeouts,
    });
    const error = await failure(generate(provider));
    expect(error).toMatchObject({ code: "timeout", retry });
    expect(error.message).toContain(said);
    await server.seen[0]?.hungUp;
  });

  test("a key that the provider echoes is not in the error, and the error has no cause that could hold it", async () => {
    const message = `Incorrect API key provided: ${key}, sk-ab*****yz; sent as Bearer ${key}`;
    const { provider } = await scripted(target, () => ({ error: { status: 401, message } }));
    const error = await failure(generate(provider));
    expect(error).toMatchObject({ code: "config", retry: "never" });
    expect(error.message).not.toMatch(/sk-|0123456789abcdef/);
    expect(error.cause).toBeUndefined();
  });

  describe.skipIf(!capabilities.embeddings)("embeddings", () => {
    test("texts become vectors in their order, in requests of 128, with the tokens of all", async () => {
      const { provider } = await scripted(target, () => "hang", {}, { dimensions: 3 });
      const texts = Array.from({ length: 300 }, (_, at) => "x".repeat(at % 50));
      const { vectors, inputTokens } = await provider.embed!("embedder", { texts, dimensions: 3 }, quiet().signal);
      // An empty text is sent as a space.
      expect(vectors).toEqual(texts.map((text) => Array(3).fill(text.length || 1)));
      expect(inputTokens).toBe(texts.reduce((sum, text) => sum + Math.ceil((text.length || 1) / 4), 0));
    });

    test("vectors of another length are config, and the error says what came", async () => {
      const { provider } = await scripted(target, () => "hang", {}, { dimensions: 3 });
      const error = await failure(provider.embed!("embedder", { texts: ["a"], dimensions: 4 }, quiet().signal));
      expect(error).toMatchObject({ code: "config", retry: "never" });
      expect(error.message).toMatch(/1 vectors of 3 dimensions for 1 texts, expected 4/);
    });

    test("what fails is read as for answers", async () => {
      const sideError = { status: 429, message: "slow down", headers: { "retry-after": "2" } };
      const { provider } = await scripted(target, () => "hang", {}, { sideError });
      const call = provider.embed!("embedder", { texts: ["a"], dimensions: 4 }, quiet().signal);
      expect(await failure(call)).toMatchObject({ code: "rate_limited", retry: { afterMs: 2000 } });
    });
  });

  describe.skipIf(!capabilities.transcription)("transcription", () => {
    const audio = new Uint8Array(2500);

    test("audio goes out under a name of its type, and tokens or seconds are told", async () => {
      const { provider } = await scripted(target, () => "hang");
      const asked = { audio, mediaType: "audio/webm;codecs=opus", language: "de" };
      expect(await provider.transcribe!("ears", asked, quiet().signal)).toEqual({
        text: "ears audio.webm audio/webm 2500 de",
        seconds: null,
        inputTokens: 25,
        outputTokens: 5,
      });
      const timed = await scripted(target, () => "hang", {}, { billedBy: "duration" });
      expect(
        await timed.provider.transcribe!("ears", { audio, mediaType: "audio/mpeg" }, quiet().signal),
      ).toMatchObject({ text: "ears audio.mp3 audio/mpeg 2500 any", seconds: 2.5, inputTokens: 0 });
    });

    test("audio over 25 MB, or of an unknown type, is not sent", async () => {
      const { provider } = await scripted(target, () => "hang", {}, { sideError: { status: 418, message: "sent" } });
      const large = new Uint8Array(25 * 1024 * 1024 + 1);
      const transcribe = (sent: Uint8Array, mediaType: string) =>
        failure(provider.transcribe!("ears", { audio: sent, mediaType }, quiet().signal));
      expect(await transcribe(large, "audio/mpeg")).toMatchObject({ code: "too_large", retry: "never" });
      expect(await transcribe(audio, "audio/midi")).toMatchObject({ code: "unsupported", retry: "never" });
    });
  });

  test.skipIf(!target.create(connectionTo(target, nowhere)).listModels)("it lists what its server serves", async () => {
    const { provider } = await scripted(target, () => "hang", {}, { models: ["first", "second"] });
    expect(await provider.listModels!(quiet().signal)).toEqual(["first", "second"]);
  });

  describe("against aimock", () => {
    async function mocked(set: (mock: LLMock) => void): Promise<Provider> {
      const mock = new LLMock({ port: 0 });
      set(mock);
      await mock.start();
      cleanups.push(() => mock.stop());
      const provider = target.create(connectionTo(target, { openAi: `${mock.url}/v1`, anthropic: mock.url }));
      cleanups.push(async () => provider.close?.());
      return provider;
    }
    const anything = { predicate: () => true };

    test("text with usage", async () => {
      const usage = { input_tokens: 12, output_tokens: 3, prompt_tokens: 12, completion_tokens: 3 };
      const provider = await mocked((mock) => mock.on(anything, { content: "Hello there.", usage }));
      const deltas: string[] = [];
      const answer = await generate(provider, request, { ...quiet(), onText: (delta) => deltas.push(delta) });
      expect(answer).toMatchObject({
        message: { text: "Hello there." },
        stop: "end",
        usage: { inputTokens: 12, outputTokens: 3 },
      });
      expect(deltas.join("")).toBe("Hello there.");
    });

    test.skipIf(capabilities.flattened)("reasoning, calls of tools and their results", async () => {
      const provider = await mocked((mock) => {
        mock.on({ hasToolResult: true }, { content: "done" });
        mock.on(
          { toolName: "read_file" },
          {
            reasoning: "thought",
            toolCalls: [
              { name: "read_file", arguments: '{"path":"a"}', id: "call_a" },
              { name: "search_files", arguments: '{"query":"b"}', id: "call_b" },
            ],
          },
        );
      });
      const asked = { ...request, tools };
      const first = await generate(provider, asked);
      expect(first.stop).toBe("tool_calls");
      expect(first.message.toolCalls.map(({ id, args }) => [id, args])).toEqual([
        ["call_a", { path: "a" }],
        ["call_b", { query: "b" }],
      ]);
      const results = first.message.toolCalls.map(({ id, name }) => ({ callId: id, name, ok: true, text: "r" }));
      const second = await generate(provider, {
        ...asked,
        messages: [...asked.messages, first.message, { role: "tool", results }],
      });
      expect(second.message.text).toBe("done");
    });

    test.skipIf(!capabilities.embeddings)("embeddings", async () => {
      const provider = await mocked((mock) => mock.onEmbedding("a text", { embedding: [0.5, 0.25] }));
      const answer = await provider.embed!("embedder", { texts: ["a text"], dimensions: 2 }, quiet().signal);
      expect(answer.vectors).toEqual([[0.5, 0.25]]);
    });

    test.skipIf(!capabilities.transcription)("transcription", async () => {
      const provider = await mocked((mock) => mock.onTranscription({ transcription: { text: "Said." } }));
      const asked = { audio: new Uint8Array(10), mediaType: "audio/wav" };
      expect(await provider.transcribe!("whisper-1", asked, quiet().signal)).toMatchObject({ text: "Said." });
    });

    test("429 and 500", async () => {
      const limited = await mocked((mock) =>
        mock.on(anything, { error: { message: "slow down", type: "rate_limit_error" }, status: 429, retryAfter: 3 }),
      );
      expect(await failure(generate(limited))).toMatchObject({ code: "rate_limited", retry: { afterMs: 3000 } });
      const broken = await mocked((mock) =>
        mock.on(anything, { error: { message: "oops", type: "server_error" }, status: 500 }),
      );
      expect(await failure(generate(broken))).toMatchObject({ code: "model_unavailable", retry: "backoff" });
    });
  });
});
