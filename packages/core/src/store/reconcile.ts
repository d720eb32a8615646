/**
 * What the reconciler asks the database (W8). Every query is served by a partial index over live rows, so its cost does
 * not grow with finished work.
 */
import { sql } from "kysely";
import type { DueJob, QueueName } from "./commit.ts";
import type { Db } from "./database.ts";

/** Tenants that have something due and not on a queue. */
export async function tenantsWithDueWork(db: Db): Promise<string[]> {
  const { rows } = await sql<{ tenant_id: string }>`
    SELECT DISTINCT tenant_id FROM tasks WHERE dispatched_at IS NULL AND status IN ('ready', 'running', 'reflecting') AND due_at <= clock_timestamp()
    UNION
    SELECT DISTINCT tenant_id FROM goals WHERE status IN ('queued', 'planning', 'running') AND dispatched_at IS NULL AND plan_wanted > 0 AND due_at <= clock_timestamp()`.execute(
    db,
  );
  return rows.map((row) => row.tenant_id);
}

export interface StuckJob {
  readonly queue: QueueName;
  readonly job: string;
}

/** Jobs that were sent a while ago and of which nobody took the work up: their queue may have lost them. */
export async function findUnclaimedJobs(db: Db, graceMs: number, limit: number): Promise<StuckJob[]> {
  const { rows } = await sql<StuckJob>`
    SELECT 'plan' AS queue, job_id AS job FROM (
      SELECT job_id FROM goals WHERE status IN ('queued', 'planning', 'running') AND lease_id IS NULL AND dispatched_at < clock_timestamp() - make_interval(secs => ${graceMs / 1000})
        AND due_at <= clock_timestamp() LIMIT ${limit}) plans
    UNION ALL
    SELECT DISTINCT CASE status WHEN 'reflecting' THEN 'reflect' ELSE 'execute' END, job_id FROM (
      SELECT status, job_id FROM tasks WHERE dispatched_at IS NOT NULL AND dispatched_at < clock_timestamp() - make_interval(secs => ${graceMs / 1000})
        AND lease_id IS NULL AND status IN ('ready', 'running', 'reflecting') AND due_at <= clock_timestamp() LIMIT ${limit}) stuck`.execute(
    db,
  );
  return rows;
}

/** Takes jobs that are gone off the books, so that the next dispatch sends their work again under a new number. */
export async function forgetJobs(db: Db, jobs: readonly StuckJob[]): Promise<void> {
  const plans = jobs.filter((job) => job.queue === "plan").map((job) => job.job);
  const rest = jobs.filter((job) => job.queue !== "plan").map((job) => job.job);
  if (plans.length > 0)
    await db
      .updateTable("goals")
      .set({ dispatched_at: null })
      .where("job_id", "in", plans)
      .where("lease_id", "is", null)
      .where("dispatched_at", "is not", null)
      .execute();
  if (rest.length > 0)
    await db
      .updateTable("tasks")
      .set({ dispatched_at: null })
      .where("job_id", "in", rest)
      .where("lease_id", "is", null)
      .where("status", "in", ["ready", "running", "reflecting"])
      .where("dispatched_at", "is not", null)
      .execute();
}

/**
 * Gives up the claims of processes whose lease ran out: same attempt, same journal, the next claim takes the next fence.
 * Returns how many. A row that somebody works on is left to them.
 */
export async function releaseDeadClaims(db: Db, limit: number): Promise<number> {
  const { rows } = await sql<{ n: number }>`
    WITH dead_tasks AS (
      SELECT t.id FROM tasks t WHERE t.lease_id IS NOT NULL AND NOT lease_lives(t.lease_id) AND t.status IN ('running', 'reflecting')
      LIMIT ${limit} FOR UPDATE OF t SKIP LOCKED
    ), tasks_released AS (
      UPDATE tasks SET lease_id = NULL, fence = fence + 1, dispatched_at = NULL, expired_claims = expired_claims + 1 FROM dead_tasks WHERE tasks.id = dead_tasks.id RETURNING 1
    ), dead_goals AS (
      SELECT g.id FROM goals g WHERE g.status = 'planning' AND g.lease_id IS NOT NULL AND NOT lease_lives(g.lease_id)
      LIMIT ${limit} FOR UPDATE OF g SKIP LOCKED
    ), goals_released AS (
      UPDATE goals SET lease_id = NULL, fence = fence + 1, dispatched_at = NULL, expired_claims = expired_claims + 1 FROM dead_goals WHERE goals.id = dead_goals.id RETURNING 1
    )
    SELECT ((SELECT count(*) FROM tasks_released) + (SELECT count(*) FROM goals_released))::integer AS n`.execute(db);
  return rows[0]?.n ?? 0;
}

/** Goals whose wall clock ran out, and goals with nothing left to do: their planner is asked. Returns how many. */
export async function wakePlanners(db: Db, limit: number): Promise<number> {
  const { rows } = await sql<{ id: string }>`
    UPDATE goals SET plan_wanted = plan_wanted + 1,
      due_at = clock_timestamp(),
      exhausted = CASE WHEN deadline_at <= clock_timestamp() THEN coalesce(exhausted, 'wall_budget') ELSE exhausted END
    WHERE id IN (
      SELECT id FROM goals
      WHERE status IN ('queued', 'planning', 'running', 'waiting') AND deadline_at <= now() AND exhausted IS NULL AND asleep_at IS NULL
        OR status = 'running' AND live_tasks = 0 AND plan_wanted = 0
      LIMIT ${limit} FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING id`.execute(db);
  return rows.length;
}

/** Says in goals whose wall clock has run to 80 % that it has, once. Served by the index of wall warnings. Returns the new event numbers. */
export async function warnOfWall(
  db: Db,
  limit: number,
): Promise<readonly { readonly goalId: string; readonly eventSeq: number }[]> {
  const { rows } = await sql<{ goal_id: string; event_seq: number }>`
    SELECT goal_id, event_seq FROM warn_of_wall(${limit}::integer)`.execute(db);
  return rows.map((row) => ({ goalId: row.goal_id, eventSeq: row.event_seq }));
}

export type { DueJob };
