import { afterEach, describe, expect, test } from "vitest";
import { stages, type ModelRequest } from "../../domain/model.ts";
import { noUsage } from "../../domain/model.ts";
import type { ModelSettings } from "./model-settings.ts";
import type { Embedder, Provider } from "../provider.ts";
import { createModels, type ModelParts } from "./routes.ts";
import {
  startScriptedServer,
  type Script,
  type ScriptedServer,
  type ScriptedServerOptions,
} from "../testing/scripted-server.ts";

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
const parts: ModelParts = { offline, localEmbedder, random: () => 0, sleep: async () => {} };
const request: ModelRequest = {
  stage: "plan",
  system: "s",
  messages: [{ role: "user", parts: ["p"] }],
  tools: [],
  maxOutputTokens: 100,
};
const options = { signal: new AbortController().signal, caller: { tenantId: "t_1", goalId: "g_1" } };

const servers: ScriptedServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});
async function start(script: Script, serverOptions?: ScriptedServerOptions): Promise<ScriptedServer> {
  const server = await startScriptedServer(script, serverOptions);
  servers.push(server);
  return server;
}

/** Sends what is meant for a provider's own host to the server. */
function toServer(server: ScriptedServer): typeof fetch {
  return (input, init) => {
    const { pathname } = new URL(input instanceof Request ? input.url : input);
    return fetch(`${server.anthropicBaseUrl}${pathname}`, init);
  };
}

function routesOf(settings: ModelSettings): Record<string, string> {
  return Object.fromEntries(
    createModels(settings, parts)
      .describe()
      .map(({ stage, route }) => [stage, route]),
  );
}

describe("who serves", () => {
  test("nobody set up: the offline model, in every stage, and the local embedder", () => {
    const models = createModels({}, parts);
    expect(models.offline).toBe(true);
    expect(models.describe()).toEqual([
      ...stages.map((stage) => ({ stage, route: "offline/rules" })),
      { stage: "embed", route: "local/hash" },
    ]);
  });

  test("a key selects its provider: a reasoning model plans and reflects, a faster one executes", () => {
    expect(routesOf({ openAiKey: "k" })).toEqual({
      intake: "openai/gpt-6.1-terra",
      plan: "openai/gpt-6.1-sol",
      execute: "openai/gpt-6.1-terra",
      reflect: "openai/gpt-6.1-sol",
      embed: "openai/text-embedding-3-small",
    });
    expect(routesOf({ anthropicKey: "k" })).toMatchObject({
      plan: "anthropic/claude-opus-5-5",
      execute: "anthropic/claude-sonnet-5-5",
      embed: "local/hash",
    });
  });

  test("a base URL alone selects its provider; both keys select OpenAI; saying otherwise wins", () => {
    expect(routesOf({ anthropicBaseUrl: "http://127.0.0.1:1" })["plan"]).toMatch(/^anthropic/);
    expect(routesOf({ openAiBaseUrl: "http://127.0.0.1:1/v1" })["plan"]).toMatch(/^openai/);
    expect(routesOf({ openAiKey: "k", anthropicKey: "k" })["plan"]).toMatch(/^openai/);
    expect(routesOf({ openAiKey: "k", anthropicKey: "k", model: "anthropic" })["plan"]).toBe(
      "anthropic/claude-opus-5-5",
    );
  });

  test("a stage may differ, and a model's name may have slashes", () => {
    const routes = routesOf({
      openAiKey: "k",
      anthropicKey: "k",
      model: "openai/meta/llama-4",
      modelReflect: "anthropic/claude-fable-5-1",
      modelIntake: "offline",
    });
    expect(routes).toMatchObject({
      plan: "openai/meta/llama-4",
      execute: "openai/meta/llama-4",
      reflect: "anthropic/claude-fable-5-1",
      intake: "offline/rules",
    });
  });

  test("offline by choice sends nothing out, texts to embed neither", () => {
    expect(routesOf({ openAiKey: "k", model: "offline" })).toMatchObject({
      plan: "offline/rules",
      embed: "local/hash",
    });
  });

  test.each<[string, ModelSettings, RegExp]>([
    [
      "an unknown provider",
      { modelPlan: "opanai/gpt" },
      /OUTERLOOP_MODEL_PLAN=opanai\/gpt.*openai, anthropic, offline/,
    ],
    ["a model without a provider", { model: "gpt-6.1-sol" }, /write provider\/model/],
    ["a provider with an empty model", { model: "openai/", openAiKey: "k" }, /model is missing/],
    ["a provider without a key", { model: "anthropic/claude-opus-5-5" }, /set ANTHROPIC_API_KEY/],
    ["a base URL that is none", { openAiBaseUrl: "localhost:11434" }, /OPENAI_BASE_URL is not a URL/],
    ["an embedder of another kind", { modelEmbed: "anthropic/x", anthropicKey: "k" }, /OUTERLOOP_MODEL_EMBED/],
    ["an embedder without a key", { modelEmbed: "openai/text-embedding-3-large" }, /set OPENAI_API_KEY/],
    [
      "an embedder of unknown size",
      { modelEmbed: "openai/nomic", openAiBaseUrl: "http://127.0.0.1:1/v1" },
      /openai\/nomic@1024/,
    ],
  ])("%s is refused with the fix", (_title, settings, message) => {
    expect(() => createModels(settings, parts)).toThrow(
      expect.objectContaining({ code: "config", message: expect.stringMatching(message) as string }) as Error,
    );
  });
});

