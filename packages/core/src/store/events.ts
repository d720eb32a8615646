/** A goal's events: numbered under the goal's lock, so a reader that has number n asks for what is above n (W9). */
import { sql } from "kysely";
import type { EventType, GoalEvent, NewEvent } from "../domain/event.ts";
import type { GoalId } from "../domain/ids.ts";
import type { Db, Trx } from "./database.ts";

/** Appends under a lock that the caller holds on the goal's row. Workers' events ride in their commits instead. */
export async function appendEvents(trx: Trx, goalId: GoalId, events: readonly NewEvent[]): Promise<void> {
  await sql`SELECT append_events(${goalId}, ${JSON.stringify(events)}::jsonb)`.execute(trx);
}

/** Events above `after`, oldest first, at most `limit`. Served by the primary key. */
export async function eventsAfter(db: Db | Trx, goalId: GoalId, after: number, limit: number): Promise<GoalEvent[]> {
  const rows = await db
    .selectFrom("events as e")
    .innerJoin("goals as g", (join) =>
      join
        .onRef("g.id", "=", "e.goal_id")
        .onRef("g.retention", "=", "e.retention")
        .onRef("g.goal_day", "=", "e.goal_day"),
    )
    .select(["e.seq", "e.type", "e.task_id", "e.data", "e.at"])
    .where("g.id", "=", goalId)
    .where("e.goal_id", "=", goalId)
    .where("e.seq", ">", after)
    .orderBy("e.seq")
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    seq: row.seq,
    type: row.type as EventType,
    taskId: row.task_id,
    data: row.data as Record<string, unknown>,
    at: row.at.toISOString(),
  }));
}

/** The newest number of each of these goals: one query however many watchers there are. */
export async function newestEvents(db: Db, goalIds: readonly string[]): Promise<ReadonlyMap<string, number>> {
  if (goalIds.length === 0) return new Map();
  const rows = await db.selectFrom("goals").select(["id", "event_seq"]).where("id", "in", goalIds).execute();
  return new Map(rows.map((row) => [row.id, row.event_seq]));
}
