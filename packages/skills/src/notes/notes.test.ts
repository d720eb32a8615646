import { expect, test } from "vitest";
import { createRegistry } from "../registry.ts";
import { tasksSkill, maxTaskResultChars } from "../tasks/index.ts";
import { createMemoryContext } from "../testing/memory-context.ts";
import { maxNoteChars, maxRecalled, notesSkill } from "./index.ts";

const registry = createRegistry([notesSkill, tasksSkill]);

test("a note goes out as data", async () => {
  const outcome = await registry.run({ name: "write_note", args: { text: " found it " } }, createMemoryContext());
  expect(outcome).toEqual({ ok: true, text: "Noted.", writes: [{ kind: "note", text: "found it" }] });
});

test("an empty or endless note is refused", async () => {
  for (const text of ["  ", "x".repeat(maxNoteChars + 1)])
    expect(await registry.run({ name: "write_note", args: { text } }, createMemoryContext())).toMatchObject({
      ok: false,
      text: expect.stringContaining("text: "),
    });
});

test("recall gives what is remembered with kind and day, at most its limit", async () => {
  const memory = {
    id: "m_1",
    kind: "lesson",
    text: "look at the CSV",
    createdAt: "2026-11-20T10:00:00.000Z",
    similarity: 0.5,
  };
  const recall = (memories: (typeof memory)[]) =>
    registry.run({ name: "recall", args: { query: "csv" } }, createMemoryContext({ memories }));
  expect((await recall([memory])).text).toBe("[lesson, 2026-11-20] look at the CSV");
  expect((await recall(Array.from({ length: 30 }, () => memory))).text.split("\n\n")).toHaveLength(maxRecalled);
  expect((await recall([])).text).toContain("Nothing is remembered");
});

test("list_completed gives the finished tasks with shortened results", async () => {
  const finished = [{ key: "t1", text: "Look", status: "done", result: "x".repeat(maxTaskResultChars + 3) }];
  const outcome = await registry.run({ name: "list_completed", args: {} }, createMemoryContext({ finished }));
  expect(outcome.text).toContain("t1 (done) Look");
  expect(outcome.text).toContain("(3 more characters)");
});
