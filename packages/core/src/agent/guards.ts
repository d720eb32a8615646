/** The guards on plans, over the tasks of a goal as its planner sees them. The guards themselves are in `domain/guard.ts`. */
import type { Goal } from "../domain/goal.ts";
import {
  findDrift,
  findThrash,
  type GuardedTask,
  type GuardLimits,
  type Language,
  type Trip,
} from "../domain/guard.ts";
import type { PlannedTask } from "../domain/plan.ts";
import type { Task } from "../domain/task.ts";
import type { WorkspaceFile } from "../domain/tool.ts";

const maxResultChars = 4000;

export interface GuardedGoal {
  readonly goal: Goal;
  readonly files: readonly WorkspaceFile[];
  readonly tasks: readonly { readonly task: Task; readonly isFirst: boolean }[];
}

/** What trips over this plan, or null. Thrash comes first: its reason says more. */
export function judgePlan(
  planned: readonly PlannedTask[],
  { goal, files, tasks }: GuardedGoal,
  language: Language,
  limits?: GuardLimits,
): Trip | null {
  const guarded = tasks.flatMap(({ task, isFirst }): GuardedTask[] => {
    const outcome = outcomeOf(task);
    if (outcome === null) return [];
    const { key, text } = task;
    return [{ key, text, outcome, isFirst, result: (task.result ?? "").slice(0, maxResultChars) }];
  });
  const anchors = [
    goal.text,
    ...(goal.intake === null
      ? []
      : [
          goal.intake.intent,
          goal.intake.deliverable,
          ...goal.intake.constraints,
          ...goal.intake.entities.map((entity) => entity.value),
        ]),
    ...goal.clarifications.map((each) => `${each.question}\n${each.answer}`),
    ...files.map((file) => file.path),
  ];
  return findThrash(planned, guarded, language, limits) ?? findDrift(planned, guarded, anchors, language, limits);
}

/** null for what is to be planned again: a budget cut it off. */
function outcomeOf(task: Task): GuardedTask["outcome"] | null {
  switch (task.status) {
    case "done":
      return "done";
    case "pending":
    case "ready":
    case "running":
    case "waiting":
    case "reflecting":
      return "open";
    case "split":
      return null;
    case "failed":
    case "abandoned":
      return "nothing";
    case "cancelled":
      return task.reason === "goal_ended" ? null : "nothing";
  }
}
