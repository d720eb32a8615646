/** The one place that constructs OpenAI's SDK: Responses, Chat Completions, embeddings, transcription and the list of models share it. */
import OpenAI from "openai";
import { contextOf, noKey, sdkTimeoutMs, timeoutsOf, type Connection } from "../shared/connection.ts";
import { liveCall } from "../shared/live-call.ts";
import { quirksOf } from "./quirks.ts";

const ownBaseUrl = "https://api.openai.com/v1";

export function createOpenAiClient(connection: Connection): OpenAI {
  const apiKey = connection.apiKey ?? noKey;
  const apiVersion = connection.options?.["api_version"];
  return new OpenAI({
    apiKey,
    baseURL: connection.baseURL ?? ownBaseUrl,
    timeout: sdkTimeoutMs(connection),
    // Retries are counted in one place, `routing/call.ts`.
    maxRetries: 0,
    logLevel: "off",
    ...(quirksOf(connection).auth === "api-key" && { defaultHeaders: { authorization: null, "api-key": apiKey } }),
    ...(typeof apiVersion === "string" && { defaultQuery: { "api-version": apiVersion } }),
    ...(connection.fetch ? { fetch: connection.fetch } : {}),
  });
}

/** What a server says that it serves; a local one lists what it was started with. */
export function listModels(connection: Connection, signal: AbortSignal): Promise<readonly string[]> {
  const where = `${connection.name} (${connection.baseURL ?? ownBaseUrl})`;
  return liveCall(contextOf(connection, where), timeoutsOf(connection), { signal }, async (live) => {
    const page = await createOpenAiClient(connection).models.list({ signal: live.signal });
    return page.data.map((model) => model.id);
  });
}
