import fc from "fast-check";
import { expect, test } from "vitest";
import type { Verdict } from "./plan.ts";
import {
  decideReflection,
  hasTaskEnded,
  maxAttempts,
  maxSplitDepth,
  maxSubtasks,
  subtaskKey,
  taskMoves,
} from "./task.ts";

const verdict = (status: Verdict["status"], rest: Partial<Verdict> = {}): Verdict => ({
  status,
  reason: "because",
  new_tasks: [],
  lesson: "",
  ...rest,
});
const anyVerdict = fc.record({
  status: fc.constantFrom("done", "retry", "split", "abandon"),
  reason: fc.string(),
  new_tasks: fc.array(fc.string({ minLength: 1 }), { maxLength: 20 }),
  lesson: fc.string(),
}) as fc.Arbitrary<Verdict>;
const anyTask = fc.record({
  attempt: fc.integer({ min: 1, max: maxAttempts + 2 }),
  depth: fc.integer({ min: 0, max: maxSplitDepth }),
});

test("done against evidence that is not there is impossible, whatever a model says", () => {
  fc.assert(fc.property(anyTask, anyVerdict, (task, given) => decideReflection(task, given, false).to !== "done"));
});

test("no verdict makes a fourth attempt, a split below the deepest level, or a split into nothing or too much", () => {
  fc.assert(
    fc.property(anyTask, anyVerdict, fc.boolean(), (task, given, evidenceMet) => {
      const move = decideReflection(task, given, evidenceMet);
      if (move.to === "ready") return task.attempt < maxAttempts;
      if (move.to === "split")
        return task.depth < maxSplitDepth && move.subtasks.length > 0 && move.subtasks.length <= maxSubtasks;
      return true;
    }),
  );
});

test("every move that a verdict can lead to is legal from reflecting", () => {
  fc.assert(
    fc.property(anyTask, anyVerdict, fc.boolean(), (task, given, evidenceMet) =>
      taskMoves.reflecting.includes(decideReflection(task, given, evidenceMet).to),
    ),
  );
});

test("a split without tasks counts as a retry, with the reason as the hint", () => {
  expect(decideReflection({ attempt: 1, depth: 0 }, verdict("split"), true)).toEqual({ to: "ready", hint: "because" });
});

test("a split past the deepest level is done where the evidence is there, else abandoned", () => {
  const split = verdict("split", { new_tasks: ["a"] });
  expect(decideReflection({ attempt: 1, depth: maxSplitDepth }, split, true)).toEqual({ to: "done", wants: [] });
  expect(decideReflection({ attempt: 1, depth: maxSplitDepth }, split, false).to).toBe("abandoned");
});

test("what has no move left has ended", () => {
  expect(Object.keys(taskMoves).filter((status) => hasTaskEnded(status as keyof typeof taskMoves))).toEqual([
    "split",
    "done",
    "failed",
    "abandoned",
    "cancelled",
  ]);
});

test("subtasks are named after their parent", () => {
  expect([0, 1, 2].map((index) => subtaskKey("t4", index))).toEqual(["t4a", "t4b", "t4c"]);
});
