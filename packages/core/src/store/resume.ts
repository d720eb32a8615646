/**
 * Lets a goal go on: one that is paused, or one that failed on a budget and is given more of it (DESIGN §5). The same call
 * raises the budget of a goal that runs.
 *
 * 1. A budget that is given is a new total. For a goal that has failed it must be larger than what is spent; for one that
 *    lives, at least what it has.
 * 2. Neither a pause nor the time between an end and its resumption is spent: the wall clock stood still.
 * 3. Tasks that the end cancelled stay cancelled. The planner is asked, sees them as not done, and plans what is needed.
 */
import { sql } from "kysely";
import { isBudgetReason, hasGoalEnded, type GoalStatus } from "../domain/goal.ts";
import { OuterloopError, type FieldError } from "../domain/errors.ts";
import type { GoalId } from "../domain/ids.ts";
import type { Principal } from "../domain/principal.ts";
import type { Db, Trx } from "./database.ts";
import { appendEvents } from "./events.ts";
import type { GoalRow } from "./rows.ts";
import { liveTaskStatuses, steer, type Steered } from "./steer.ts";

/** New totals; what is absent stays. */
export interface MoreBudget {
  readonly steps?: number | undefined;
  readonly wallMs?: number | undefined;
  readonly tokens?: number | undefined;
  /** null: no limit on money any more. */
  readonly microUsd?: number | null | undefined;
}

/** @throws OuterloopError `invalid_input` with the fields that are too small */
export async function resumeGoal(db: Db, principal: Principal, id: GoalId, more: MoreBudget = {}): Promise<Steered> {
  return steer(db, principal, id, async (trx, goal) => {
    const raises = Object.values(more).some((value) => value !== undefined);
    if (goal.status === "failed" && isBudgetReason(goal.reason)) return reopen(trx, goal, more);
    if (hasGoalEnded(goal.status as GoalStatus))
      return { kind: "refused", goal, why: `goal ${id} has already ${goal.status}` };
    if (goal.status !== "paused" && !raises) return { kind: "unchanged", goal };
    if (raises) {
      const fields = tooSmall(goal, more, (budget) => budget.has);
      refuseFields(goal, fields);
      await raise(trx, goal, more);
    }
    if (goal.status === "paused") await unpause(trx, goal);
    await sql`SELECT settle_sleep(${id})`.execute(trx);
    await appendEvents(trx, id, [{ type: "goal.resumed", data: raises ? { budget: budgetOf(goal, more) } : {} }]);
    return { kind: "moved", goal: await reread(trx, id) };
  });
}

interface Figures {
  readonly field: "steps" | "tokens" | "wall_ms" | "usd";
  readonly given: number | null | undefined;
  readonly has: number | null;
  readonly spent: number;
}

/** Each budget as the request names it, money in dollars. */
function figuresOf(goal: GoalRow, more: MoreBudget): readonly Figures[] {
  const usd = (microUsd: number | null | undefined) =>
    microUsd === null || microUsd === undefined ? microUsd : microUsd / 1e6;
  return [
    { field: "steps", given: more.steps, has: goal.budget_steps, spent: goal.steps_used },
    { field: "tokens", given: more.tokens, has: goal.budget_tokens, spent: goal.tokens_used },
    { field: "wall_ms", given: more.wallMs, has: goal.budget_wall_ms, spent: workedMs(goal) },
    {
      field: "usd",
      given: usd(more.microUsd),
      has: usd(goal.budget_micro_usd) as number | null,
      spent: usd(goal.cost_micro_usd) as number,
    },
  ];
}

/** What of the wall budget is gone, for a goal that has ended. */
function workedMs(goal: GoalRow): number {
  const until = goal.ended_at ?? goal.paused_at ?? new Date(0);
  return Math.max(0, goal.budget_wall_ms - (goal.deadline_at.getTime() - until.getTime()));
}

/** A goal that lives may be given no less than it has: what it reserved would not fit any more. */
function tooSmall(goal: GoalRow, more: MoreBudget, least: (figures: Figures) => number | null): FieldError[] {
  return figuresOf(goal, more).flatMap((figures) => {
    const { field, given } = figures;
    const bound = least(figures);
    if (given === undefined || given === null || (bound !== null && given >= bound)) return [];
    const message =
      bound === null
        ? "must not be given: the goal has no limit on money, and one that runs is given more, not less"
        : `must be at least ${bound}, which the goal has: one that runs is given more, not less`;
    return [{ field: `budget.${field}`, message }];
  });
}

/** The new totals of a goal that has failed must all be above what is spent, given or not. */
function notMore(goal: GoalRow, more: MoreBudget): FieldError[] {
  const fields = figuresOf(goal, more).flatMap(({ field, given, has, spent }) => {
    const total = given === undefined ? has : given;
    if (total === null || total > spent) return [];
    const said = given === undefined ? "must be given and" : "must be";
    return [{ field: `budget.${field}`, message: `${said} larger than ${spent}, which is spent` }];
  });
  const limitsMoney = more.microUsd === undefined ? goal.budget_micro_usd !== null : more.microUsd !== null;
  return goal.cost_unknown && limitsMoney
    ? [
        ...fields.filter((each) => each.field !== "budget.usd"),
        {
          field: "budget.usd",
          message: "must be null, for no limit: the price of a call that was made is not known, so none can be kept",
        },
      ]
    : fields;
}

