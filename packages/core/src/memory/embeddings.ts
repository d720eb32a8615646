/**
 * Texts to vectors, paid for once: what a process asks for at the same time goes in one request, and what was embedded before is
 * not embedded again.
 *
 * 1. A batch is bounded in texts and bytes; one is under way at a time, and ends in a bounded time.
 * 2. A caller's abort ends only its own wait; a batch that nobody waits for any more is given up.
 * 3. A vector is found again by tenant, model, length and the hash of its text, in this process and in the database. Tenants share
 *    none, so that nobody learns from a quick answer what another has embedded.
 * 4. A cache that is away costs money, never an answer.
 */
import { LRUCache } from "lru-cache";
import { messageOf, OuterloopError, type ErrorCode } from "../domain/errors.ts";
import type { TenantId } from "../domain/ids.ts";
import type { Logger } from "../logging.ts";
import type { Metrics } from "../metrics.ts";
import type { Embedder } from "../models/provider.ts";
import { cacheName, type CacheKey, type EmbeddingModel } from "../store/embedding-cache.ts";
import { createGatherer, type Answer } from "../store/gatherer.ts";
import { sha256 } from "../store/ids.ts";
import type { VectorStore } from "../store/vector-store.ts";
import type { EmbeddingLimits } from "./embedding-limits.ts";
import { localEmbedderName } from "./local-embedder.ts";
import { untilAborted } from "./until-aborted.ts";

export type Vector = readonly number[];

export interface EmbeddingParts {
  /** Absent where no database keeps vectors: nothing is cached beyond this process. */
  readonly vectors?: Pick<VectorStore, "readCachedVectors" | "keepCachedVectors"> | undefined;
  readonly limits: EmbeddingLimits;
  /** How long a batch waits for more. */
  readonly gatherMs: () => number;
  readonly metrics: Pick<Metrics, "embeddedTexts" | "embeddingCacheHits">;
  readonly log: Pick<Logger, "warn">;
  /** Of one batch; half a minute unless it is set. */
  readonly timeoutMs?: number;
}

export interface Embeddings {
  readonly embedder: Embedder;
  /** A vector for each text, in their order. Throws what the embedder throws, `timeout`, or the signal's reason. */
  embed(tenantId: TenantId, texts: readonly string[], signal: AbortSignal): Promise<readonly Vector[]>;
}

/** Texts and bytes of one request: within what every provider takes. */
export const maxTexts = 128;
export const maxTextBytes = 256 * 1024;
export const embedTimeoutMs = 30_000;
/** What a provider says of one text, and not of all. */
const aboutTexts: ReadonlySet<ErrorCode> = new Set(["context_length", "model_refused"]);

/** Makes vectors of one embedder or several, with one cache for all. */
export function createEmbeddings(parts: EmbeddingParts): (embedder: Embedder) => Embeddings {
  const { cacheVectors } = parts.limits;
  const atHand = cacheVectors === 0 ? null : new LRUCache<string, Vector>({ max: cacheVectors });
  return (embedder) =>
    // What costs nothing is neither kept nor waited for.
    embedder.name === localEmbedderName
      ? { embedder, embed: (_tenant, texts, signal) => embedder.embed(texts, signal) }
      : cached(embedder, atHand, parts);
}

/** Which model an embedder's vectors are of. */
export function modelOf(embedder: Pick<Embedder, "name" | "dimensions">): EmbeddingModel {
  return { model: embedder.name, dimensions: embedder.dimensions };
}

interface Wanted extends CacheKey {
  readonly text: string;
  readonly signal: AbortSignal;
}

