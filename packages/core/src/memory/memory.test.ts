import { expect, test } from "vitest";
import type { TenantId } from "../domain/ids.ts";
import type { RecalledMemory } from "../domain/tool.ts";
import { createMetrics } from "../metrics.ts";
import type { Embedder } from "../models/provider.ts";
import { defaultEmbeddingLimits } from "./embedding-limits.ts";
import { createLocalEmbedder } from "./local-embedder.ts";
import { chooseSimilar, createMemory } from "./memory.ts";

const memories = (...kinds: readonly string[]) =>
  kinds.map((kind, at): RecalledMemory => ({
    id: `m_${at}`,
    kind,
    text: String(at),
    createdAt: "2026-11-21T00:00:00.000Z",
    similarity: 1 - at / 100,
  }));
const chosen = (near: readonly RecalledMemory[], count: number) => chooseSimilar(near, count).map(({ id }) => id);

test("lessons are not crowded out by results that are nearer, and all stay in order", () => {
  const near = memories(
    "task_result",
    "note",
    "task_result",
    "task_result",
    "task_result",
    "lesson",
    "lesson",
    "lesson",
  );
  expect(chosen(near, 5)).toEqual(["m_0", "m_1", "m_2", "m_5", "m_6"]);
});

test("lessons that are nearest are not held back, and where there are none their places go to others", () => {
  expect(chosen(memories("lesson", "lesson", "lesson", "note"), 3)).toEqual(["m_0", "m_1", "m_2"]);
  expect(chosen(memories("note", "answer", "note"), 2)).toEqual(["m_0", "m_1"]);
});

test("a model that comes to be reached otherwise, as by another key, is asked in the new way", async () => {
  const asked: string[] = [];
  const reachedBy = (key: string): Embedder => ({
    name: "openai/small",
    dimensions: 1,
    embed: async (texts) => {
      asked.push(key);
      return texts.map(() => [1]);
    },
  });
  let embedder = reachedBy("old");
  const memory = createMemory({
    store: { nearestMemories: async () => [], newestMemories: async () => [] },
    embedder: () => embedder,
    localEmbedder: createLocalEmbedder(),
    embedderOf: () => null,
    learns: true,
    limits: defaultEmbeddingLimits,
    gatherMs: () => 0,
    metrics: createMetrics(),
    log: { warn: () => undefined },
  });
  const { signal } = new AbortController();
  const tenant = "t_1" as TenantId;
  await memory.embed(tenant, ["a"], signal);
  embedder = reachedBy("new");
  await memory.embed(tenant, ["b"], signal);
  expect(asked).toEqual(["old", "new"]);
});
