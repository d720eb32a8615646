/** Embeddings with a meaning that a test can foresee: a text stands where its topic does, in a place of its own in each model. */
import { sha256 } from "@outerloop/core";
import type { Embedder } from "../../../packages/core/src/models/provider.ts";
import {
  startScriptedServer,
  type ScriptedServerOptions,
} from "../../../packages/core/src/models/testing/scripted-server.ts";

/** `topic-7 …` is about topic-7. */
export function topicVector(text: string, model: string, dimensions: number): number[] {
  const topic = /topic-\d+/.exec(text)?.[0] ?? text;
  const digest = Buffer.from(sha256(`${model} ${topic}`), "hex");
  return Array.from({ length: dimensions }, (_, at) => digest.readInt8(at) / 128);
}

/** A server of embeddings for models that are named by their length: `old-8`, `new-6`. */
export function startTopicServer(embed?: ScriptedServerOptions["embed"]) {
  return startScriptedServer(() => "hang", {
    embed: (request) =>
      embed?.(request) ??
      request.texts.map((text) => topicVector(text, request.model, Number(request.model.split("-").at(-1)))),
  });
}

/** Over the wire, as any provider's. */
export function remoteEmbedder(baseUrl: string, model: string): Embedder {
  return {
    name: `openai/${model}`,
    dimensions: Number(model.split("-").at(-1)),
    async embed(input, signal) {
      const response = await fetch(`${baseUrl}/embeddings`, {
        method: "POST",
        body: JSON.stringify({ model, input }),
        signal,
      });
      if (!response.ok) throw new Error(`the server said ${response.status}`);
      const { data } = (await response.json()) as { data: { embedding: number[] }[] };
      return data.map((each) => each.embedding);
    },
  };
}
