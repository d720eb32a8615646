import { expect, test } from "vitest";
import { createMemoryContext, createMemoryWorkspace } from "../../testing/memory-context.ts";
import { createSearchIndexes } from "./search-indexes.ts";

const text = "alpha beta gamma delta\n".repeat(50);

test("a workspace is read once, and only what changed is read again", async () => {
  const workspace = createMemoryWorkspace({ "a.md": text, "b.md": text });
  const indexes = createSearchIndexes();
  const context = createMemoryContext({ workspace });
  await indexes.of(context);
  await indexes.of(context);
  expect(workspace.reads()).toBe(2);
  workspace.put("b.md", "epsilon");
  const { files } = await indexes.of(context);
  expect(workspace.reads()).toBe(3);
  expect(files.map((file) => [file.path, file.lineCount])).toEqual([
    ["a.md", 50],
    ["b.md", 1],
  ]);
});

test("calls for one goal at once index it once", async () => {
  const workspace = createMemoryWorkspace({ "a.md": text });
  const indexes = createSearchIndexes();
  const context = createMemoryContext({ workspace });
  await Promise.all([indexes.of(context), indexes.of(context), indexes.of(context)]);
  expect(workspace.reads()).toBe(1);
});

test("past its bound the goal least recently searched is dropped", async () => {
  const indexes = createSearchIndexes(450);
  const contexts = ["g_one", "g_two", "g_three"].map((goalId) =>
    createMemoryContext({ goalId, workspace: createMemoryWorkspace({ "a.md": text }) }),
  );
  for (const context of contexts) await indexes.of(context);
  expect(indexes.heldWords()).toBeLessThanOrEqual(450);
  const [first, , third] = contexts.map((context) => context.workspace as ReturnType<typeof createMemoryWorkspace>);
  await indexes.of(contexts[2]!);
  expect(third!.reads()).toBe(1);
  await indexes.of(contexts[0]!);
  expect(first!.reads()).toBe(2);
});

test("an abort stops indexing and spoils nothing", async () => {
  const workspace = createMemoryWorkspace({ "a.md": text });
  const indexes = createSearchIndexes();
  await expect(indexes.of(createMemoryContext({ workspace, signal: AbortSignal.abort() }))).rejects.toThrow();
  expect((await indexes.of(createMemoryContext({ workspace }))).files).toHaveLength(1);
});
