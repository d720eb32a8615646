import { afterEach, describe, expect, test, vi } from "vitest";
import { stages, type FailedTry, type ModelRequest, type RoutedCallOptions } from "../../domain/model.ts";
import { noUsage } from "../../domain/model.ts";
import type { Embedder, Provider } from "../provider.ts";
import { createTestControl, type TestControl } from "../testing/control.ts";
import {
  startScriptedServer,
  type Script,
  type ScriptedServer,
  type ScriptedServerOptions,
} from "../testing/scripted-server.ts";
import { assembleModels } from "./assemble.ts";
import { createModels, type ModelParts, type Models } from "./models.ts";
import { modelsFileSchema } from "./settings.ts";

const offline: Provider = {
  name: "offline",
  capabilities: () => ({ tools: true, structured: "native", embeddings: false, transcription: false }),
  generate: async (model) => ({
    message: { role: "assistant", text: "by rules", toolCalls: [] },
    stop: "end",
    usage: noUsage,
    model,
  }),
};
const localEmbedder: Embedder = {
  name: "local/hash",
  dimensions: 8,
  embed: async (texts) => texts.map(() => Array<number>(8).fill(0)),
};
const request: ModelRequest = {
  stage: "plan",
  system: "s",
  messages: [{ role: "user", parts: ["p"] }],
  tools: [],
  maxOutputTokens: 100,
};
const options: RoutedCallOptions = {
  signal: new AbortController().signal,
  caller: { tenantId: "t_1", goalId: "g_1" },
};

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});
async function start(script: Script, serverOptions?: ScriptedServerOptions): Promise<ScriptedServer> {
  const server = await startScriptedServer(script, serverOptions);
  cleanups.push(() => server.close());
  return server;
}

type Env = Readonly<Record<string, string>>;

function create(env: Env, file: unknown = {}, parts: Partial<ModelParts> = {}): Models {
  const settings = assembleModels({ env, file: modelsFileSchema.parse(file), cwd: "/nowhere" });
  const models = createModels(settings, {
    offline,
    localEmbedder,
    control: createTestControl(),
    random: () => 0,
    ...parts,
  });
  cleanups.push(() => models.close());
  return models;
}

/** Sends what is meant for a provider's own host to the server. */
function toServer(server: ScriptedServer): typeof fetch {
  return (input, init) => {
    const { pathname } = new URL(input instanceof Request ? input.url : input);
    return fetch(`${server.anthropicBaseUrl}${pathname}`, init);
  };
}

function routesOf(env: Env, file?: unknown): Record<string, string> {
  return Object.fromEntries(
    create(env, file)
      .describe()
      .map(({ use, models }) => [use, models.map((each) => each.name).join(", ")]),
  );
}

/** Two servers of one protocol, the first of which is `main` and the second `spare`. */
async function pair(main: Script, spare: Script = () => ({ text: "spare" })) {
  const [first, second] = [await start(main), await start(spare)];
  const provider = (server: ScriptedServer) => ({ kind: "openai", base_url: server.openAiBaseUrl });
  const file = {
    providers: { main: provider(first), spare: provider(second) },
    routes: { plan: ["main/m", "spare/s"], execute: ["main/m"], reflect: ["main/m"], intake: ["main/m"] },
    retry: { first_wait_ms: 10, cap_ms: 10 },
  };
  return { main: first, spare: second, file };
}

