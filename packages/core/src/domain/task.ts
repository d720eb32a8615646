/** The task's state machine (DESIGN §5) and the decisions that move it. Pure: state and event in, move out. */
import type { GoalId, TaskId, TenantId } from "./ids.ts";
import type { Evidence } from "./evidence.ts";
import type { RouteOverrides } from "./model.ts";
import type { Verdict } from "./plan.ts";

export const taskStatuses = [
  "pending",
  "ready",
  "running",
  "waiting",
  "reflecting",
  "split",
  "done",
  "failed",
  "abandoned",
  "cancelled",
] as const;
export type TaskStatus = (typeof taskStatuses)[number];

export const taskMoves: Readonly<Record<TaskStatus, readonly TaskStatus[]>> = {
  pending: ["ready", "cancelled"],
  ready: ["running", "cancelled"],
  running: ["waiting", "reflecting", "failed", "cancelled"],
  waiting: ["running", "cancelled"],
  reflecting: ["ready", "split", "done", "failed", "abandoned", "cancelled"],
  split: [],
  done: [],
  failed: [],
  abandoned: [],
  cancelled: [],
};

export function hasTaskEnded(status: TaskStatus): boolean {
  return taskMoves[status].length === 0;
}

/** Past this depth of splits only done or abandon is allowed. */
export const maxSplitDepth = 3;
/** A task is tried this often, then split or abandoned. */
export const maxAttempts = 3;
/** Subtasks of one split; more would be a plan. */
export const maxSubtasks = 7;

export interface Task {
  readonly id: TaskId;
  readonly tenantId: TenantId;
  readonly goalId: GoalId;
  readonly key: string;
  readonly number: number;
  readonly parentId: TaskId | null;
  readonly rootId: TaskId;
  readonly text: string;
  readonly tools: readonly string[];
  readonly evidence: readonly Evidence[];
  readonly difficulty: string;
  readonly depth: number;
  readonly status: TaskStatus;
  readonly attempt: number;
  readonly hint: string | null;
  readonly result: string | null;
  readonly reason: string | null;
  readonly wakes: number;
  /** What was said about its models; null where nothing was. */
  readonly models: RouteOverrides | null;
}

/** What follows from a verdict. `retry` becomes attempt + 1 with a hint; `split` ends the task, its subtasks stand in for it. */
export type ReflectionMove =
  /** `wants`: work that its result shows to be missing from the plan. */
  | { readonly to: "done"; readonly wants: readonly string[] }
  | { readonly to: "ready"; readonly hint: string }
  | { readonly to: "split"; readonly subtasks: readonly string[] }
  | { readonly to: "abandoned"; readonly reason: string };

/**
 * Bounds what a verdict may do, whatever the model says: no fourth attempt, no split below depth 3, no split into
 * nothing (it counts as a retry), and no `done` against evidence that is not there.
 */
export function decideReflection(
  task: Pick<Task, "attempt" | "depth">,
  verdict: Verdict,
  evidenceMet: boolean,
): ReflectionMove {
  switch (verdict.status) {
    case "done":
      return evidenceMet
        ? { to: "done", wants: verdict.new_tasks.slice(0, maxSubtasks) }
        : retryOrAbandon(task, `evidence missing: ${verdict.reason}`);
    case "abandon":
      return { to: "abandoned", reason: verdict.reason || "the reflector gave it up" };
    case "retry":
      return retryOrAbandon(task, verdict.reason);
    case "split":
      if (verdict.new_tasks.length === 0) return retryOrAbandon(task, verdict.reason);
      if (task.depth >= maxSplitDepth)
        return evidenceMet
          ? { to: "done", wants: [] }
          : { to: "abandoned", reason: `split ${maxSplitDepth} times already: ${verdict.reason}` };
      return { to: "split", subtasks: verdict.new_tasks.slice(0, maxSubtasks) };
  }
}

function retryOrAbandon(task: Pick<Task, "attempt">, reason: string): ReflectionMove {
  if (task.attempt >= maxAttempts) return { to: "abandoned", reason: `${maxAttempts} attempts: ${reason}` };
  return { to: "ready", hint: reason || "The result was not accepted. Try another way." };
}

/** `t4` → `t4a`, `t4b`, …; people read them in the tree. */
export function subtaskKey(parentKey: string, index: number): string {
  return `${parentKey}${String.fromCharCode(97 + index)}`;
}