function cached(embedder: Embedder, atHand: LRUCache<string, Vector> | null, parts: EmbeddingParts): Embeddings {
  const { metrics, limits, log, timeoutMs = embedTimeoutMs } = parts;
  const shared = limits.cacheRows === 0 ? undefined : parts.vectors;
  const model = modelOf(embedder);
  const handle = (key: CacheKey) => `${model.model}@${model.dimensions} ${cacheName(key)}`;
  const away = (thrown: unknown) => log.warn({ event: "embedding_cache_away", error: messageOf(thrown) });

  async function fromShared(wanted: readonly Wanted[]): Promise<ReadonlyMap<string, Vector>> {
    if (shared === undefined || wanted.length === 0) return new Map();
    return shared.readCachedVectors(model, wanted).catch((thrown: unknown) => {
      away(thrown);
      return new Map<string, Vector>();
    });
  }

  /** By `cacheName`. @param wanted no text of a tenant twice */
  async function findOrEmbed(
    wanted: readonly Wanted[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, Answer<Vector>>> {
    const found = new Map<string, Vector>();
    for (const each of wanted) {
      const vector = atHand?.get(handle(each));
      if (vector !== undefined) found.set(cacheName(each), vector);
    }
    metrics.embeddingCacheHits.inc({ cache: "process" }, found.size);
    const kept = await fromShared(wanted.filter((each) => !found.has(cacheName(each))));
    metrics.embeddingCacheHits.inc({ cache: "database" }, kept.size);
    for (const [name, vector] of kept) found.set(name, vector);

    const missing = wanted.filter((each) => !found.has(cacheName(each)));
    const texts = missing.map((each) => each.text);
    const embedded = missing.length === 0 ? [] : await embedEach(embedder, texts, signal);
    metrics.embeddedTexts.inc({ model: model.model }, missing.length);
    const failed = new Map<string, Answer<Vector>>();
    const fresh = missing.flatMap((each, index) => {
      const answer = embedded[index]!;
      if ("thrown" in answer) failed.set(cacheName(each), answer);
      return "thrown" in answer ? [] : [{ ...each, vector: answer.vector }];
    });
    for (const each of fresh) found.set(cacheName(each), each.vector);
    // Not waited for: the answer is there.
    if (fresh.length > 0) void shared?.keepCachedVectors(model, fresh).catch(away);
    for (const each of wanted) {
      const vector = found.get(cacheName(each));
      if (vector !== undefined) atHand?.set(handle(each), vector);
    }
    return new Map([...failed, ...[...found].map(([name, vector]) => [name, { reply: vector }] as const)]);
  }

  const gatherer = createGatherer<Wanted, Vector>({
    maxItems: maxTexts,
    maxBytes: maxTextBytes,
    bytesOf: (wanted) => Buffer.byteLength(wanted.text),
    gatherMs: parts.gatherMs,
    async send(batch) {
      const live = batch.filter((each) => !each.signal.aborted);
      const distinct = [...new Map(live.map((each) => [cacheName(each), each])).values()];
      const found = await whileWanted(
        live.map((each) => each.signal),
        timeoutMs,
        (signal) => findOrEmbed(distinct, signal),
      );
      // Missing are those that nobody waited for any more when the batch began.
      return batch.map((each) => found.get(cacheName(each)) ?? { thrown: each.signal.reason as unknown });
    },
  });

  return {
    embedder,
    async embed(tenantId, texts, signal) {
      signal.throwIfAborted();
      return untilAborted(
        signal,
        Promise.all(
          texts.map(async (text) => {
            const key = { tenantId, hash: sha256(text) };
            const known = atHand?.get(handle(key));
            if (known === undefined) return gatherer.add({ ...key, text, signal });
            metrics.embeddingCacheHits.inc({ cache: "process" });
            return known;
          }),
        ),
      );
    },
  };
}

export type Embedded = { readonly vector: Vector } | { readonly thrown: unknown };

/**
 * A vector for each text, or why there is none: where a text is too long or refused, the others are embedded without it, in
 * twice the requests for each halving.
 * @throws what concerns all texts: a provider that is away, a wrong setting, the signal's reason
 */
export async function embedEach(
  embedder: Embedder,
  texts: readonly string[],
  signal: AbortSignal,
): Promise<readonly Embedded[]> {
  try {
    const vectors = await untilAborted(signal, embedder.embed(texts, signal));
    return checked(embedder, texts, vectors).map((vector) => ({ vector }));
  } catch (thrown) {
    if (!(thrown instanceof OuterloopError) || !aboutTexts.has(thrown.code)) throw thrown;
    if (texts.length === 1) return [{ thrown }];
    const half = Math.ceil(texts.length / 2);
    return [
      ...(await embedEach(embedder, texts.slice(0, half), signal)),
      ...(await embedEach(embedder, texts.slice(half), signal)),
    ];
  }
}

function checked(embedder: Embedder, texts: readonly string[], vectors: readonly Vector[]): readonly Vector[] {
  const wrong = vectors.find((vector) => vector.length !== embedder.dimensions);
  if (vectors.length === texts.length && wrong === undefined) return vectors;
  throw new OuterloopError(
    "config",
    `${embedder.name} made ${vectors.length} vectors of ${(wrong ?? vectors[0])?.length ?? 0} dimensions for ${texts.length} texts, not of ${embedder.dimensions}: correct OUTERLOOP_MODEL_EMBED`,
  );
}

/** Work for several, which is given up when the last of them has gone or after `ms`. */
async function whileWanted<Result>(
  signals: readonly AbortSignal[],
  ms: number,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const unwanted = new AbortController();
  let waiting = signals.length;
  const leave = () => {
    waiting -= 1;
    if (waiting === 0) unwanted.abort(signals.at(-1)?.reason);
  };
  const timer = setTimeout(
    () => unwanted.abort(new OuterloopError("timeout", `No vectors came within ${ms} ms.`, { retry: "backoff" })),
    ms,
  );
  for (const signal of signals) signal.addEventListener("abort", leave, { once: true });
  try {
    return await work(unwanted.signal);
  } finally {
    clearTimeout(timer);
    for (const signal of signals) signal.removeEventListener("abort", leave);
  }
}
