/** From what a model planned to the rows of a commit. */
import type { CreateId, PlannedTask, TaskId, TaskInGoal, TaskRow } from "@outerloop/core";

export function planRows(
  planned: readonly PlannedTask[],
  existing: readonly TaskInGoal[],
  createId: CreateId,
): readonly TaskRow[] {
  const ids = new Map<string, TaskId>(existing.map((each) => [each.task.key, each.task.id]));
  // A model that numbers every plan from t1 means new tasks by it; names that are taken get a new one.
  const keys = freshKeys(planned, new Set(ids.keys()));
  for (const task of planned) ids.set(task.id, createId("task"));
  return planned.map((task) => ({
    id: ids.get(task.id)!,
    key: keys.get(task.id)!,
    parent: null,
    root: ids.get(task.id)!,
    text: task.text,
    tools: task.tools,
    evidence: task.evidence,
    difficulty: task.difficulty,
    depth: 0,
    front: false,
    depends_on: task.depends_on.map((id) => ids.get(id)!),
  }));
}

/** Keeps a planner's names where they are new in the goal; else counts on from the highest. */
function freshKeys(planned: readonly PlannedTask[], taken: ReadonlySet<string>): ReadonlyMap<string, string> {
  const used = new Set(taken);
  let next = 1 + Math.max(0, ...[...taken].map((key) => Number(/^t(\d+)/.exec(key)?.[1] ?? 0)));
  return new Map(
    planned.map((task) => {
      let key = task.id;
      while (used.has(key)) key = `t${next++}`;
      used.add(key);
      return [task.id, key];
    }),
  );
}
