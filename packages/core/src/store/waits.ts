/** What tasks wait for and what became of their external calls, as their executor sees it. */
import { sql } from "kysely";
import type { Effect, EffectStatus } from "../domain/effect.ts";
import type { GoalId, TaskId } from "../domain/ids.ts";
import type { JsonObject } from "../domain/json.ts";
import type { Wait } from "../domain/wait.ts";
import type { Task } from "../domain/task.ts";
import type { WaitRow } from "./commit.ts";
import type { Db } from "./database.ts";
import { toWait, type WaitRecord } from "./rows.ts";

export interface WaitsOfAttempt {
  /** What `wakes` was before the waits were read: who starts to wait with it missed nothing (W5). */
  readonly wakes: number;
  /** The newest wait of each call, by the call's position. */
  readonly bySeq: ReadonlyMap<number, Wait>;
}

/** One statement, so both are of one moment. Served by the primary key of tasks and the index of a task's waits. */
export async function loadWaits(db: Db, taskId: TaskId, attempt: number): Promise<WaitsOfAttempt> {
  const rows = await db
    .selectFrom("tasks as t")
    .leftJoin("waits as w", (join) =>
      join.onRef("w.task_id", "=", "t.id").on("w.attempt", "=", attempt).on("w.status", "<>", "withdrawn"),
    )
    .selectAll("w")
    .select("t.wakes as wakes_seen")
    .where("t.id", "=", taskId)
    .orderBy("w.seq")
    .orderBy("w.created_at")
    .execute();
  const bySeq = new Map<number, Wait>();
  for (const { wakes_seen: _, ...row } of rows) if (row.id !== null) bySeq.set(row.seq!, toWait(row as WaitRecord));
  return { wakes: rows[0]?.wakes_seen ?? 0, bySeq };
}

/**
 * The external calls that these keys name, by the key that was asked for. A call that ran with edited arguments is found by
 * those too. `elsewhere`: another task that is live has it under way.
 */
export async function loadEffects(
  db: Db,
  goalId: GoalId,
  taskId: TaskId,
  keys: readonly string[],
): Promise<ReadonlyMap<string, Effect>> {
  if (keys.length === 0) return new Map();
  const { rows } = await sql<{
    asked: string;
    key: string;
    send_key: string;
    status: EffectStatus;
    args: JsonObject;
    turn: number;
    result: { text: string } | null;
    intended_at: Date;
    age_ms: number;
    elsewhere: boolean;
  }>`
    SELECT DISTINCT ON (asked) asked, e.key, e.send_key, e.status, e.args, e.turn, e.result, e.intended_at,
      (extract(epoch FROM clock_timestamp() - e.intended_at) * 1000)::float8 AS age_ms,
      e.status IN ('intended', 'unknown') AND e.task_id <> ${taskId} AND EXISTS (SELECT FROM tasks t WHERE t.id = e.task_id AND t.status IN ('running', 'waiting')
        AND t.attempt = e.attempt) AS elsewhere
    FROM unnest(${sql.val([...keys])}::text[]) asked JOIN effects e ON e.goal_id = ${goalId} AND (e.key = asked OR e.send_key = asked)
    ORDER BY asked, (e.key = asked) DESC`.execute(db);
  return new Map(
    rows.map((row) => [
      row.asked,
      {
        key: row.key,
        sendKey: row.send_key,
        status: row.status,
        args: row.args,
        turn: row.turn,
        elsewhere: row.elsewhere,
        result: row.result?.text ?? null,
        intendedAt: row.intended_at,
        ageMs: row.age_ms,
      },
    ]),
  );
}

/** The same call made under another root task of the goal, which may have happened. */
export interface Twin {
  readonly task: string;
  readonly status: EffectStatus;
  readonly at: Date;
}

/**
 * Of these calls, those that another root task of the goal has made with the same arguments: a task that was planned again
 * has another root, so its key says nothing of what the one before it did. Served by the goal's part of the primary key.
 */
export async function loadTwins(
  db: Db,
  goalId: GoalId,
  rootId: TaskId,
  calls: readonly { readonly key: string; readonly tool: string; readonly args: JsonObject }[],
): Promise<ReadonlyMap<string, Twin>> {
  if (calls.length === 0) return new Map();
  const { rows } = await sql<{ asked: string; task: string; status: EffectStatus; at: Date }>`
    SELECT DISTINCT ON (c.value ->> 'key') c.value ->> 'key' AS asked, t.key AS task, e.status, e.intended_at AS at
    FROM jsonb_array_elements(${JSON.stringify(calls)}::jsonb) c
      JOIN effects e ON e.goal_id = ${goalId} AND e.root_id <> ${rootId} AND e.tool = c.value ->> 'tool' AND e.args = c.value -> 'args' AND e.status <> 'failed'
      JOIN tasks t ON t.id = e.task_id
    ORDER BY c.value ->> 'key', e.intended_at`.execute(db);
  return new Map(rows.map(({ asked, ...twin }) => [asked, twin]));
}

/**
 * Whether a person has said no to exactly this in another attempt at the same root task: they are not asked again by a retry
 * or a split. Within one attempt the model has read why, and may ask again.
 */
export async function findRefusal(
  db: Db,
  task: Pick<Task, "id" | "goalId" | "rootId" | "attempt">,
  wait: Pick<WaitRow, "kind" | "hash" | "subject">,
): Promise<{ readonly reason: string | null } | null> {
  const turn = wait.subject?.["turn"];
  const { rows } = await sql<{ reason: string | null }>`
    SELECT w.resolution ->> 'reason' AS reason FROM waits w JOIN tasks t ON t.id = w.task_id
    WHERE w.goal_id = ${task.goalId} AND t.root_id = ${task.rootId} AND w.kind = ${wait.kind} AND w.hash = ${wait.hash ?? ""}
      AND w.resolution ->> 'by' = 'person' AND w.resolution ->> 'decision' = 'reject'
      AND (w.task_id <> ${task.id} OR w.attempt <> ${task.attempt}::integer)
      AND w.subject ->> 'turn' IS NOT DISTINCT FROM ${typeof turn === "number" ? String(turn) : null}
    ORDER BY w.resolved_at DESC LIMIT 1`.execute(db);
  return rows[0] ?? null;
}

export interface FiredWaits {
  readonly fired: number;
  /** The newest event of each goal in which something fired. */
  readonly events: Readonly<Record<string, number>>;
  /** Until the next one is due, by the database's clock. */
  readonly nextMs: number | null;
}

/** Ends waits whose time has come. */
export async function fireDueWaits(db: Db, limit: number): Promise<FiredWaits> {
  const { rows } = await sql<{
    reply: { fired: number; events: Record<string, number>; next_ms?: number };
  }>`SELECT fire_due_waits(${limit}::integer) AS reply`.execute(db);
  const reply = rows[0]?.reply;
  return { fired: reply?.fired ?? 0, events: reply?.events ?? {}, nextMs: reply?.next_ms ?? null };
}
