/** Reads of tasks: for planners, executors and people. */
import { sql } from "kysely";
import type { GoalId, TaskId } from "../domain/ids.ts";
import type { Task } from "../domain/task.ts";
import type { Db, Trx } from "./database.ts";
import { toTask, type TaskRecord } from "./rows.ts";

export interface TaskInGoal {
  readonly task: Task;
  readonly row: TaskRecord;
  /** Keys of what it depends on, splits resolved. */
  readonly dependsOn: readonly string[];
  readonly parentKey: string | null;
}

/** All tasks of a goal in the order in which they were made. */
export async function listTasks(db: Db | Trx, goalId: GoalId): Promise<TaskInGoal[]> {
  const rows = await db.selectFrom("tasks").selectAll().where("goal_id", "=", goalId).orderBy("number").execute();
  const edges = await db
    .selectFrom("task_dependencies")
    .select(["task_id", "depends_on"])
    .where("goal_id", "=", goalId)
    .execute();
  return tasksInGoal(
    rows,
    edges.map((edge) => [edge.task_id, edge.depends_on]),
  );
}

/** @param edges who depends on whom, by id */
export function tasksInGoal(
  rows: readonly TaskRecord[],
  edges: readonly (readonly [task: string, dependsOn: string])[],
): TaskInGoal[] {
  const keys = new Map(rows.map((row) => [row.id, row.key]));
  const needs = Map.groupBy(edges, ([task]) => task);
  return rows.map((row) => ({
    task: toTask(row),
    row,
    dependsOn: rows
      .filter((other) => needs.get(row.id)?.some(([, dependsOn]) => dependsOn === other.id))
      .map((other) => other.key),
    parentKey: row.parent_id === null ? null : (keys.get(row.parent_id) ?? null),
  }));
}

/** What a task depends on, done tasks with their results. */
export async function listDependencies(db: Db, taskId: TaskId): Promise<Task[]> {
  const rows = await db
    .selectFrom("task_dependencies as d")
    .innerJoin("tasks as t", "t.id", "d.depends_on")
    .selectAll("t")
    .where("d.task_id", "=", taskId)
    .orderBy("t.number")
    .execute();
  return rows.map(toTask);
}

export interface StageCount {
  readonly status: string;
  readonly count: number;
}

/** Live tasks by status over all tenants, and goals that wait for their planner: for metrics. */
export async function measureBacklog(
  db: Db,
): Promise<{ readonly live: readonly StageCount[]; readonly plansWanted: number }> {
  const { rows: live } = await sql<StageCount>`
    SELECT t.status, count(*)::integer AS count FROM goals g JOIN tasks t ON t.goal_id = g.id
    WHERE g.status IN ('queued', 'planning', 'running', 'waiting') AND t.status IN ('pending', 'ready', 'running', 'waiting', 'reflecting')
    GROUP BY 1`.execute(db);
  const { rows } = await sql<{ plans: number }>`
    SELECT count(*)::integer AS plans FROM goals WHERE status IN ('queued', 'running', 'planning') AND plan_wanted > 0 AND lease_id IS NULL`.execute(
    db,
  );
  return { live, plansWanted: rows[0]?.plans ?? 0 };
}
