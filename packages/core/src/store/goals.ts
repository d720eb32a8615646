/** Goals as people and their later goals see them. Every call names its principal and runs under row-level security. */
import { sql } from "kysely";
import { OuterloopError } from "../domain/errors.ts";
import type { GoalStatus } from "../domain/goal.ts";
import type { GoalId } from "../domain/ids.ts";
import type { Principal } from "../domain/principal.ts";
import { asPrincipal, type Db } from "./database.ts";
import { findOpenQuestion } from "./questions.ts";
import type { GoalRow, QuestionRecord } from "./rows.ts";
import { listTasks, type TaskInGoal } from "./tasks.ts";

export interface GoalView {
  readonly goal: GoalRow;
  readonly tasks: readonly TaskInGoal[];
  /** What it waits for its submitter to answer. */
  readonly question: QuestionRecord | null;
}

export async function getGoal(db: Db, principal: Principal, id: GoalId): Promise<GoalView | undefined> {
  return asPrincipal(db, principal, async (trx) => {
    const goal = await trx
      .selectFrom("goals")
      .selectAll()
      .where("id", "=", id)
      .where("tenant_id", "=", principal.tenantId)
      .executeTakeFirst();
    if (goal === undefined) return undefined;
    const mayWait = goal.status === "waiting" || goal.paused_from === "waiting";
    return {
      goal,
      tasks: await listTasks(trx, id),
      question: mayWait ? ((await findOpenQuestion(trx, principal, id)) ?? null) : null,
    };
  });
}

export interface GoalFilter {
  readonly status?: GoalStatus;
  readonly session?: string;
  readonly limit: number;
  /** After this one in the list, newest first. */
  readonly cursor?: { readonly createdAt: string; readonly id: string };
}

export async function listGoals(
  db: Db,
  principal: Principal,
  filter: GoalFilter,
): Promise<(GoalRow & { readonly created_at_exact: string })[]> {
  return asPrincipal(db, principal, (trx) => {
    // A Date is cut to milliseconds, and a cursor made from it would skip goals of the same one.
    let query = trx
      .selectFrom("goals")
      .selectAll()
      .select(sql<string>`created_at::text`.as("created_at_exact"))
      .where("tenant_id", "=", principal.tenantId);
    if (filter.status !== undefined) query = query.where("status", "=", filter.status);
    if (filter.session !== undefined) query = query.where("session_id", "=", filter.session);
    if (filter.cursor !== undefined)
      query = query.where(
        sql<boolean>`(created_at, id) < (${filter.cursor.createdAt}::timestamptz, ${filter.cursor.id})`,
      );
    return query.orderBy("created_at", "desc").orderBy("id", "desc").limit(filter.limit).execute();
  });
}

/** An earlier goal of a session: what it answered, and what it wrote down on the way. */
export interface SessionGoal {
  readonly goalId: string;
  readonly text: string;
  readonly answer: string;
  readonly notes: readonly string[];
}

/** Notes of one earlier goal that a later one of its session sees. */
const notesPerGoal = 8;

/** Earlier goals of the session that answered, oldest first, at most `limit`, each with its newest notes. */
export async function sessionHistory(db: Db, goal: GoalRow, limit: number): Promise<SessionGoal[]> {
  if (goal.session_id === null) return [];
  const rows = await db
    .selectFrom("goals")
    .select(["id", "text", "answer"])
    .where("tenant_id", "=", goal.tenant_id)
    .where("session_id", "=", goal.session_id)
    .where("created_at", "<", goal.created_at)
    .where("answer", "is not", null)
    .orderBy("created_at", "desc")
    .limit(limit)
    .execute();
  return Promise.all(
    rows.toReversed().map(async (row) => {
      const notes = await db
        .selectFrom("memory_entries")
        .select("text")
        .where("goal_id", "=", row.id)
        .where("kind", "=", "note")
        .orderBy("created_at", "desc")
        .limit(notesPerGoal)
        .execute();
      return {
        goalId: row.id,
        text: row.text,
        answer: row.answer ?? "",
        notes: notes.toReversed().map((note) => note.text),
      };
    }),
  );
}

/** A goal's row as workers need it: they name no principal, and have its id from a claim of theirs. */
export async function loadGoal(db: Db, goalId: GoalId): Promise<GoalRow> {
  return db.selectFrom("goals").selectAll().where("id", "=", goalId).executeTakeFirstOrThrow();
}

/** The full id that a prefix means; people type `g_7k2`. */
export async function resolveGoalId(db: Db, principal: Principal, prefix: string): Promise<GoalId> {
  if (!/^g_[0-9a-z]{1,16}$/.test(prefix))
    throw new OuterloopError("not_found", `"${prefix}" is not a goal's id: they look like g_7k2…`);
  const rows = await asPrincipal(db, principal, (trx) =>
    trx
      .selectFrom("goals")
      .select("id")
      .where(sql<boolean>`id ~>=~ ${prefix} AND id ~<~ ${`${prefix}~`}`)
      .where("tenant_id", "=", principal.tenantId)
      .limit(2)
      .execute(),
  );
  const [first, second] = rows;
  if (first === undefined) throw new OuterloopError("not_found", `There is no goal ${prefix}.`);
  if (second !== undefined && first.id !== prefix)
    throw new OuterloopError("not_found", `More than one goal begins with ${prefix}: give more of its id.`);
  return first.id as GoalId;
}
