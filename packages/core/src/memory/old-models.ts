/** Which models' vectors are among the memories beside those of the model in use; known here for a moment, asked for again beside the work. */
import { messageOf } from "../domain/errors.ts";
import type { Logger } from "../logging.ts";
import type { Embedder } from "../models/provider.ts";
import type { EmbeddingModel } from "../store/embedding-cache.ts";
import type { VectorStore } from "../store/vector-store.ts";

/** Embedders by their name and the length of their vectors; null for one that cannot be reached any more. */
export type EmbedderOf = (name: string, dimensions: number) => Embedder | null;

const knownMs = 10_000;

/** @returns a look that waits for the database the first time only. Where it is away there are none. */
export function watchOldModels(
  vectors: Pick<VectorStore, "listEmbeddedModels">,
  embedder: () => Embedder,
  log: Pick<Logger, "warn">,
  clock: () => number = () => performance.now(),
): () => Promise<readonly EmbeddingModel[]> {
  let known: readonly EmbeddingModel[] | undefined;
  let askedAt = -Infinity;
  let asking: Promise<void> = Promise.resolve();
  const ask = async () => {
    try {
      known = await vectors.listEmbeddedModels();
    } catch (thrown) {
      log.warn({ event: "embedded_models_unknown", error: messageOf(thrown) });
    }
  };
  return async () => {
    if (clock() - askedAt >= knownMs) {
      askedAt = clock();
      asking = ask();
    }
    if (known === undefined) await asking;
    return othersThan(embedder(), known ?? []);
  };
}

export function othersThan(embedder: Embedder, models: readonly EmbeddingModel[]): readonly EmbeddingModel[] {
  return models.filter((each) => each.model !== embedder.name || each.dimensions !== embedder.dimensions);
}

/** The embedder that made a model's vectors, where it still makes such ones. */
export function reachable(embedderOf: EmbedderOf, { model, dimensions }: EmbeddingModel): Embedder | null {
  const embedder = embedderOf(model, dimensions);
  return embedder?.dimensions === dimensions ? embedder : null;
}
