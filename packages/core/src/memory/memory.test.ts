import { expect, test } from "vitest";
import type { RecalledMemory } from "../domain/tool.ts";
import { chooseSimilar } from "./memory.ts";

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