describe("which protocol", () => {
  test("OpenAI's own host is spoken to by Responses, another by Chat Completions, OPENAI_API overrides", async () => {
    const server = await start(() => ({ text: "ok" }));
    const own = { ...parts, fetch: toServer(server) };
    await createModels({ openAiKey: "k" }, own).model(request, options);
    await createModels({ openAiKey: "k", openAiApi: "chat" }, own).model(request, options);
    await createModels({ openAiBaseUrl: server.openAiBaseUrl, model: "openai/m" }, parts).model(request, options);
    await createModels({ openAiBaseUrl: server.openAiBaseUrl, model: "openai/m", openAiApi: "responses" }, parts).model(
      request,
      options,
    );
    await createModels({ anthropicBaseUrl: `${server.anthropicBaseUrl}/v1` }, parts).model(request, options);
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
    const models = createModels({ openAiBaseUrl: server.openAiBaseUrl }, parts);
    expect(models.describe()[0]?.route).toBe("openai/(the server's first model)");
    const answer = await models.model(request, options);
    expect(answer).toMatchObject({ provider: "openai", model: "qwen3:8b", costMicroUsd: null });
    expect(models.describe()[0]?.route).toBe("openai/qwen3:8b");
  });

  test("a local server that lists none is a config error with the fix", async () => {
    const server = await start(() => ({ text: "ok" }));
    const { model } = createModels({ openAiBaseUrl: server.openAiBaseUrl }, parts);
    await expect(model(request, options)).rejects.toMatchObject({
      code: "config",
      message: expect.stringContaining("OUTERLOOP_MODEL=openai/") as string,
    });
  });
});

describe("a routed call", () => {
  test("is tried again, priced, and named", async () => {
    const usage = { inputTokens: 1000, cachedInputTokens: 0, outputTokens: 100, reasoningTokens: 0 };
    const server = await start(({ number }) =>
      number === 1 ? { error: { status: 500, message: "oops" } } : { text: "ok", usage },
    );
    const answer = await createModels({ openAiKey: "k" }, { ...parts, fetch: toServer(server) }).model(
      request,
      options,
    );
    expect(answer).toEqual({
      firstTokenMs: expect.any(Number),
      tries: [],
      message: { role: "assistant", text: "ok", toolCalls: [] },
      stop: "end",
      usage,
      provider: "openai",
      model: "gpt-6.1-sol",
      costMicroUsd: 3000,
    });
  });

  test("gives up after the tries it was given", async () => {
    const server = await start(() => ({ error: { status: 503, message: "down" } }));
    const { model } = createModels({ openAiKey: "k", modelTries: 2 }, { ...parts, fetch: toServer(server) });
    await expect(model(request, options)).rejects.toMatchObject({ code: "model_unavailable" });
    expect(server.seen).toHaveLength(2);
  });

  test("offline costs nothing", async () => {
    expect(await createModels({}, parts).model(request, options)).toMatchObject({
      provider: "offline",
      model: "rules",
      costMicroUsd: 0,
    });
  });
});

describe("embeddings", () => {
  test("come back in order, however many texts there are", async () => {
    const server = await start(() => "hang", { dimensions: 3 });
    const { embedder } = createModels({ openAiBaseUrl: server.openAiBaseUrl, modelEmbed: "openai/nomic@3" }, parts);
    const texts = Array.from({ length: 300 }, (_, index) => "x".repeat((index % 7) + 1));
    const vectors = await embedder.embed(texts, options.signal);
    expect(embedder).toMatchObject({ name: "openai/nomic", dimensions: 3 });
    expect(vectors.map((vector) => vector[0])).toEqual(texts.map((text) => text.length));
  });

  test("of another size than stated are a config error, not a wrong vector", async () => {
    const server = await start(() => "hang", { dimensions: 4 });
    const { embedder } = createModels({ openAiBaseUrl: server.openAiBaseUrl, modelEmbed: "openai/nomic@3" }, parts);
    await expect(embedder.embed(["x"], options.signal)).rejects.toMatchObject({
      code: "config",
      message: expect.stringContaining("@4") as string,
    });
  });
});