describe("who serves", () => {
  test("nobody set up: the offline model, in every stage, and the local embedder", () => {
    expect(create({}).offline).toBe(true);
    expect(routesOf({})).toEqual({
      ...Object.fromEntries([...stages, "hard"].map((stage) => [stage, "offline/rules"])),
      transcribe: "",
      embed: "local/hash",
    });
  });

  test("a key selects its provider: a reasoning model plans, reflects and does what is hard, a faster one executes", () => {
    expect(routesOf({ OPENAI_API_KEY: "k" })).toMatchObject({
      intake: "openai/gpt-6.1-terra",
      plan: "openai/gpt-6.1-sol",
      execute: "openai/gpt-6.1-terra",
      hard: "openai/gpt-6.1-sol",
      reflect: "openai/gpt-6.1-sol",
      embed: "openai/text-embedding-3-small",
    });
    expect(routesOf({ ANTHROPIC_API_KEY: "k" })).toMatchObject({
      plan: "anthropic/claude-opus-5-5",
      execute: "anthropic/claude-sonnet-5-5",
      embed: "local/hash",
    });
  });

  test("a base URL alone selects its provider; with both keys OpenAI is asked first and Anthropic where it fails", () => {
    expect(routesOf({ ANTHROPIC_BASE_URL: "http://127.0.0.1:1" })["plan"]).toMatch(/^anthropic/);
    expect(routesOf({ OPENAI_BASE_URL: "http://127.0.0.1:1/v1" })["plan"]).toMatch(/^openai/);
    expect(routesOf({ OPENAI_API_KEY: "k", ANTHROPIC_API_KEY: "k" })["plan"]).toBe(
      "openai/gpt-6.1-sol, anthropic/claude-opus-5-5",
    );
    expect(routesOf({ OPENAI_API_KEY: "k", ANTHROPIC_API_KEY: "k", OUTERLOOP_MODEL: "anthropic" })["plan"]).toBe(
      "anthropic/claude-opus-5-5",
    );
  });

  test("a stage may differ, and a model's name may have slashes", () => {
    expect(
      routesOf({
        OPENAI_API_KEY: "k",
        ANTHROPIC_API_KEY: "k",
        OUTERLOOP_MODEL: "openai/meta/llama-4",
        OUTERLOOP_MODEL_REFLECT: "anthropic/claude-fable-5-1, openai/gpt-6.1-sol",
        OUTERLOOP_MODEL_INTAKE: "offline",
      }),
    ).toMatchObject({
      plan: "openai/meta/llama-4",
      execute: "openai/meta/llama-4",
      hard: "openai/meta/llama-4",
      reflect: "anthropic/claude-fable-5-1, openai/gpt-6.1-sol",
      intake: "offline/rules",
    });
  });

  test("offline by choice sends nothing out, texts to embed neither", () => {
    expect(routesOf({ OPENAI_API_KEY: "k", OUTERLOOP_MODEL: "offline" })).toMatchObject({
      plan: "offline/rules",
      embed: "local/hash",
    });
  });

  test("a file names providers of a kind, routes with parameters, and variables win over it", () => {
    const file = {
      providers: {
        gpu: { kind: "openai", base_url: "http://gpu:8000/v1" },
        anthropic: { key: { env: "CLAUDE_KEY" } },
      },
      routes: {
        plan: [{ model: "anthropic/claude-opus-5-5", effort: "high" }, "gpu/qwen"],
        execute: "gpu/qwen",
        embed: { model: "gpu/nomic", dimensions: 768 },
      },
    };
    expect(routesOf({ CLAUDE_KEY: "k" }, file)).toMatchObject({
      plan: "anthropic/claude-opus-5-5, gpu/qwen",
      execute: "gpu/qwen",
      hard: "gpu/qwen",
      embed: "gpu/nomic",
    });
    expect(routesOf({ CLAUDE_KEY: "k", OUTERLOOP_MODEL_EXECUTE: "anthropic" }, file)).toMatchObject({
      execute: "anthropic/claude-sonnet-5-5",
      hard: "anthropic/claude-opus-5-5",
    });
  });

  test.each<[string, Env, unknown, RegExp]>([
    ["an unknown provider", { OUTERLOOP_MODEL_PLAN: "opanai/gpt" }, {}, /plan.*"opanai"/],
    ["a model without a provider", { OUTERLOOP_MODEL: "gpt 6.1" }, {}, /OUTERLOOP_MODEL.*write provider\/model/],
    [
      "a provider with an empty model",
      { OUTERLOOP_MODEL: "openai/", OPENAI_API_KEY: "k" },
      {},
      /write provider\/model/,
    ],
    ["a provider without a key", { OUTERLOOP_MODEL: "anthropic/claude-opus-5-5" }, {}, /set ANTHROPIC_API_KEY/],
    ["a base URL that is none", { OPENAI_BASE_URL: "localhost:11434" }, {}, /OPENAI_BASE_URL: is not a URL/],
    [
      "an embedder without embeddings",
      { OUTERLOOP_MODEL_EMBED: "anthropic/x", ANTHROPIC_API_KEY: "k" },
      {},
      /has no embeddings/,
    ],
    ["an embedder without a key", { OUTERLOOP_MODEL_EMBED: "openai/text-embedding-3-large" }, {}, /set OPENAI_API_KEY/],
    [
      "an embedder of unknown size",
      { OUTERLOOP_MODEL_EMBED: "openai/nomic", OPENAI_BASE_URL: "http://127.0.0.1:1/v1" },
      {},
      /openai\/nomic@1024/,
    ],
    [
      "two embedders",
      { OUTERLOOP_MODEL_EMBED: "openai/a@3, openai/b@3", OPENAI_BASE_URL: "http://127.0.0.1:1/v1" },
      {},
      /cannot be compared/,
    ],
    ["a key that is not there", {}, { providers: { openai: { key: { env: "MY_KEY" } } } }, /MY_KEY is not set/],
    ["a key file that is not there", {}, { providers: { openai: { key: { file: "k" } } } }, /cannot be read/],
    ["an unknown kind", {}, { providers: { x: { base_url: "http://x" } } }, /no kind of provider "x".*openai/],
    [
      "an option that its kind has not",
      {},
      { providers: { openai: { colour: "red", base_url: "http://x" } } },
      /colour/,
    ],
    ["a name that is taken", {}, { providers: { offline: { kind: "openai" } } }, /"offline" is taken/],
  ])("%s is refused with the fix", (_title, env, file, message) => {
    expect(() => create(env, file)).toThrow(
      expect.objectContaining({ code: "config", message: expect.stringMatching(message) as string }) as Error,
    );
  });

  test.each<[string, unknown, RegExp]>([
    ["a key in the file", { providers: { openai: { key: "sk-1" } } }, /a key is not written here/],
    ["an unknown use", { routes: { dream: "openai/x" } }, /routes/],
    ["a limit of nothing", { limits: { openai: { requests_per_minute: 0 } } }, /requests_per_minute/],
    ["more calls than are looked at", { breaker: { calls: 3, min_calls: 4 } }, /more calls are asked for/],
    ["nine models", { routes: { plan: Array.from({ length: 9 }, () => "openai/x") } }, /plan/],
  ])("%s is refused where it stands", (_title, file, message) => {
    expect(() => modelsFileSchema.parse(file)).toThrow(message);
  });
});

