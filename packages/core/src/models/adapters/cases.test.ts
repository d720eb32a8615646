/** One case suite for every provider, through the real SDKs. What aimock can express runs against it too. */
import { describe, expect, test } from "vitest";
import type { JsonObject } from "../../domain/json.ts";
import type { Message, ModelRequest } from "../../domain/model.ts";
import { outputSpecs, verdictSchema } from "../../domain/plan.ts";
import type { Provider } from "../provider.ts";
import { readStructured, repairRequest } from "../structured.ts";
import { abilitiesOf, failure, key, mocked, quiet, request, scripted, targets } from "../testing/targets.ts";
import { promptedOutput } from "./shared/prompted-schema.ts";

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
/** Of a request in any of the protocols. */
function systemOf(body: JsonObject): string {
  const [first] = (body["messages"] ?? []) as readonly { readonly role?: string; readonly content?: unknown }[];
  const system = first?.role === "system" ? first.content : (body["instructions"] ?? body["system"]);
  return typeof system === "string" ? system : JSON.stringify(system);
}

describe.each(targets)("$title", (target) => {
  const { model } = target;
  const { provider, capabilities } = abilitiesOf(target);

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
  const { capabilities } = abilitiesOf(target);
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

  describe("against aimock", () => {
    const anything = { predicate: () => true };

    test("text with usage", async () => {
      const usage = { input_tokens: 12, output_tokens: 3, prompt_tokens: 12, completion_tokens: 3 };
      const provider = await mocked(target, (mock) => mock.on(anything, { content: "Hello there.", usage }));
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
      const provider = await mocked(target, (mock) => {
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

    test("429 and 500", async () => {
      const limited = await mocked(target, (mock) =>
        mock.on(anything, { error: { message: "slow down", type: "rate_limit_error" }, status: 429, retryAfter: 3 }),
      );
      expect(await failure(generate(limited))).toMatchObject({ code: "rate_limited", retry: { afterMs: 3000 } });
      const broken = await mocked(target, (mock) =>
        mock.on(anything, { error: { message: "oops", type: "server_error" }, status: 500 }),
      );
      expect(await failure(generate(broken))).toMatchObject({ code: "model_unavailable", retry: "backoff" });
    });
  });
});
