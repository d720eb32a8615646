/** The providers that the case suites run, and the servers that they are run against. */
import { LLMock } from "@copilotkit/aimock";
import { afterEach, expect } from "vitest";
import type { OuterloopError } from "../../domain/errors.ts";
import type { ModelCallOptions, ModelRequest } from "../../domain/model.ts";
import { anthropicKind } from "../adapters/anthropic.ts";
import { copilotKind } from "../adapters/copilot.ts";
import { openAiKind } from "../adapters/openai/kind.ts";
import type { Connection } from "../adapters/shared/connection.ts";
import { createOfflineProvider } from "../offline/provider.ts";
import type { Capabilities, Provider, ProviderKind } from "../provider.ts";
import { startScriptedServer, type ScriptedServer, type ScriptedServerOptions } from "./scripted-server.ts";
import type { Protocol, Script } from "./wire.ts";

export interface Target {
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
export const targets: readonly Target[] = [
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

export const key = "sk-test-0123456789abcdef";
export const request: ModelRequest = {
  stage: "execute",
  system: "You answer.",
  messages: [{ role: "user", parts: ["first part", "second part"] }],
  tools: [],
  maxOutputTokens: 1000,
};
export const quiet = (): ModelCallOptions => ({ signal: new AbortController().signal });

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

function connectionTo(target: Target, url: { readonly openAi: string; readonly anthropic: string }): Connection {
  return { name: "tested", apiKey: key, baseURL: target.speaks === "anthropic" ? url.anthropic : url.openAi };
}

/** A server that nobody listens on any more serves to ask a provider what it can. */
const nowhere = { openAi: "http://127.0.0.1:9/v1", anthropic: "http://127.0.0.1:9" };

export async function scripted(
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

/** The error a call ends with; a call that succeeds fails the test. */
export async function failure(call: Promise<unknown>): Promise<OuterloopError> {
  return call.then(
    () => expect.unreachable("the call succeeded"),
    (error: unknown) => error as OuterloopError,
  );
}

/** What a target can, and whether it lists its models; asked without any call. */
export function abilitiesOf(target: Target): { readonly capabilities: Capabilities; readonly provider: Provider } {
  const provider = target.create(connectionTo(target, nowhere));
  return { provider, capabilities: provider.capabilities(target.model) };
}

/** A provider of the target at aimock, set as told. */
export async function mocked(target: Target, set: (mock: LLMock) => void): Promise<Provider> {
  const mock = new LLMock({ port: 0 });
  set(mock);
  await mock.start();
  cleanups.push(() => mock.stop());
  const provider = target.create(connectionTo(target, { openAi: `${mock.url}/v1`, anthropic: mock.url }));
  cleanups.push(async () => provider.close?.());
  return provider;
}
