import { OuterloopError } from "../../../domain/errors.ts";
import { contextOf, timeoutsOf, type Connection } from "../shared/connection.ts";
import { liveCall } from "../shared/live-call.ts";
import { createOpenAiClient } from "./client.ts";
import type { Embedder } from "../../provider.ts";

/** Well under the API's 2,048 texts and 300,000 tokens a request, at up to 2,000 tokens a text. */
const textsPerRequest = 128;

/** @param dimensions what the model returns: float[dimensions] for each text */
export function createOpenAiEmbedder(connection: Connection, model: string, dimensions: number): Embedder {
  const client = createOpenAiClient(connection);
  const name = `openai/${model}`;
  const embedBatch = (texts: readonly string[], signal: AbortSignal) =>
    liveCall(contextOf(connection, name), timeoutsOf(connection), { signal }, async (live) => {
      const answer = await client.embeddings.create(
        // An empty text is an error to the API. Plain floats, since compatible servers have no base64.
        { model, input: texts.map((text) => text || " "), encoding_format: "float" },
        { signal: live.signal },
      );
      const vectors = answer.data.toSorted((a, b) => a.index - b.index).map((item) => item.embedding);
      if (vectors.length === texts.length && vectors.every((vector) => vector.length === dimensions)) return vectors;
      const got = vectors[0]?.length ?? 0;
      throw new OuterloopError(
        "config",
        `${name}: returned ${vectors.length} vectors of ${got} dimensions for ${texts.length} texts, expected ${dimensions}; set OUTERLOOP_MODEL_EMBED=${name}@${got}`,
      );
    });
  return {
    name,
    dimensions,
    async embed(texts, signal) {
      const vectors: (readonly number[])[] = [];
      for (let from = 0; from < texts.length; from += textsPerRequest)
        vectors.push(...(await embedBatch(texts.slice(from, from + textsPerRequest), signal)));
      return vectors;
    },
  };
}
