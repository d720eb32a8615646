import { createOpenAiClient } from "./client.ts";
import { embed } from "./embed.ts";
import type { Connection } from "../shared/connection.ts";
import type { Embedder } from "../../provider.ts";

/** @param dimensions what the model returns: float[dimensions] for each text */
export function createOpenAiEmbedder(connection: Connection, model: string, dimensions: number): Embedder {
  const client = createOpenAiClient(connection);
  return {
    name: `openai/${model}`,
    dimensions,
    embed: async (texts, signal) => (await embed(client, connection, model, { texts, dimensions }, signal)).vectors,
  };
}
