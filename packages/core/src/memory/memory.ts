/** Long-term memory: what was learned, found again by meaning. Owns recall (DESIGN §1.4); written by commits, never by itself. */
import type { TenantId } from "../domain/ids.ts";
import { LRUCache } from "lru-cache";
import { messageOf, OuterloopError } from "../domain/errors.ts";
import type { RecalledMemory } from "../domain/tool.ts";
import type { Logger } from "../logging.ts";
import type { Embedder } from "../models/provider.ts";
import { createGatherer } from "../store/gatherer.ts";
import { toVector, type VectorQuery } from "../store/memories.ts";
import type { Store } from "../store/store.ts";
import type { VectorStore } from "../store/vector-store.ts";
import { createEmbeddings, type EmbeddingParts, type Embeddings } from "./embeddings.ts";
import { mergeByRank } from "./merge.ts";
import { reachable, watchOldModels, type EmbedderOf } from "./old-models.ts";

export interface RecallOptions {
  readonly tenantId: TenantId;
  readonly query: string;
  /** The most similar ones. */
  readonly similar: number;
  /** And the most recent ones, so that the window is deterministic whatever the model of meaning. */
  readonly recent: number;
  readonly signal: AbortSignal;
}

/** How often the same text may stand among what is looked at. */
const repeats = 4;
/** Recalls of one statement. */
const maxQueries = 32;
/** Models before the one in use that a recall asks. */
const maxOldModels = 2;
/** Embedders with what they have cached and gathered. */
const maxKnown = 16;
/** Below this a memory is about something else. */
const minSimilarity = 0.15;
/**
 * Of what is recalled at least this share is lessons, where there are as many among what is looked at: a result repeats
 * the text of its task and so is nearest to a like task, but how to go about it stands in the lesson.
 */
const lessonShare = 0.5;

