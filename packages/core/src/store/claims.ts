/** Claims (W3): who may write now. A claim bumps the fence and names the lease; what a worker needs to go on comes with it. */
import { sql } from "kysely";
import type { Held } from "../domain/budget.ts";
import type { Goal } from "../domain/goal.ts";
import type { GoalId, LeaseId, TaskId } from "../domain/ids.ts";
import type { Step } from "../domain/step.ts";
import type { Task } from "../domain/task.ts";
import type { Db } from "./database.ts";
import { restoreTexts } from "./kept-texts.ts";
import type { QueueName } from "./commit.ts";
import { createGatherer } from "./gatherer.ts";
import { notesOf } from "./memories.ts";
import { goalOfJson, stepOfJson, taskOfJson, toGoal, toStep, toTask, type GoalRow, type TaskRecord } from "./rows.ts";
import { listDependencies, listTasks, tasksInGoal, type TaskInGoal } from "./tasks.ts";

export interface ClaimedTask {
  readonly goal: Goal;
  readonly goalRow: GoalRow;
  readonly task: Task;
  readonly fence: number;
  /** What is reserved for it. */
  readonly held: Held;
  /** Times in a row that it was given back for something that was away. */
  readonly backoffs: number;
  /** The journal of this attempt: empty, or what a crashed or handed back try left. */
  readonly steps: readonly Step[];
  /** What it depends on, for its executor: done tasks with their results. */
  readonly dependencies: readonly Task[];
  /** What it wrote down, for its reflector, oldest first. */
  readonly notes: readonly string[];
  /** Claims in a row that ran out with their process (W8). */
  readonly expiredClaims: number;
}

export interface TaskClaims {
  readonly claimed: readonly ClaimedTask[];
  /** Set where tasks were handed back for want of slots, or a budget is spent: what this tenant has due must be dispatched again. */
  readonly dispatchAgain: string | null;
  /** The goal's newest event. */
  readonly eventSeq: number | null;
}

export interface ClaimedGoal {
  readonly goal: Goal;
  readonly row: GoalRow;
  readonly fence: number;
  readonly held: Held;
  readonly backoffs: number;
  /** The journal of intake and of this round of planning. */
  readonly steps: readonly Step[];
  /** All tasks of the goal, in the order in which they were made. */
  readonly tasks: readonly TaskInGoal[];
}

/** What a job asks a process to take on. */
export interface ClaimRequest {
  readonly queue: QueueName;
  readonly goal: GoalId;
  readonly tasks: readonly TaskId[];
  readonly limit: number;
}

/** A row as `row_to_json` writes it. */
type Json = Readonly<Record<string, unknown>>;

interface TaskClaimJson {
  readonly row: Json;
  readonly steps: readonly Json[] | null;
  readonly depends_on: readonly Json[] | null;
  readonly notes: readonly string[] | null;
}

interface WorkReply {
  readonly busy?: never;
  readonly goal?: Json;
  readonly left?: boolean | null;
  readonly tenant?: string | null;
  readonly event_seq?: number;
  readonly tasks?: readonly (TaskClaimJson | Json)[] | null;
  readonly steps?: readonly Json[] | null;
  readonly edges?: readonly (readonly [string, string])[] | null;
}

type ClaimReply = { readonly busy: true } | WorkReply;

/** What a request got: of a plan the goal, where it was claimed. */
export type Claimed =
  | { readonly kind: "busy" }
  | { readonly kind: "tasks"; readonly claims: TaskClaims }
  | { readonly kind: "goal"; readonly claim: ClaimedGoal | undefined };

/**
 * Claims for all these requests, with what their work needs to begin: one statement, one transaction, one reply a request.
 * @param alone whether goals that are locked are waited for; else the requests for them come back as `busy`
 */
export async function claimWork(
  db: Db,
  requests: readonly ClaimRequest[],
  lease: LeaseId,
  alone: boolean,
): Promise<readonly Claimed[]> {
  const { rows } = await sql<{ reply: readonly ClaimReply[] }>`
    SELECT claim_work(${JSON.stringify(requests)}::jsonb, ${lease}, ${alone}) AS reply`.execute(db);
  const replies = rows[0]?.reply ?? [];
  return Promise.all(
    requests.map(async ({ queue }, index): Promise<Claimed> => {
      const reply = replies[index];
      if (reply === undefined || reply.busy === true) return { kind: "busy" };
      return queue === "plan"
        ? { kind: "goal", claim: await readGoalClaim(db, reply) }
        : { kind: "tasks", claims: await readTaskClaims(db, reply) };
    }),
  );
}

async function readTaskClaims(db: Db, reply: WorkReply): Promise<TaskClaims> {
  const dispatchAgain = reply.left === true ? (reply.tenant ?? null) : null;
  if (reply.goal === undefined) return { claimed: [], dispatchAgain, eventSeq: null };
  const goalRow = goalOfJson(reply.goal);
  const claimed = await Promise.all(
    (reply.tasks as readonly TaskClaimJson[]).map(async (each) =>
      toTaskClaim(goalRow, taskOfJson(each.row), {
        steps: await toSteps(db, each.steps),
        dependencies: (each.depends_on ?? []).map((row) => toTask(taskOfJson(row))),
        notes: each.notes ?? [],
      }),
    ),
  );
  return { claimed, dispatchAgain, eventSeq: reply.event_seq ?? null };
}

