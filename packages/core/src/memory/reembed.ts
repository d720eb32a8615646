/**
 * After the model of embeddings was changed, memories are embedded again by the new one: in the background, by every process that
 * embeds, while search goes on among the vectors of both (`memory.ts`).
 *
 * 1. A batch is claimed before it is embedded, by the database's clock; who dies with one leaves it to the others a minute later.
 * 2. A vector is replaced only while it is still the old model's.
 * 3. Processes of two settings do not undo one another's work: memories are brought to the model that came last.
 * 4. A provider that is away is waited for, longer each time; a text that it refuses is left alone for an hour.
 * 5. Where nothing is left to do, a look costs an index probe a model.
 */
import { awayMs, type BackoffPolicy } from "../domain/backoff.ts";
import { messageOf, OuterloopError } from "../domain/errors.ts";
import type { Logger } from "../logging.ts";
import type { Metrics } from "../metrics.ts";
import type { Embedder } from "../models/provider.ts";
import type { EmbeddingModel } from "../store/embedding-cache.ts";
import type { OldEntry } from "../store/reembedding.ts";
import type { VectorStore } from "../store/vector-store.ts";
import { embedEach, embedTimeoutMs, maxTextBytes, modelOf } from "./embeddings.ts";
import { othersThan, reachable, type EmbedderOf } from "./old-models.ts";

export interface ReembedParts {
  readonly vectors: VectorStore;
  readonly embedder: Embedder;
  /** Whom recall can ask meanwhile; to embed again only the new one is needed. */
  readonly embedderOf: EmbedderOf;
  /** Names this process among the claims. */
  readonly holder: string;
  /** Memories of one request. */
  readonly batch: number;
  readonly backoff: BackoffPolicy;
  readonly metrics: Pick<Metrics, "embeddedTexts" | "memoriesToReembed">;
  readonly log: Pick<Logger, "warn">;
  /** How long a claim stands: twice of what a batch may take, unless it is set. */
  readonly claimMs?: number;
}

/** Between looks where nothing was left, where others are at work, and where much was done. */
const lookMs = 30_000;
const busyMs = 5000;
/** A model that no process has said it embeds with for this long is no longer in use. */
const freshMs = 10 * lookMs;
const refusedMs = 3_600_000;

/** Entries of an old model that are left, up to 100,000: others have them, or they are left alone. */
export interface OldEntriesLeft extends EmbeddingModel {
  readonly memories: number;
  /** Whether recall can look among them. */
  readonly found: boolean;
}

/**
 * Embeds again all that can be claimed.
 * @param onBatch after each batch
 * @returns what is left
 * @throws what the embedder throws for all texts, after the claims were given back
 */
export async function reembedOnce(
  parts: ReembedParts,
  signal: AbortSignal,
  onBatch: () => unknown = () => undefined,
): Promise<readonly OldEntriesLeft[]> {
  const { vectors, embedder, holder, batch, claimMs = 2 * embedTimeoutMs } = parts;
  // Also where nothing is to be done, so that others know which model is in use.
  const isWanted = await vectors.registerEmbedder(modelOf(embedder), freshMs);
  await showLeft(parts);
  for (const old of othersThan(embedder, await vectors.listEmbeddedModels()))
    // Ends: every batch makes the old entries fewer or keeps them claimed for longer than this takes.
    while (isWanted && !signal.aborted) {
      const claimed = await vectors.claimOldEntries(old, { holder, limit: batch, claimMs });
      if (claimed.length === 0) break;
      await replaceBatch(parts, old, withinBytes(claimed), claimed, signal);
      await onBatch();
    }
  return showLeft(parts);
}

/** The first of them that fit in one request; at least one. */
function withinBytes(entries: readonly OldEntry[]): readonly OldEntry[] {
  let bytes = 0;
  const end = entries.findIndex((entry) => (bytes += Buffer.byteLength(entry.text)) > maxTextBytes);
  return end === -1 ? entries : entries.slice(0, Math.max(1, end));
}