describe("which protocol", () => {
  test("OpenAI's own host is spoken to by Responses, another by Chat Completions, OPENAI_API overrides", async () => {
    const server = await start(() => ({ text: "ok" }));
    const own = { fetch: toServer(server) };
    const there = { OPENAI_BASE_URL: server.openAiBaseUrl, OUTERLOOP_MODEL: "openai/m" };
    await create({ OPENAI_API_KEY: "k" }, {}, own).model(request, options);
    await create({ OPENAI_API_KEY: "k", OPENAI_API: "chat" }, {}, own).model(request, options);
    await create(there).model(request, options);
    await create({ ...there, OPENAI_API: "responses" }).model(request, options);
    await create({ ANTHROPIC_BASE_URL: `${server.anthropicBaseUrl}/v1` }).model(request, options);
    expect(server.seen.map(({ protocol }) => protocol)).toEqual([
      "responses",
      "chat",
      "chat",
      "responses",
      "anthropic",
    ]);
    // Each host is told the limit by the name it knows.
    expect(server.seen[1]?.body).toMatchObject({ max_completion_tokens: 100 });
    expect(server.seen[2]?.body).toMatchObject({ max_tokens: 100 });
  });

  test("a local server without a named model is asked for its first one, once, at the first call", async () => {
    const server = await start(() => ({ text: "ok" }), { models: ["qwen3:8b", "other"] });
    const models = create({ OPENAI_BASE_URL: server.openAiBaseUrl });
    expect(models.describe()[0]?.models[0]?.name).toBe("openai/(the server's first model)");
    const answer = await models.model(request, options);
    expect(answer).toMatchObject({
      provider: "openai",
      model: "qwen3:8b",
      asked: "openai/qwen3:8b",
      costMicroUsd: null,
    });
    expect(models.describe()[0]?.models[0]?.name).toBe("openai/qwen3:8b");
  });

  test("a local server that lists none is a config error with the fix", async () => {
    const server = await start(() => ({ text: "ok" }));
    const { model } = create({ OPENAI_BASE_URL: server.openAiBaseUrl });
    await expect(model(request, options)).rejects.toMatchObject({
      code: "config",
      message: expect.stringContaining("name it: openai/MODEL") as string,
    });
  });
});

