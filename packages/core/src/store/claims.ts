/** Claims (W3): who may write now. A claim bumps the fence and names the lease; what a worker needs to go on comes with it. */
import { sql } from "kysely";
import type { Held } from "../domain/budget.ts";
import type { Goal } from "../domain/goal.ts";
import type { GoalId, LeaseId, TaskId } from "../domain/ids.ts";
import type { Step } from "../domain/step.ts";
import type { Task } from "../domain/task.ts";
import type { Db } from "./database.ts";
import { toGoal, toStep, toTask, type GoalRow, type TaskRecord } from "./rows.ts";

export interface ClaimedTask {
  readonly goal: Goal;
  readonly task: Task;
  readonly fence: number;
  /** What is reserved for it. */
  readonly held: Held;
  /** Times in a row that it was given back for something that was away. */
  readonly backoffs: number;
  /** The journal of this attempt: empty, or what a crashed or handed back try left. */
  readonly steps: readonly Step[];
  /** Claims in a row that ran out with their process (W8). */
  readonly expiredClaims: number;
}

export interface TaskClaims {
  readonly claimed: readonly ClaimedTask[];
  /** Set where tasks were handed back for want of slots, or a budget is spent: what this tenant has due must be dispatched again. */
  readonly dispatchAgain: string | null;
  /** The goal's newest event, where claiming made one. */
  readonly eventSeq: number | null;
}

export async function claimTasks(
  db: Db,
  goalId: GoalId,
  queue: "execute" | "reflect",
  taskIds: readonly TaskId[],
  lease: LeaseId,
  limit: number,
): Promise<TaskClaims> {
  const { rows } = await sql<{
    reply: { tasks: string[]; left?: string[]; spent?: string; event_seq?: number; tenant?: string };
  }>`
    SELECT claim_tasks(${goalId}, ${queue}, ${sql.val([...taskIds])}::text[], ${lease}, ${limit}::integer) AS reply`.execute(
    db,
  );
  const reply = rows[0]?.reply;
  const ids = reply?.tasks ?? [];
  const dispatchAgain = (reply?.left?.length ?? 0) > 0 || reply?.spent !== undefined ? (reply?.tenant ?? null) : null;
  if (ids.length === 0) return { claimed: [], dispatchAgain, eventSeq: null };
  const [goalRow, taskRows] = await Promise.all([
    db.selectFrom("goals").selectAll().where("id", "=", goalId).executeTakeFirstOrThrow(),
    db.selectFrom("tasks").selectAll().where("id", "in", ids).orderBy("number").execute(),
  ]);
  const claimed = await Promise.all(taskRows.map((row) => loadTaskClaim(db, goalRow, row)));
  return { claimed, dispatchAgain, eventSeq: reply?.event_seq ?? null };
}

async function loadTaskClaim(db: Db, goal: GoalRow, row: TaskRecord): Promise<ClaimedTask> {
  return {
    goal: toGoal(goal),
    task: toTask(row),
    fence: row.fence,
    held: {
      steps: row.steps_reserved,
      tokens: row.tokens_reserved,
      microUsd: row.cost_reserved,
      money: isMoneyLimited(goal),
    },
    backoffs: row.backoffs,
    steps: await loadSteps(db, goal, row.id, row.attempt),
    expiredClaims: row.expired_claims,
  };
}

/** What this lease has claimed already, for the process that works on it; undefined where the claim is no longer its. */
export async function takeUpTask(db: Db, claim: OwnClaim, lease: LeaseId): Promise<ClaimedTask | undefined> {
  const row = await db
    .selectFrom("tasks")
    .selectAll()
    .where("id", "=", claim.id)
    .where("fence", "=", claim.fence)
    .where("lease_id", "=", lease)
    .where("status", "in", ["running", "reflecting"])
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const goal = await db.selectFrom("goals").selectAll().where("id", "=", row.goal_id).executeTakeFirstOrThrow();
  return loadTaskClaim(db, goal, row);
}

export interface ClaimedGoal {
  readonly goal: Goal;
  readonly row: GoalRow;
  readonly fence: number;
  readonly held: Held;
  readonly backoffs: number;
  /** The journal of intake and of this round of planning. */
  readonly steps: readonly Step[];
}

