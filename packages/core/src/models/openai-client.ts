/** The one place that constructs OpenAI's SDK: Responses, Chat Completions, embeddings and the list of models share it. */
import OpenAI from "openai";
import { OuterloopError } from "../domain/errors.ts";
import { contextOf, noKey, sdkTimeoutMs, timeoutsOf, type Connection } from "./connection.ts";
import { liveCall } from "./live-call.ts";

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

/** The first model that a compatible server lists: what a local server serves is what it was started with. */
export function firstListedModel(connection: Connection, signal: AbortSignal): Promise<string> {
  const where = `openai (${connection.baseURL ?? ownBaseUrl})`;
  return liveCall(contextOf(connection, where), timeoutsOf(connection), { signal }, async (live) => {
    const page = await createOpenAiClient(connection).models.list({ signal: live.signal });
    const [first] = page.data;
    if (first) return first.id;
    throw new OuterloopError(
      "config",
      `${where}: the server lists no model; load one, or name it: OUTERLOOP_MODEL=openai/MODEL`,
    );
  });
}