describe("a routed call", () => {
  test("is tried again, priced, and named; what failed before is told", async () => {
    const usage = { inputTokens: 1000, cachedInputTokens: 0, outputTokens: 100, reasoningTokens: 0 };
    const server = await start(({ number }) =>
      number === 1 ? { error: { status: 500, message: "oops" } } : { text: "ok", usage },
    );
    const models = create(
      { OPENAI_API_KEY: "k" },
      { retry: { first_wait_ms: 10, cap_ms: 10 } },
      { fetch: toServer(server) },
    );
    expect(await models.model(request, options)).toEqual({
      message: { role: "assistant", text: "ok", toolCalls: [] },
      stop: "end",
      usage,
      provider: "openai",
      model: "gpt-6.1-sol",
      asked: "openai/gpt-6.1-sol",
      isRouted: true,
      costMicroUsd: 3000,
      priceVersion: expect.stringMatching(/^\d{4}-/) as string,
      firstTokenMs: expect.any(Number) as number,
      tries: [
        {
          model: "openai/gpt-6.1-sol",
          why: "model_unavailable",
          message: expect.stringContaining("oops") as string,
          ms: expect.any(Number) as number,
          atMs: expect.any(Number) as number,
        },
      ],
    });
  });

  test("gives up after the tries it was given", async () => {
    const server = await start(() => ({ error: { status: 503, message: "down" } }));
    const file = { retry: { tries: 2, first_wait_ms: 10, cap_ms: 10 } };
    const { model } = create({ OPENAI_API_KEY: "k" }, file, { fetch: toServer(server) });
    await expect(model(request, options)).rejects.toMatchObject({
      code: "model_unavailable",
      retry: "backoff",
      tries: [{ why: "model_unavailable" }, { why: "model_unavailable" }],
    });
    expect(server.seen).toHaveLength(2);
  });

  test("offline costs nothing", async () => {
    expect(await create({}).model(request, options)).toMatchObject({
      provider: "offline",
      model: "rules",
      costMicroUsd: 0,
    });
  });

  test("goes on to the next model where the first fails, and says why", async () => {
    const { file, main, spare } = await pair(() => ({ error: { status: 500, message: "oops" } }));
    const failures: FailedTry[] = [];
    const { model } = create({}, file, { onFailure: (_stage, failure) => failures.push(failure) });
    const answer = await model(request, options);
    expect(answer).toMatchObject({ provider: "spare", asked: "spare/s", message: { text: "spare" } });
    expect(main.seen).toHaveLength(3);
    expect(spare.seen).toHaveLength(1);
    expect(answer.tries.map(({ model: name, why }) => `${name} ${why}`)).toEqual(
      Array<string>(3).fill("main/m model_unavailable"),
    );
    expect(failures).toEqual(answer.tries);
  });

  test("a key that is refused at one is no end where another serves", async () => {
    const { file, main } = await pair(() => ({ error: { status: 401, message: "no" } }));
    expect(await create({}, file).model(request, options)).toMatchObject({ provider: "spare" });
    expect(main.seen).toHaveLength(1);
  });

  test("a Retry-After is obeyed, and where another serves it is not waited for", async () => {
    const limited =
      (seconds: string): Script =>
      ({ number }) =>
        number === 1
          ? { error: { status: 429, message: "slow down", headers: { "retry-after": seconds } } }
          : { text: "ok" };
    const alone = await pair(limited("0.05"));
    const own = { ...alone.file, routes: { ...alone.file.routes, plan: "main/m" } };
    const answer = await create({}, own).model(request, options);
    expect(answer.tries).toMatchObject([{ why: "rate_limited" }]);
    const { file, main } = await pair(limited("5"));
    expect(await create({}, file).model(request, options)).toMatchObject({ provider: "spare" });
    expect(main.seen).toHaveLength(1);
  });

  test("a long Retry-After is the task's to wait for, and nobody asks before", async () => {
    const { file, main } = await pair(() => ({
      error: { status: 429, message: "slow down", headers: { "retry-after": "3600" } },
    }));
    const { model } = create({}, { ...file, routes: { ...file.routes, plan: "main/m" } });
    await expect(model(request, options)).rejects.toMatchObject({
      code: "rate_limited",
      retry: { afterMs: 3_600_000 },
    });
    const again = await model(request, options).catch((thrown: unknown) => thrown);
    expect(again).toMatchObject({ code: "held_back", tries: [{ why: "cooling" }] });
    // One answer does not stop everybody for an hour.
    expect((again as { retry: { afterMs: number } }).retry.afterMs).toBeLessThanOrEqual(60_000);
    expect(main.seen).toHaveLength(1);
  });

  test("what a model refuses is not asked of another", async () => {
    const { file, spare } = await pair(() => ({
      error: { status: 400, message: "no", code: "content_policy_violation" },
    }));
    await expect(create({}, file).model(request, options)).rejects.toMatchObject({ code: "model_refused" });
    expect(spare.seen).toHaveLength(0);
  });

  test("a silent model is left for the next one at once", async () => {
    const { file, main } = await pair(() => "hang");
    const providers = { ...file.providers, main: { ...file.providers.main, timeouts: { first_token_ms: 50 } } };
    const answer = await create({}, { ...file, providers }).model(request, options);
    expect(answer).toMatchObject({ provider: "spare", tries: [{ model: "main/m", why: "timeout" }] });
    expect(main.seen).toHaveLength(1);
  });

  test("cancelled, it ends at once, wherever it waits", async () => {
    const cancel = new AbortController();
    const server = await start(() => {
      setImmediate(() => cancel.abort());
      return { error: { status: 429, message: "later", headers: { "retry-after": "14" } } };
    });
    const { model } = create({ OPENAI_API_KEY: "k" }, {}, { fetch: toServer(server) });
    await expect(model(request, { ...options, signal: cancel.signal })).rejects.toMatchObject({ code: "cancelled" });
  });

  test("pieces of a try that failed are followed by a try that begins again", async () => {
    const { file } = await pair(({ number }) => ({
      text: `answer ${number}`,
      ...(number === 1 && { after: "break" as const }),
    }));
    const pieces: { try: number; offset: number; text: string }[] = [];
    const answer = await create({}, file).model(request, { ...options, onText: (piece) => pieces.push(piece) });
    expect(
      pieces
        .filter((piece) => piece.try === 1)
        .map((piece) => piece.text)
        .join(""),
    ).toBe("answer 1");
    const last = pieces.filter((piece) => piece.try === 2);
    expect(last.map((piece) => piece.text).join("")).toBe(answer.message.text);
    expect(last.map((piece) => piece.offset)).toEqual([0, last[0]!.text.length]);
  });

  test("who answered unusably is asked last", async () => {
    const { file, main } = await pair(() => ({ text: "main" }));
    const { model } = create({}, file);
    expect(await model(request, { ...options, avoid: ["main/m"] })).toMatchObject({ provider: "spare" });
    expect(main.seen).toHaveLength(0);
    const alone = create({}, { ...file, routes: { ...file.routes, plan: "main/m" } });
    expect(await alone.model(request, { ...options, avoid: ["main/m"] })).toMatchObject({ provider: "main" });
  });

  test("where money is limited, a model without a price is passed over", async () => {
    const { file, main } = await pair(() => ({ text: "main" }));
    const { model, price } = create({}, { ...file, prices: { "spare/s": { input: 1, output: 2 } } });
    const caller = { ...options.caller, priced: true };
    expect(await model(request, { ...options, caller })).toMatchObject({ provider: "spare", priceVersion: "settings" });
    expect(main.seen).toHaveLength(0);
    expect(price("plan")(1_000_000, 1_000_000)).toBe(3_000_000);
    expect(price("execute")(1, 1)).toBeNull();
  });
});

