/** Long-term memory: what was learned, found again by meaning. Owns recall (DESIGN §1.4); written by commits, never by itself. */
import type { TenantId } from "../domain/ids.ts";
import type { RecalledMemory } from "../domain/tool.ts";
import type { Embedder } from "../models/provider.ts";
import { createGatherer } from "../store/gatherer.ts";
import { toVector, type VectorQuery } from "../store/memories.ts";
import type { Store } from "../store/store.ts";

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
    texts: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly { readonly embedding: string; readonly embedding_model: string }[]>;
}

/**
 * @param learns without it nothing is recalled, and only what a task notes down is kept
 * @param gatherMs how long a recall waits for others
 */
export function createMemory(
  store: Pick<Store, "nearestMemories" | "newestMemories">,
  embedder: Embedder,
  learns = true,
  gatherMs: () => number = () => 0,
): Memory {
  // Tasks that begin together recall together: one round trip.
  const nearest = createGatherer<VectorQuery, RecalledMemory[]>({
    maxItems: maxQueries,
    maxBytes: Infinity,
    bytesOf: () => 0,
    gatherMs,
    send: async (queries) => {
      const found = await store.nearestMemories(embedder.name, queries);
      return found.map((reply) => ({ reply }));
    },
  });
  return {
    learns,
    async embed(texts, signal) {
      const vectors = await embedder.embed(texts, signal);
      return vectors.map((vector) => ({ embedding: toVector(vector), embedding_model: embedder.name }));
    },

    async recall({ tenantId, query, similar, recent, signal }) {
      if (!learns) return [];
      const [vector] = await embedder.embed([query], signal);
      if (vector === undefined) return [];
      // The same work done again leaves the same texts: one of each is enough, so more are looked at than are wanted.
      const [near, newest] = await Promise.all([
        nearest.add({ tenantId, vector, limit: similar * repeats }),
        recent === 0 ? [] : store.newestMemories(tenantId, recent * repeats),
      ]);
      const seen = new Set<string>();
      const isNew = (memory: RecalledMemory) => !seen.has(memory.text) && seen.add(memory.text) !== undefined;
      const chosen = chooseSimilar(
        near.filter((memory) => memory.similarity >= minSimilarity && isNew(memory)),
        similar,
      );
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