export async function claimGoal(db: Db, goalId: GoalId, lease: LeaseId): Promise<ClaimedGoal | undefined> {
  const { rows } = await sql<{ reply: { claimed: boolean } }>`SELECT claim_goal(${goalId}, ${lease}) AS reply`.execute(
    db,
  );
  if (rows[0]?.reply.claimed !== true) return undefined;
  const row = await db.selectFrom("goals").selectAll().where("id", "=", goalId).executeTakeFirstOrThrow();
  return loadGoalClaim(db, row);
}

/** As `takeUpTask`, for a planner's claim. */
export async function takeUpGoal(db: Db, claim: OwnClaim, lease: LeaseId): Promise<ClaimedGoal | undefined> {
  const row = await db
    .selectFrom("goals")
    .selectAll()
    .where("id", "=", claim.id)
    .where("fence", "=", claim.fence)
    .where("lease_id", "=", lease)
    .executeTakeFirst();
  return row === undefined ? undefined : loadGoalClaim(db, row);
}

async function loadGoalClaim(db: Db, row: GoalRow): Promise<ClaimedGoal> {
  const goalId = row.id;
  const round = row.plan_round + 1;
  const steps = [...(await loadSteps(db, row, goalId, 0)), ...(await loadSteps(db, row, goalId, round))];
  const held = {
    steps: row.plan_reserved,
    tokens: row.plan_tokens_reserved,
    microUsd: row.plan_cost_reserved,
    money: isMoneyLimited(row),
  };
  return { goal: toGoal(row), row, fence: row.fence, held, backoffs: row.plan_backoffs, steps };
}

/** By the goal's own budget or by its tenant's. */
function isMoneyLimited(row: GoalRow): boolean {
  return row.budget_micro_usd !== null || row.lent_micro_usd !== null;
}

/** The finished steps of one attempt, in order. Served by the primary key of the day's partition. */
export async function loadSteps(
  db: Db,
  key: Pick<GoalRow, "retention" | "goal_day">,
  subjectId: string,
  attempt: number,
): Promise<Step[]> {
  const rows = await db
    .selectFrom("steps")
    .selectAll()
    .where("retention", "=", key.retention)
    .where("goal_day", "=", key.goal_day)
    .where("subject_id", "=", subjectId)
    .where("attempt", "=", attempt)
    .where("phase", "=", "result")
    .orderBy("seq")
    .execute();
  return rows.map(toStep);
}

/** Puts what is due for these tenants on its way; returns the jobs to add. */
export async function dispatchDue<Job>(db: Db, tenantId: string, cap: number, limit: number): Promise<readonly Job[]> {
  const { rows } = await sql<{
    jobs: Job[];
  }>`SELECT dispatch_due(${tenantId}, ${cap}::integer, ${limit}::integer) AS jobs`.execute(db);
  return rows[0]?.jobs ?? [];
}

export interface OwnClaim {
  readonly kind: "task" | "goal";
  readonly id: string;
  readonly fence: number;
}

/** What this lease holds. Served by the indexes of claimed tasks and goals. */
export async function listOwnClaims(db: Db, lease: LeaseId): Promise<OwnClaim[]> {
  const { rows } = await sql<OwnClaim>`
    SELECT 'task' AS kind, id, fence FROM tasks WHERE lease_id = ${lease} AND status IN ('running', 'reflecting')
    UNION ALL
    SELECT 'goal', id, fence FROM goals WHERE lease_id = ${lease} AND ended_at IS NULL`.execute(db);
  return rows;
}

/** Gives a claim back as a dead process's would be, but for the count: the next one takes the next fence, after `dueInMs`. */
export async function releaseOwnClaim(db: Db, lease: LeaseId, claim: OwnClaim, dueInMs = 0): Promise<void> {
  await db
    .updateTable(claim.kind === "task" ? "tasks" : "goals")
    .set({
      lease_id: null,
      fence: sql`fence + 1`,
      dispatched_at: null,
      // Infinity is a pause.
      due_at: sql`CASE WHEN due_at = 'infinity' THEN due_at ELSE clock_timestamp() + make_interval(secs => ${dueInMs / 1000}) END`,
    })
    .where("id", "=", claim.id)
    .where("fence", "=", claim.fence)
    .where("lease_id", "=", lease)
    .execute();
}

/** Gives everything back that this process did not get to hand back itself, so that its orderly end counts as no death. */
export async function releaseOwnClaims(db: Db, lease: LeaseId): Promise<void> {
  for (const claim of await listOwnClaims(db, lease)) await releaseOwnClaim(db, lease, claim);
}
