/** Who turns texts into vectors: OpenAI where its own service is in use, else a local embedder, unless settings say otherwise. */
import { OuterloopError } from "../../domain/errors.ts";
import type { Connection } from "../adapters/shared/connection.ts";
import type { ModelSettings } from "./model-settings.ts";
import { isOpenAiHost } from "../adapters/openai/client.ts";
import { createOpenAiEmbedder } from "../adapters/openai/embedder.ts";
import type { Embedder } from "../provider.ts";

const knownDimensions: Readonly<Record<string, number>> = {
  "text-embedding-3-small": 1536,
  "text-embedding-3-large": 3072,
};
const defaultModel = "text-embedding-3-small";

/** @param offline where nothing else leaves this process, texts to embed do not either */
export function createEmbedder(
  settings: ModelSettings,
  connection: Connection,
  local: Embedder,
  offline: boolean,
): Embedder {
  const wanted = settings.modelEmbed?.trim();
  if (!wanted) {
    const hasOpenAi = settings.openAiKey && isOpenAiHost(settings.openAiBaseUrl) && !offline;
    return hasOpenAi ? createOpenAiEmbedder(connection, defaultModel, knownDimensions[defaultModel]!) : local;
  }
  if (wanted === "local" || wanted === "offline") return local;
  const [, provider, model = "", stated] = /^([^/]*)\/(.*?)(?:@(\d+))?$/.exec(wanted) ?? [];
  if (provider !== "openai" || model === "") {
    throw new OuterloopError(
      "config",
      `OUTERLOOP_MODEL_EMBED=${wanted}: write openai/text-embedding-3-small, openai/MODEL@DIMENSIONS or local`,
    );
  }
  if (!settings.openAiKey && !settings.openAiBaseUrl) {
    throw new OuterloopError(
      "config",
      `OUTERLOOP_MODEL_EMBED=${wanted}: there is no key; set OPENAI_API_KEY, or OPENAI_BASE_URL for a server that needs none`,
    );
  }
  const dimensions = stated ? Number(stated) : knownDimensions[model];
  if (!dimensions)
    throw new OuterloopError(
      "config",
      `OUTERLOOP_MODEL_EMBED=${wanted}: how many dimensions does it return? Write ${wanted}@1024, say`,
    );
  return createOpenAiEmbedder(connection, model, dimensions);
}
