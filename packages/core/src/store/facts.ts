/** What evidence is checked against: who wrote which file, which tools were called with success, what reached out. */
import { sql } from "kysely";
import type { GoalId, TaskId } from "../domain/ids.ts";
import type { Db } from "./database.ts";
import type { GoalRow } from "./rows.ts";

/** Tasks that wrote to a goal's files, by path. Attachments have no writer. Served by the index of a goal's files. */
export async function listWriters(db: Db, goalId: GoalId): Promise<ReadonlyMap<string, readonly string[]>> {
  const { rows } = await sql<{ path: string; tasks: string[] }>`
    SELECT path, array_agg(DISTINCT task_id) AS tasks FROM artifacts
    WHERE goal_id = ${goalId} AND origin = 'written' AND task_id IS NOT NULL GROUP BY path`.execute(db);
  return new Map(rows.map((row) => [row.path, row.tasks]));
}

/** Tools whose external calls have happened, of one root task and what it was split into, or of the whole goal. Served by the key of effects. */
export async function listReachedOut(db: Db, goalId: GoalId, rootId: TaskId | null): Promise<readonly string[]> {
  const { rows } = await sql<{ tool: string }>`
    SELECT DISTINCT tool FROM effects
    WHERE goal_id = ${goalId} AND status = 'done' AND (${rootId}::text IS NULL OR root_id = ${rootId})`.execute(db);
  return rows.map((row) => row.tool);
}

/** Tools that were called with success, of one root task and what it was split into, or of the whole goal. Served by the index of a goal's steps. */
export async function listSucceeded(
  db: Db,
  goal: Pick<GoalRow, "id" | "retention" | "goal_day">,
  rootId: TaskId | null,
): Promise<readonly string[]> {
  const { rows } = await sql<{ name: string }>`
    SELECT DISTINCT name FROM steps s
    WHERE s.retention = ${goal.retention} AND s.goal_day = ${goal.goal_day} AND s.goal_id = ${goal.id}
      AND s.kind = 'tool' AND s.phase = 'result' AND s.ok
      AND (${rootId}::text IS NULL OR s.subject_id IN (SELECT id FROM tasks WHERE goal_id = ${goal.id} AND root_id = ${rootId}))`.execute(
    db,
  );
  return rows.map((row) => row.name);
}

/** What a goal's tasks wrote down, oldest first. */
export async function listNotes(db: Db, goalId: GoalId, limit: number): Promise<readonly string[]> {
  const rows = await db
    .selectFrom("memory_entries")
    .select("text")
    .where("goal_id", "=", goalId)
    .where("kind", "=", "note")
    .orderBy("created_at")
    .limit(limit)
    .execute();
  return rows.map((row) => row.text);
}