export interface Memory {
  /** Whether results, lessons and answers are to be kept, and are recalled. */
  readonly learns: boolean;
  recall(options: RecallOptions): Promise<RecalledMemory[]>;
  /** A vector as pgvector reads it, with the name of the model that made it. */
  embed(
    tenantId: TenantId,
    texts: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly { readonly embedding: string; readonly embedding_model: string }[]>;
}

export interface MemoryParts extends EmbeddingParts {
  readonly store: Pick<Store, "nearestMemories" | "newestMemories">;
  /** Absent where nothing but the embedder's own vectors can be there. */
  readonly vectors?: Pick<VectorStore, "readCachedVectors" | "keepCachedVectors" | "listEmbeddedModels"> | undefined;
  /** Who embeds now: settings may change it. What it is at one moment makes the vectors and names them. */
  readonly embedder: () => Embedder;
  /** Embeds here what the embedder cannot now; it is embedded again by the other when that is back. */
  readonly localEmbedder: Embedder;
  /** Who embedded before; memories of a model that is gone are found when they are embedded again. */
  readonly embedderOf: EmbedderOf;
  /** Without it nothing is recalled, and only what a task notes down is kept. */
  readonly learns: boolean;
  readonly log: Pick<Logger, "warn">;
}

export function createMemory(parts: MemoryParts): Memory {
  const { store, embedder, embedderOf, learns, log } = parts;
  const embeddingsOf = createEmbeddings(parts);
  const oldModels = parts.vectors === undefined ? async () => [] : watchOldModels(parts.vectors, embedder, log);

  interface Known {
    by: Embedder;
    readonly embeddings: Embeddings;
    readonly search: Search;
  }
  type Search = (query: RecallOptions) => Promise<readonly RecalledMemory[]>;
  function searchBy({ embed }: Embeddings, model: string): Search {
    // Tasks that begin together recall together: one round trip.
    const nearest = createGatherer<VectorQuery, RecalledMemory[]>({
      maxItems: maxQueries,
      maxBytes: Infinity,
      bytesOf: () => 0,
      gatherMs: parts.gatherMs,
      send: async (queries) => {
        const found = await store.nearestMemories(model, queries);
        return found.map((reply) => ({ reply }));
      },
    });
    return async ({ tenantId, query, similar, signal }) => {
      const [vector] = await embed(tenantId, [query], signal);
      if (vector === undefined) return [];
      // The same work done again leaves the same texts: one of each is enough, so more are looked at than are wanted.
      const near = await nearest.add({ tenantId, vector, limit: similar * repeats });
      return near.filter((memory) => memory.similarity >= minSimilarity);
    };
  }
  /** One for each embedder that there was while this process ran, the last ones: settings name few. */
  const known = new LRUCache<string, Known>({ max: maxKnown });
  function knownOf(one: Embedder): Known {
    const key = `${one.name}@${one.dimensions}`;
    const found = known.get(key);
    if (found !== undefined) {
      found.by = one;
      return found;
    }
    // The same model may come to be reached otherwise, as by another key: who asks goes by the last.
    const { name, dimensions } = one;
    const embeddings = embeddingsOf({ name, dimensions, embed: (texts, signal) => fresh.by.embed(texts, signal) });
    const fresh: Known = { by: one, embeddings, search: searchBy(embeddings, name) };
    known.set(key, fresh);
    return fresh;
  }

  /** Among the vectors of models that were in use before: what those models cannot be asked for is left out. */
  async function searchOld(options: RecallOptions): Promise<readonly (readonly RecalledMemory[])[]> {
    const models = await oldModels();
    const old = models.flatMap((model) => reachable(embedderOf, model) ?? []).slice(0, maxOldModels);
    return Promise.all(
      old.map(async (each) => {
        return searchOrNot(each, options);
      }),
    );
  }

  /** Work goes on without what an embedder that is away would have found. */
  async function searchOrNot(each: Embedder, options: RecallOptions): Promise<readonly RecalledMemory[]> {
    try {
      return await knownOf(each).search(options);
    } catch (thrown) {
      options.signal.throwIfAborted();
      // The store's outages are waited for like everywhere.
      if (thrown instanceof OuterloopError && thrown.code === "store_unavailable") throw thrown;
      log.warn({ event: "memories_not_searched", model: each.name, error: messageOf(thrown) });
      return [];
    }
  }

  return {
    learns,
    async embed(tenantId, texts, signal) {
      const made = async (by: Embedder) => {
        const vectors = await knownOf(by).embeddings.embed(tenantId, texts, signal);
        return vectors.map((vector) => ({ embedding: toVector(vector), embedding_model: by.name }));
      };
      try {
        return await made(embedder());
      } catch (thrown) {
        signal.throwIfAborted();
        // What is to be kept comes with work that was done and paid for: it does not wait for its vectors.
        log.warn({ event: "embedded_locally", model: embedder().name, error: messageOf(thrown) });
        return made(parts.localEmbedder);
      }
    },

    async recall(options) {
      if (!learns) return [];
      const { tenantId, similar, recent } = options;
      // The old ones first: what is embedded again between the two is then found by both, never by neither.
      const foundBefore = await searchOld(options);
      const [near, newest] = await Promise.all([
        searchOrNot(embedder(), options),
        recent === 0 ? [] : store.newestMemories(tenantId, recent * repeats),
      ]);
      const seen = new Set<string>();
      const isNew = (memory: RecalledMemory) => !seen.has(memory.text) && seen.add(memory.text) !== undefined;
      const chosen = chooseSimilar(mergeByRank([near, ...foundBefore]).filter(isNew), similar);
      return [...chosen, ...newest.filter(isNew).slice(0, recent)];
    },
  };
}

/** @param near nearest first; so is what is returned */
export function chooseSimilar(near: readonly RecalledMemory[], count: number): RecalledMemory[] {
  const lessons = near.filter((memory) => memory.kind === "lesson").slice(0, Math.floor(count * lessonShare));
  const others = near.filter((memory) => !lessons.includes(memory)).slice(0, count - lessons.length);
  return near.filter((memory) => lessons.includes(memory) || others.includes(memory));
}
