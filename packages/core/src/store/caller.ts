/** For whom a claim's models are asked, and what its goal and its task said about them. */
import type { Caller, RouteOverrides } from "../domain/model.ts";
import type { ClaimedTask } from "./claims.ts";
import type { GoalRow } from "./rows.ts";

export function overridesOf(goal: Pick<GoalRow, "models">, task: RouteOverrides | null = null): RouteOverrides[] {
  return [goal.models as RouteOverrides | null, task].filter((each) => each !== null);
}

export function callerOf({ task, goalRow, backoffs }: ClaimedTask): Caller {
  return {
    tenantId: task.tenantId,
    goalId: task.goalId,
    overrides: overridesOf(goalRow, task.models),
    hard: task.difficulty === "hard",
    waits: backoffs,
  };
}