describe("what goals and tasks wish", () => {
  const env = { OPENAI_API_KEY: "k", ANTHROPIC_API_KEY: "k" };
  const ask = async (
    wishes: RoutedCallOptions["caller"],
    file: unknown = {},
    stage: ModelRequest["stage"] = "execute",
  ) => {
    const server = await start(() => ({ text: "ok" }));
    const { model } = create(env, file, { fetch: toServer(server) });
    return (await model({ ...request, stage }, { ...options, caller: wishes })).asked;
  };
  const caller = options.caller;

  test("a goal's wish wins over the route, a task's over its goal's, and hard tasks have a route of their own", async () => {
    const goal = { execute: ["anthropic/claude-haiku-5-5"] };
    expect(await ask(caller)).toBe("openai/gpt-6.1-terra");
    expect(await ask({ ...caller, hard: true })).toBe("openai/gpt-6.1-sol");
    expect(await ask({ ...caller, overrides: [goal] })).toBe("anthropic/claude-haiku-5-5");
    expect(await ask({ ...caller, overrides: [goal], hard: true })).toBe("anthropic/claude-haiku-5-5");
    expect(await ask({ ...caller, overrides: [goal, { execute: ["openai/gpt-6-luna"] }] })).toBe("openai/gpt-6-luna");
    const hard = { ...goal, hard: ["anthropic/claude-fable-5-1"] };
    expect(await ask({ ...caller, overrides: [hard], hard: true })).toBe("anthropic/claude-fable-5-1");
    expect(await ask({ ...caller, overrides: [goal] }, {}, "plan")).toBe("openai/gpt-6.1-sol");
  });

  test.each([
    ["none", "openai/gpt-6-luna", /lets no goal name models/],
    ["routed", "openai/gpt-6-luna", /is in no route/],
    ["any", "nobody/x", /no provider is called "nobody"/],
  ])("with overrides: %s, %s is refused", async (overrides, wish, message) => {
    await expect(ask({ ...caller, overrides: [{ execute: [wish] }] }, { overrides })).rejects.toMatchObject({
      code: "config",
      message: expect.stringMatching(message) as string,
    });
  });
});

