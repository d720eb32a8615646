import type OpenAI from "openai";
import { OuterloopError } from "../../../domain/errors.ts";
import type { EmbedRequest, EmbedResponse } from "../../provider.ts";
import { contextOf, timeoutsOf, type Connection } from "../shared/connection.ts";
import { liveCall } from "../shared/live-call.ts";

/** Well under the API's 2,048 texts and 300,000 tokens a request, at up to 2,000 tokens a text. */
const textsPerRequest = 128;

/** One vector for each text, float[dimensions]. Throws `config` where the model returns others. */
export async function embed(
  client: OpenAI,
  connection: Connection,
  model: string,
  { texts, dimensions }: EmbedRequest,
  signal: AbortSignal,
): Promise<EmbedResponse> {
  const vectors: (readonly number[])[] = [];
  let inputTokens = 0;
  for (let from = 0; from < texts.length; from += textsPerRequest) {
    const batch = texts.slice(from, from + textsPerRequest);
    const answer = await embedBatch(client, connection, model, { texts: batch, dimensions }, signal);
    vectors.push(...answer.vectors);
    inputTokens += answer.inputTokens;
  }
  return { vectors, inputTokens };
}

function embedBatch(
  client: OpenAI,
  connection: Connection,
  model: string,
  { texts, dimensions }: EmbedRequest,
  signal: AbortSignal,
): Promise<EmbedResponse> {
  const name = `${connection.name}/${model}`;
  return liveCall(contextOf(connection, name), timeoutsOf(connection), { signal }, async (live) => {
    const answer = await client.embeddings.create(
      // An empty text is an error to the API. Plain floats, since compatible servers have no base64.
      { model, input: texts.map((text) => text || " "), encoding_format: "float" },
      { signal: live.signal },
    );
    const vectors = answer.data.toSorted((a, b) => a.index - b.index).map((item) => item.embedding);
    if (vectors.length === texts.length && vectors.every((vector) => vector.length === dimensions))
      // Some servers leave usage out, against the SDK's types.
      return { vectors, inputTokens: (answer.usage as { prompt_tokens?: number } | undefined)?.prompt_tokens ?? 0 };
    const got = vectors.find((vector) => vector.length !== dimensions)?.length ?? dimensions;
    throw new OuterloopError(
      "config",
      `${name}: returned ${vectors.length} vectors of ${got} dimensions for ${texts.length} texts, expected ${dimensions}; set OUTERLOOP_MODEL_EMBED=${name}@${got}`,
    );
  });
}
