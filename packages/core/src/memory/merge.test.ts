import { expect, test } from "vitest";
import type { RecalledMemory } from "../domain/tool.ts";
import { mergeByRank } from "./merge.ts";

const memory = (id: string, similarity: number): RecalledMemory => ({
  id,
  kind: "note",
  text: id,
  createdAt: "2026-11-21T00:00:00.000Z",
  similarity,
});

test("ranks count, not how near a model says that something is", () => {
  const near = [memory("a", 0.3), memory("b", 0.2)];
  const other = [memory("x", 0.99), memory("y", 0.98), memory("z", 0.97)];
  expect(mergeByRank([near, other]).map(({ id }) => id)).toEqual(["a", "x", "b", "y", "z"]);
});

test("what both found stands once, at its better rank", () => {
  const merged = mergeByRank([[memory("a", 0.9), memory("b", 0.8)], [memory("b", 0.5)]]);
  expect(merged.map(({ id }) => id)).toEqual(["a", "b"]);
  expect(mergeByRank([])).toEqual([]);
});