describe("breakers", () => {
  const breaker = { calls: 4, min_calls: 2, open_ms: 60_000, probe_ms: 1000 };

  test("one opens after its share of failures, is probed by one, and closes when that is answered", async () => {
    let isDown = true;
    const { file, main } = await pair(() => (isDown ? { error: { status: 500, message: "oops" } } : { text: "main" }));
    const control = createTestControl();
    const seen: string[] = [];
    const models = create(
      {},
      { ...file, breaker },
      { control, onBreaker: (target, state) => seen.push(`${target} ${state}`) },
    );
    expect(await models.model(request, options)).toMatchObject({ provider: "spare" });
    const asked = main.seen.length;
    expect(models.held()).toMatchObject([{ target: "main/m", state: "open" }]);
    expect(await models.model(request, options)).toMatchObject({ provider: "spare", tries: [{ why: "breaker_open" }] });
    expect(main.seen).toHaveLength(asked);

    control.probeNow("main/m");
    await models.sync();
    await vi.waitFor(async () => expect(await control.readHeld()).toMatchObject([{ leftMs: 120_000 }]));
    expect(main.seen).toHaveLength(asked + 1);

    isDown = false;
    control.probeNow("main/m");
    await models.sync();
    await vi.waitFor(() => expect(seen).toEqual(["main/m open", "main/m closed"]));
    expect(await models.model(request, options)).toMatchObject({ provider: "main", tries: [] });
  });

  test("what one process finds, another knows after its next look, without a request", async () => {
    const { file, main } = await pair(() => ({ error: { status: 500, message: "oops" } }));
    const control = createTestControl();
    const [one, other] = [create({}, { ...file, breaker }, { control }), create({}, { ...file, breaker }, { control })];
    await one.model(request, options);
    const asked = main.seen.length;
    await other.sync();
    expect(await other.model(request, options)).toMatchObject({ provider: "spare", tries: [{ why: "breaker_open" }] });
    expect(main.seen).toHaveLength(asked);
    await control.release("main/m");
    await other.sync();
    expect(other.held()).toEqual([]);
  });

  test("a model that is away is looked at again before long, however long its breaker is open", async () => {
    const { file } = await pair(() => ({ error: { status: 500, message: "oops" } }));
    const { model } = create({}, { ...file, breaker, routes: { ...file.routes, plan: "main/m" } });
    await model(request, options).catch(() => undefined);
    await expect(model(request, options)).rejects.toMatchObject({
      code: "model_unavailable",
      retry: { afterMs: 25_000 },
      tries: [{ why: "breaker_open" }],
    });
  });

  test("a key that is refused is told each time: nobody waits for what somebody must mend", async () => {
    const { file } = await pair(() => ({ error: { status: 401, message: "no" } }));
    const models = create({}, { ...file, breaker, routes: { ...file.routes, plan: "main/m" } });
    for (let call = 0; call < 6; call += 1)
      await expect(models.model(request, options)).rejects.toMatchObject({ code: "config", retry: "never" });
    expect(models.held()).toEqual([]);
  });

  test("one that has left the routes is not probed here, and so is not let go for others", async () => {
    const { file, main } = await pair(() => ({ error: { status: 500, message: "oops" } }));
    const control = createTestControl();
    const models = create({}, { ...file, breaker }, { control });
    await models.model(request, options);
    const asked = main.seen.length;
    const without = { plan: "spare/s", execute: "spare/s", reflect: "spare/s", intake: "spare/s" };
    models.use(assembleModels({ env: {}, file: modelsFileSchema.parse({ ...file, routes: without }), cwd: "/" }));
    control.probeNow("main/m");
    await models.sync();
    expect(await control.readHeld()).toMatchObject([{ target: "main/m", probing: false }]);
    expect(main.seen).toHaveLength(asked);
  });

  test("what was found here and the store did not take is told again", async () => {
    const { file } = await pair(() => ({ error: { status: 500, message: "oops" } }));
    const control = createTestControl();
    let isAway = true;
    const flaky = {
      ...control,
      hold: async (...args: Parameters<typeof control.hold>) => {
        if (isAway) throw new Error("away");
        return control.hold(...args);
      },
    };
    const models = create({}, { ...file, breaker }, { control: flaky });
    await models.model(request, options);
    await models.sync().catch(() => undefined);
    expect(models.held()).toMatchObject([{ target: "main/m" }]);
    isAway = false;
    await vi.waitFor(async () => {
      await models.sync();
      expect(await control.readHeld()).toMatchObject([{ target: "main/m", state: "open" }]);
    }, 5000);
    expect(models.held()).toMatchObject([{ target: "main/m" }]);
  });

  test("a model that transcribes is probed by a second of silence", async () => {
    const { file, main } = await pair(() => ({ text: "main" }));
    const control = createTestControl();
    await control.hold("main/whisper", "open", "it failed", 0);
    const models = create(
      {},
      { ...file, routes: { ...file.routes, transcribe: "main/whisper" }, breaker },
      { control },
    );
    await models.sync();
    const silent = { audio: new Uint8Array(10), mediaType: "audio/wav" };
    await models.transcribe(silent, { signal: options.signal, tenantId: "t_1" }).catch(() => undefined);
    await models.sync();
    await vi.waitFor(async () => expect(await control.readHeld()).toEqual([]));
    expect(main.seen).toHaveLength(0);
  });

  test("what a request does wrong is no fault of the model", async () => {
    const { file } = await pair(() => ({ error: { status: 400, message: "maximum context length is 10" } }));
    const models = create({}, { ...file, breaker });
    for (let call = 0; call < 6; call += 1) await models.model(request, options);
    expect(models.held()).toEqual([]);
  });
});

