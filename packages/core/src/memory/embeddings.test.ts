import { expect, test } from "vitest";
import { OuterloopError } from "../domain/errors.ts";
import type { TenantId } from "../domain/ids.ts";
import { createLogger } from "../logging.ts";
import { createMetrics } from "../metrics.ts";
import type { Embedder } from "../models/provider.ts";
import { defaultEmbeddingLimits } from "./embedding-limits.ts";
import { createEmbeddings, embedEach, maxTextBytes, maxTexts, type EmbeddingParts } from "./embeddings.ts";

const never = new AbortController().signal;
const tenant = "default" as TenantId;

/** Notes what it is asked for. */
function noting(embed?: Embedder["embed"]): { embedder: Embedder; batches: (readonly string[])[] } {
  const batches: (readonly string[])[] = [];
  return {
    batches,
    embedder: {
      name: "openai/test",
      dimensions: 1,
      embed: async (texts, signal) => {
        batches.push(texts);
        return embed?.(texts, signal) ?? texts.map((text) => [text.length]);
      },
    },
  };
}
const over = (embedder: Embedder, parts: Partial<EmbeddingParts> = {}) =>
  createEmbeddings({
    limits: defaultEmbeddingLimits,
    gatherMs: () => 0,
    metrics: createMetrics(),
    log: createLogger("test", "silent", 2),
    ...parts,
  })(embedder);

test("1: a batch is bounded in texts and in bytes", async () => {
  const { embedder, batches } = noting();
  await over(embedder).embed(
    tenant,
    Array.from({ length: maxTexts + 1 }, (_, at) => `text ${at}`),
    never,
  );
  expect(batches.map((batch) => batch.length)).toEqual([maxTexts, 1]);
  const long = ["a", "b", "c"].map((char) => char.repeat(maxTextBytes / 2));
  await over(embedder).embed(tenant, long, never);
  expect(batches.slice(2).map((batch) => batch.length)).toEqual([2, 1]);
});

test("1: a provider that never answers ends its batch, and the next one goes on", async () => {
  let calls = 0;
  const { embedder } = noting(async (texts) => {
    calls += 1;
    return calls === 1 ? new Promise(() => undefined) : texts.map(() => [1]);
  });
  const { embed } = over(embedder, { timeoutMs: 20 });
  await expect(embed(tenant, ["a"], never)).rejects.toMatchObject({ code: "timeout", retry: "backoff" });
  expect(await embed(tenant, ["b"], never)).toEqual([[1]]);
});

test("2: a batch that nobody waits for any more is given up", async () => {
  const leaving = new AbortController();
  const given = Promise.withResolvers<void>();
  const { embedder } = noting(
    (_, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => {
          given.resolve();
          reject(signal.reason as Error);
        });
        leaving.abort(new Error("gone"));
      }),
  );
  await expect(over(embedder).embed(tenant, ["a"], leaving.signal)).rejects.toThrow("gone");
  await given.promise;
});

test("3: what this process keeps at hand is bounded", async () => {
  const { embedder, batches } = noting();
  const { embed } = over(embedder, { limits: { ...defaultEmbeddingLimits, cacheVectors: 2 } });
  for (const text of ["a", "b", "c", "c", "b", "a"]) await embed(tenant, [text], never);
  expect(batches).toEqual([["a"], ["b"], ["c"], ["a"]]);
});

test("4: a cache that is away costs no answer", async () => {
  const away = () => Promise.reject(new OuterloopError("store_unavailable", "away"));
  const vectors = { readCachedVectors: away, keepCachedVectors: away };
  expect(await over(noting().embedder, { vectors }).embed(tenant, ["a"], never)).toEqual([[1]]);
});

test("one text that is too long fails alone", async () => {
  const { embedder } = noting(async (texts) => {
    if (texts.some((text) => text.length > 5)) throw new OuterloopError("context_length", "too long");
    return texts.map((text) => [text.length]);
  });
  const [a, b, c] = await embedEach(embedder, ["a", "too long", "cc"], never);
  expect([a, c]).toEqual([{ vector: [1] }, { vector: [2] }]);
  expect(b).toMatchObject({ thrown: { code: "context_length" } });
  const [short, long] = await Promise.allSettled(
    ["b", "too long"].map((text) => over(embedder).embed(tenant, [text], never)),
  );
  expect([short!.status, long!.status]).toEqual(["fulfilled", "rejected"]);
});

test("vectors of another length than the model's are a fault of the setting", async () => {
  const { embedder } = noting(async (texts) => texts.map(() => [1, 2]));
  await expect(over(embedder).embed(tenant, ["a"], never)).rejects.toMatchObject({ code: "config" });
});