async function replaceBatch(
  { vectors, embedder, holder, metrics, log }: ReembedParts,
  old: EmbeddingModel,
  entries: readonly OldEntry[],
  claimed: readonly OldEntry[],
  signal: AbortSignal,
): Promise<void> {
  const idsOf = (some: readonly OldEntry[]) => some.map((entry) => entry.id);
  const release = (some: readonly OldEntry[], afterMs = 0) => vectors.releaseEntries(holder, idsOf(some), afterMs);
  try {
    const texts = entries.map((entry) => entry.text);
    const embedded = await embedEach(embedder, texts, AbortSignal.any([signal, AbortSignal.timeout(embedTimeoutMs)]));
    metrics.embeddedTexts.inc({ model: embedder.name }, texts.length);
    const made = entries.flatMap((entry, index) => {
      const answer = embedded[index]!;
      return "vector" in answer ? [{ id: entry.id, vector: answer.vector }] : [];
    });
    if (made.length > 0) await vectors.replaceVectors(old, embedder.name, holder, made);
    const refused = entries.filter((_, index) => "thrown" in embedded[index]!);
    if (refused.length > 0) log.warn({ event: "memories_refused", model: embedder.name, memories: idsOf(refused) });
    await release(refused, refusedMs);
    await release(claimed.slice(entries.length));
  } catch (thrown) {
    // Best effort: the claims run out by themselves.
    await release(claimed).catch(() => undefined);
    throw thrown;
  }
}

async function showLeft({ vectors, embedder, embedderOf, metrics }: ReembedParts): Promise<readonly OldEntriesLeft[]> {
  const left: OldEntriesLeft[] = [];
  for (const old of othersThan(embedder, await vectors.listEmbeddedModels()))
    left.push({ ...old, memories: await vectors.countEntriesOf(old), found: reachable(embedderOf, old) !== null });
  metrics.memoriesToReembed.set(left.reduce((sum, { memories }) => sum + memories, 0));
  return left;
}

/** Looks again and again until it is stopped. */
export function startReembedder(parts: Omit<ReembedParts, "embedder"> & { readonly embedder: () => Embedder }): {
  stop(): Promise<void>;
} {
  const { log, backoff, embedder: embedderNow } = parts;
  const stopping = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let failures = 0;

  /** Models whose entries recall cannot find, as they were told last. */
  let told = "";
  const tell = (embedder: Embedder, left: readonly OldEntriesLeft[]) => {
    const lost = left.filter((each) => !each.found);
    const names = lost.map((each) => `${each.model}@${each.dimensions}`).join(" ");
    if (names !== told) log.warn({ event: "memories_not_found_yet", newModel: embedder.name, of: lost });
    told = names;
  };

  async function look(): Promise<number> {
    // What settings make of it meanwhile is for the next look.
    const embedder = embedderNow();
    try {
      const left = await reembedOnce({ ...parts, embedder }, stopping.signal, () => (failures = 0));
      failures = 0;
      tell(embedder, left);
      return left.length === 0 ? lookMs : busyMs;
    } catch (thrown) {
      if (stopping.signal.aborted) return lookMs;
      const retry = thrown instanceof OuterloopError && thrown.retry !== "never" ? thrown.retry : "backoff";
      const waitMs = Math.max(busyMs, awayMs(retry, backoff, failures, Math.random));
      failures += 1;
      log.warn({ event: "reembedding_failed", model: embedder.name, error: messageOf(thrown), waitMs });
      return waitMs;
    }
  }
  let looking: Promise<void> = Promise.resolve();
  const next = (afterMs: number) => {
    if (stopping.signal.aborted) return;
    timer = setTimeout(() => {
      looking = look().then(next);
    }, afterMs);
  };
  // Spread, so that replicas which started together do not look together.
  next(busyMs * Math.random());
  return {
    async stop() {
      stopping.abort();
      clearTimeout(timer);
      await looking;
    },
  };
}