describe("limits", () => {
  const limits = {
    main: { requests_per_minute: 60, tenant: { tokens_per_minute: 5000 } },
    "main/m": { concurrency: 1 },
  };
  const full = { kind: "full", scope: "main", waitMs: 12_345 } as const;
  let control: TestControl;

  test("each request takes from all limits of its model, and gives back what it did not use", async () => {
    control = createTestControl();
    const usage = { inputTokens: 30, cachedInputTokens: 0, outputTokens: 12, reasoningTokens: 0 };
    const { file } = await pair(() => ({ text: "main", usage }));
    await create({}, { ...file, limits }, { control }).model(request, options);
    expect(control.takes).toEqual([
      {
        tenantId: "t_1",
        scopes: [{ scope: "main", requests: 60, tokens: null, tenant_requests: null, tenant_tokens: 5000 }],
        tokens: expect.any(Number) as number,
        windowMs: 60_000,
        waited: false,
      },
    ]);
    expect(control.settled).toEqual([42]);
  });

  test("a full one is not waited for in a slot: another model serves, else the task comes back when it is its turn", async () => {
    control = createTestControl();
    const { file, main } = await pair(() => ({ text: "main" }));
    const { model } = create({}, { ...file, limits }, { control });
    control.answer(full);
    expect(await model(request, options)).toMatchObject({ provider: "spare", tries: [{ why: "over_limit", ms: 0 }] });
    control.answer(full);
    await expect(model({ ...request, stage: "execute" }, options)).rejects.toMatchObject({
      code: "held_back",
      retry: { afterMs: 12_345 },
    });
    expect(main.seen).toHaveLength(0);
    await model({ ...request, stage: "execute" }, { ...options, caller: { ...options.caller, waits: 1 } });
    expect(control.takes.at(-1)?.waited).toBe(true);
  });

  test("calls under way are bounded; who finds no room is sent elsewhere", async () => {
    control = createTestControl();
    const release = Promise.withResolvers<void>();
    const { file, main } = await pair(async () => {
      await release.promise;
      return { text: "main" };
    });
    const { model } = create({}, { ...file, limits }, { control });
    const [first, second] = [model(request, options), model(request, options)];
    expect(await model(request, options)).toMatchObject({ provider: "spare", tries: [{ why: "busy" }] });
    await vi.waitFor(() => expect(main.seen).toHaveLength(1));
    release.resolve();
    expect(await first).toMatchObject({ provider: "main" });
    expect(await second).toMatchObject({ provider: "main" });
  });

  test("a provider's bound is of all its models together, and stays what it is when settings change", async () => {
    const release = Promise.withResolvers<void>();
    const { file, main } = await pair(async () => {
      await release.promise;
      return { text: "main" };
    });
    const bounded = {
      ...file,
      routes: { ...file.routes, execute: "main/other" },
      limits: { main: { concurrency: 1 } },
    };
    const models = create({}, bounded);
    const first = models.model(request, options);
    const second = models.model({ ...request, stage: "execute" }, options);
    models.use(assembleModels({ env: {}, file: modelsFileSchema.parse(bounded), cwd: "/" }));
    expect(await models.model(request, options)).toMatchObject({ provider: "spare", tries: [{ why: "busy" }] });
    await vi.waitFor(() => expect(main.seen).toHaveLength(1));
    release.resolve();
    await Promise.all([first, second]);
    expect(main.seen).toHaveLength(2);
  });

  test("retries are a share of the calls: an outage is not multiplied", async () => {
    const { file, main } = await pair(() => ({ error: { status: 500, message: "oops" } }));
    const never = { calls: 10_000, min_calls: 10_000 };
    const { model } = create({}, { ...file, breaker: never, retry: { first_wait_ms: 10, cap_ms: 10, budget: 0.1 } });
    for (let call = 0; call < 60; call += 1) await model(request, options);
    // 10 that are saved at first, and one for every ten calls.
    expect(main.seen.length).toBeGreaterThanOrEqual(60 + 15);
    expect(main.seen.length).toBeLessThanOrEqual(60 + 10 + 6);
  });
});