function refuseFields(goal: GoalRow, fields: readonly FieldError[]): void {
  if (fields.length === 0) return;
  throw new OuterloopError(
    "invalid_input",
    `Goal ${goal.id} needs more of its budget: ${fields.map((each) => `${each.field} ${each.message}`).join("; ")}.`,
    { fields },
  );
}

async function reopen(trx: Trx, goal: GoalRow, more: MoreBudget): Promise<Steered> {
  refuseFields(goal, notMore(goal, more));
  await trx
    .updateTable("goals")
    .set({
      // The wall clock stood still since the goal ended.
      deadline_at: sql`deadline_at + (clock_timestamp() - ended_at)`,
      wall_warn_at: sql`wall_warn_at + (clock_timestamp() - ended_at)`,
      status: "running",
      reason: null,
      detail: null,
      answer: null,
      citations: null,
      ended_at: null,
      exhausted: null,
      exhausted_period: null,
      plan_wanted: 1,
      due_at: sql`clock_timestamp()`,
      dispatched_at: null,
    })
    .where("id", "=", goal.id)
    .execute();
  await raise(trx, goal, more);
  const { rows } = await sql<{ spent: string[] | null }>`SELECT lend_to_goal(${goal.id}, 1, 1, 0) AS spent`.execute(
    trx,
  );
  const period = rows[0]?.spent?.[1];
  if (period !== undefined)
    throw new OuterloopError(
      "conflict",
      `Goal ${goal.id} cannot go on: its tenant's budget (${period}) is spent. An admin can raise it with PUT /v1/budget.`,
    );
  await appendEvents(trx, goal.id as GoalId, [{ type: "goal.resumed", data: { budget: budgetOf(goal, more) } }]);
  return { kind: "moved", goal: await reread(trx, goal.id as GoalId) };
}

/** Writes new totals. 80 % of a larger budget are announced anew. */
async function raise(trx: Trx, goal: GoalRow, more: MoreBudget): Promise<void> {
  const raised = figuresOf(goal, more).filter(
    ({ given, has }) => given !== undefined && (has === null || given === null || given > has),
  );
  if (Object.values(more).every((value) => value === undefined)) return;
  const wallMs = more.wallMs ?? goal.budget_wall_ms;
  const addedMs = wallMs - goal.budget_wall_ms;
  await trx
    .updateTable("goals")
    .set({
      budget_steps: more.steps ?? goal.budget_steps,
      budget_tokens: more.tokens ?? goal.budget_tokens,
      budget_wall_ms: wallMs,
      budget_micro_usd: more.microUsd === undefined ? goal.budget_micro_usd : more.microUsd,
      deadline_at: sql`deadline_at + make_interval(secs => ${addedMs / 1000})`,
      warned: sql`array(SELECT unnest(warned) EXCEPT SELECT unnest(${sql.val(raised.map(({ field }) => field))}::text[]))`,
      ...(addedMs !== 0 && {
        wall_warn_at: sql`deadline_at + make_interval(secs => ${(addedMs - wallMs * 0.2) / 1000})`,
      }),
      // What was found spent may not be any more; who asks next finds out.
      exhausted: null,
      exhausted_period: null,
    })
    .where("id", "=", goal.id)
    .execute();
}

async function unpause(trx: Trx, goal: GoalRow): Promise<void> {
  await trx
    .updateTable("tasks")
    .set({
      due_at: sql`clock_timestamp()`,
      dispatched_at: sql`CASE WHEN lease_id IS NULL THEN NULL ELSE dispatched_at END`,
    })
    .where("goal_id", "=", goal.id)
    .where("status", "in", liveTaskStatuses)
    .execute();
  await trx
    .updateTable("goals")
    .set({
      status: goal.paused_from ?? "running",
      paused_from: null,
      // A pause is not spent: the wall clock stood still.
      deadline_at: sql`deadline_at + (clock_timestamp() - coalesce(paused_at, clock_timestamp()))`,
      wall_warn_at: sql`wall_warn_at + (clock_timestamp() - coalesce(paused_at, clock_timestamp()))`,
      paused_at: null,
      due_at: sql`clock_timestamp()`,
      dispatched_at: sql`CASE WHEN lease_id IS NULL THEN NULL ELSE dispatched_at END`,
    })
    .where("id", "=", goal.id)
    .execute();
}

/** As the request and the goal's resource name it. */
function budgetOf(goal: GoalRow, more: MoreBudget): Readonly<Record<string, number | null>> {
  const totals = figuresOf(goal, more).map(({ field, given, has }) => [field, given === undefined ? has : given]);
  return Object.fromEntries(totals) as Record<string, number | null>;
}

const reread = (trx: Trx, id: GoalId) =>
  trx.selectFrom("goals").selectAll().where("id", "=", id).executeTakeFirstOrThrow();
