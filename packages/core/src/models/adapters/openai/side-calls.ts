import type OpenAI from "openai";
import type { Provider } from "../../provider.ts";
import type { Connection } from "../shared/connection.ts";
import { listModels } from "./client.ts";
import { embed } from "./embed.ts";
import type { Quirks } from "./quirks.ts";
import { transcribe } from "./transcribe.ts";

/** What a server serves beside answers, whichever API it answers by. */
export function sideCalls(
  client: OpenAI,
  connection: Connection,
  quirks: Quirks,
): Pick<Provider, "embed" | "transcribe" | "listModels"> {
  return {
    ...(quirks.listsModels && { listModels: (signal) => listModels(connection, signal) }),
    ...(quirks.embeddings && {
      embed: (model, request, signal) => embed(client, connection, model, request, signal),
    }),
    ...(quirks.transcription && {
      transcribe: (model, request, signal) => transcribe(client, connection, model, request, signal),
    }),
  };
}