describe("settings that change", () => {
  test("calls that begin later go by the new ones; what cannot work changes nothing", async () => {
    const { file } = await pair(() => ({ text: "main" }));
    const settings = (routes: object) =>
      assembleModels({
        env: {},
        file: modelsFileSchema.parse({ ...file, routes: { ...file.routes, ...routes } }),
        cwd: "/",
      });
    const models = create({}, file);
    expect(await models.model(request, options)).toMatchObject({ provider: "main" });
    models.use(settings({ plan: "spare/s" }));
    expect(await models.model(request, options)).toMatchObject({ provider: "spare" });
    expect(() => models.use(settings({ plan: "nobody/s" }))).toThrow(/nobody/);
    expect(await models.model(request, options)).toMatchObject({ provider: "spare" });
  });
});

describe("a test of all routes", () => {
  test("asks each model once, and says which serve", async () => {
    const { file, main, spare } = await pair(
      () => ({ error: { status: 401, message: "who are you" } }),
      () => ({ text: "ok" }),
    );
    const results = await create({}, file).test(options.signal);
    expect(results).toMatchObject([
      { name: "main/m", ok: false, detail: expect.stringContaining("key was not accepted") as string },
      { name: "spare/s", uses: ["plan"], ok: true, detail: "ok" },
    ]);
    expect([main.seen.length, spare.seen.length]).toEqual([1, 1]);
  });
});

describe("embeddings", () => {
  const env = (server: ScriptedServer) => ({
    OPENAI_BASE_URL: server.openAiBaseUrl,
    OUTERLOOP_MODEL: "openai/m",
    OUTERLOOP_MODEL_EMBED: "openai/nomic@3",
  });

  test("come back in order, however many texts there are", async () => {
    const server = await start(() => "hang", { dimensions: 3 });
    const models = create(env(server));
    const embedder = models.embedder();
    const { embedderOf } = models;
    const texts = Array.from({ length: 300 }, (_, index) => "x".repeat((index % 7) + 1));
    const vectors = await embedder.embed(texts, options.signal);
    expect(embedder).toMatchObject({ name: "openai/nomic", dimensions: 3 });
    expect(vectors.map((vector) => vector[0])).toEqual(texts.map((text) => text.length));
    // Of a model that was in the route before, as long as its provider is there.
    expect(embedderOf("openai/before", 3)).toMatchObject({ name: "openai/before", dimensions: 3 });
    expect(await embedderOf("openai/before", 3)?.embed(["four"], options.signal)).toEqual([[4, 4, 4]]);
    expect(embedderOf("gone/before", 3)).toBeNull();
    expect(embedderOf("local/hash", 8)).toBe(localEmbedder);
  });

  test("who was handed out goes on when the settings change", async () => {
    const server = await start(() => "hang", { dimensions: 3 });
    const models = create(env(server));
    const before = models.embedder();
    models.use(assembleModels({ env: { ...env(server), OUTERLOOP_MODEL_EMBED: "openai/other@3" }, cwd: "/" }));
    expect([before.name, models.embedder().name]).toEqual(["openai/nomic", "openai/other"]);
    await before.embed(["a"], options.signal);
    expect(server.embedded.map((each) => each.model)).toEqual(["nomic"]);
  });

  test("of another size than stated are a config error, not a wrong vector", async () => {
    const server = await start(() => "hang", { dimensions: 4 });
    await expect(create(env(server)).embedder().embed(["x"], options.signal)).rejects.toMatchObject({
      code: "config",
      message: expect.stringContaining("4") as string,
    });
  });
});
