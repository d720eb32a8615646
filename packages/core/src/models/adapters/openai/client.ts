/** The one place that constructs OpenAI's SDK: Responses, Chat Completions, embeddings and the list of models share it. */
import OpenAI from "openai";
import { contextOf, noKey, sdkTimeoutMs, timeoutsOf, type Connection } from "../shared/connection.ts";
import type { Capabilities } from "../../provider.ts";
import { liveCall } from "../shared/live-call.ts";

const ownBaseUrl = "https://api.openai.com/v1";

export function createOpenAiClient(connection: Connection): OpenAI {
  return new OpenAI({
    apiKey: connection.apiKey ?? noKey,
    baseURL: connection.baseURL ?? ownBaseUrl,
    timeout: sdkTimeoutMs(connection),
    // Retries are counted in one place, `retry.ts`.
    maxRetries: 0,
    logLevel: "off",
    ...(connection.fetch ? { fetch: connection.fetch } : {}),
  });
}

/** Whether a base URL is OpenAI's own, regional hosts included; compatible servers take fewer options and have other models. */
export function isOpenAiHost(baseURL: string | undefined): boolean {
  if (!baseURL) return true;
  const hostname = URL.parse(baseURL)?.hostname ?? "";
  return hostname === "api.openai.com" || hostname.endsWith(".api.openai.com");
}

/** What a server says that it serves; a local one lists what it was started with. */
export function listModels(connection: Connection, signal: AbortSignal): Promise<readonly string[]> {
  const where = `${connection.name} (${connection.baseURL ?? ownBaseUrl})`;
  return liveCall(contextOf(connection, where), timeoutsOf(connection), { signal }, async (live) => {
    const page = await createOpenAiClient(connection).models.list({ signal: live.signal });
    return page.data.map((model) => model.id);
  });
}

export const openAiCapabilities: Capabilities = {
  tools: true,
  structured: "native",
  embeddings: true,
  transcription: true,
};