async function readGoalClaim(db: Db, reply: WorkReply): Promise<ClaimedGoal | undefined> {
  if (reply.goal === undefined) return undefined;
  const rows = ((reply.tasks ?? []) as readonly Json[]).map(taskOfJson);
  return toGoalClaim(
    goalOfJson(reply.goal),
    await toSteps(db, reply.steps ?? null),
    tasksInGoal(rows, reply.edges ?? []),
  );
}

export interface Claimer {
  claimTasks(request: ClaimRequest & { readonly queue: "execute" | "reflect" }): Promise<TaskClaims>;
  claimGoal(goalId: GoalId): Promise<ClaimedGoal | undefined>;
}

/** What claiming needs of the store. */
export interface ClaimStore {
  claimWork(requests: readonly ClaimRequest[], lease: LeaseId, alone: boolean): Promise<readonly Claimed[]>;
}

/** Claims of one process, gathered as its writes are: what its workers fetched during a round trip is claimed in the next. */
export function createClaimer(
  store: ClaimStore,
  lease: LeaseId,
  options: { readonly maxClaims: number; readonly gatherMs: () => number },
): Claimer {
  const gatherer = createGatherer<ClaimRequest, Claimed>({
    maxItems: options.maxClaims,
    gatherMs: options.gatherMs,
    maxBytes: Infinity,
    bytesOf: () => 0,
    async send(requests, wait) {
      const claimed = await store.claimWork(requests, lease, wait);
      return claimed.map((each) => (each.kind === "busy" ? "busy" : { reply: each }));
    },
  });
  return {
    async claimTasks(request) {
      const claimed = await gatherer.add(request);
      return claimed.kind === "tasks" ? claimed.claims : { claimed: [], dispatchAgain: null, eventSeq: null };
    },
    async claimGoal(goalId) {
      const claimed = await gatherer.add({ queue: "plan", goal: goalId, tasks: [], limit: 1 });
      return claimed.kind === "goal" ? claimed.claim : undefined;
    },
  };
}

/** One claim, on its own. */
export async function claimTasks(
  db: Db,
  goal: GoalId,
  queue: "execute" | "reflect",
  tasks: readonly TaskId[],
  lease: LeaseId,
  limit: number,
): Promise<TaskClaims> {
  const [claimed] = await claimWork(db, [{ queue, goal, tasks, limit }], lease, true);
  return claimed?.kind === "tasks" ? claimed.claims : { claimed: [], dispatchAgain: null, eventSeq: null };
}

/** One claim, on its own. */
export async function claimGoal(db: Db, goal: GoalId, lease: LeaseId): Promise<ClaimedGoal | undefined> {
  const [claimed] = await claimWork(db, [{ queue: "plan", goal, tasks: [], limit: 1 }], lease, true);
  return claimed?.kind === "goal" ? claimed.claim : undefined;
}

function toTaskClaim(
  goalRow: GoalRow,
  row: TaskRecord,
  loaded: Pick<ClaimedTask, "steps" | "dependencies" | "notes">,
): ClaimedTask {
  return {
    goal: toGoal(goalRow),
    goalRow,
    task: toTask(row),
    fence: row.fence,
    held: {
      steps: row.steps_reserved,
      tokens: row.tokens_reserved,
      microUsd: row.cost_reserved,
      money: isMoneyLimited(goalRow),
    },
    backoffs: row.backoffs,
    expiredClaims: row.expired_claims,
    ...loaded,
  };
}

function toGoalClaim(row: GoalRow, steps: readonly Step[], tasks: readonly TaskInGoal[]): ClaimedGoal {
  const held = {
    steps: row.plan_reserved,
    tokens: row.plan_tokens_reserved,
    microUsd: row.plan_cost_reserved,
    money: isMoneyLimited(row),
  };
  return { goal: toGoal(row), row, fence: row.fence, held, backoffs: row.plan_backoffs, steps, tasks };
}

async function toSteps(db: Db, rows: readonly Json[] | null): Promise<readonly Step[]> {
  if (rows === null || rows.length === 0) return [];
  return (await restoreTexts(db, rows.map(stepOfJson))).map(toStep);
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
  const [steps, dependencies, notes] = await Promise.all([
    loadSteps(db, goal, row.id, row.attempt),
    listDependencies(db, row.id as TaskId),
    notesOf(db, row.goal_id as GoalId, row.id as TaskId),
  ]);
  return toTaskClaim(goal, row, { steps, dependencies, notes });
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
  if (row === undefined) return undefined;
  const [intake, planning, tasks] = await Promise.all([
    loadSteps(db, row, row.id, 0),
    loadSteps(db, row, row.id, row.plan_round + 1),
    listTasks(db, row.id as GoalId),
  ]);
  return toGoalClaim(row, [...intake, ...planning], tasks);
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
  return (await restoreTexts(db, rows)).map(toStep);
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
