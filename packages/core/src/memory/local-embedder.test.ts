import { expect, test } from "vitest";
import { createLocalEmbedder, localDimensions } from "./local-embedder.ts";

const embedder = createLocalEmbedder();
const never = new AbortController().signal;
const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, at) => sum + value * b[at]!, 0);
async function similarity(a: string, b: string): Promise<number> {
  const [first, second] = await embedder.embed([a, b], never);
  return dot(first!, second!);
}

test("vectors have the dimensions that the name promises, and length 1", async () => {
  expect(embedder).toMatchObject({ name: "offline/hash-384", dimensions: localDimensions });
  const [vector, ...others] = await embedder.embed(["How long is the timeout?"], never);
  expect(others).toEqual([]);
  expect(vector).toHaveLength(384);
  expect(dot(vector!, vector!)).toBeCloseTo(1, 6);
});

test("the same text gives the same vector, in any batch", async () => {
  const text = "The state file is kept in /var/lib.";
  const [alone] = await embedder.embed([text], never);
  const [, second] = await embedder.embed(["something else", text], never);
  expect(second).toEqual(alone);
});

test.each([
  ["How do I configure the retry limit?", "retry limits can be configured", "the colour of the sky at night"],
  ["Benchmarks stand in the CSV files", "look for a benchmark in CSV", "installing the package on Windows"],
  ["licence of the project", "project licensing", "a faster parser"],
  ["PostgreSQL backend", "the Postgres back end", "an SQLite file"],
])("%j is nearer to %j than to %j", async (text, near, far) => {
  const [close, distant] = [await similarity(text, near), await similarity(text, far)];
  expect(close).toBeGreaterThan(0.35);
  expect(close).toBeGreaterThan(distant + 0.2);
});

test("texts that only share small words stay far apart", async () => {
  expect(await similarity("what is the use of this and that", "how is the weather in the north")).toBeLessThan(0.5);
  expect(await similarity("prune old backups", "render a chart")).toBeLessThan(0.15);
});

test("a text without words has a direction too", async () => {
  const [empty, marks] = await embedder.embed(["", "…!?"], never);
  expect(dot(empty!, empty!)).toBe(1);
  expect(marks).toEqual(empty);
});

test("an abort stops a batch", async () => {
  await expect(embedder.embed(["a"], AbortSignal.abort())).rejects.toThrow();
});
