/** Deletes what ended long ago (W11): goals with their tasks and waits, then the partitions of days that no goal is left of. */
import { sql } from "kysely";
import type { Db } from "./database.ts";

export interface Pruned {
  readonly goals: number;
  /** Days whose history was dropped. */
  readonly days: number;
}

/** Goals of one transaction: each takes its tasks, waits and keys along, and its memories are let go of. */
const batch = 100;

/**
 * Goals of a day go first, a batch a transaction, so that its partitions can be dropped in an instant: while that waits for its
 * lock, or has it, nobody writes history. A day that got no partitions in time has its rows in the default ones. Memories of a deleted goal stay. Safe to repeat, and by several at once.
 * @param olderThanMs since the end of a goal, by the database's clock
 * @param patiently runs a drop again that did not get its lock
 */
export async function prune(
  db: Db,
  olderThanMs: number,
  patiently: <Result>(work: () => Promise<Result>) => Promise<Result>,
): Promise<Pruned> {
  const before = sql<Date>`clock_timestamp() - make_interval(secs => ${olderThanMs / 1000})`;
  const { rows: days } = await sql<{ retention: string; goal_day: string }>`
    SELECT DISTINCT retention, goal_day FROM goals WHERE goal_day <= (${before})::date ORDER BY goal_day`.execute(db);
  let goals = 0;
  for (const { retention, goal_day } of days)
    for (let deleted = batch; deleted === batch; goals += deleted) {
      const { numAffectedRows } = await sql`
        DELETE FROM goals WHERE id IN (
          SELECT id FROM goals WHERE retention = ${retention} AND goal_day = ${goal_day}::date AND ended_at < ${before}
          LIMIT ${batch} FOR UPDATE SKIP LOCKED)`.execute(db);
      deleted = Number(numAffectedRows ?? 0);
    }
  const { rows: kept } = await sql<{ retention: string; day: string }>`
    SELECT retention, day::text FROM (
      SELECT part[1] AS retention, to_date(part[2], 'YYYYMMDD') AS day
      FROM pg_inherits, pg_class, regexp_match(relname, '^steps_(.+)_(\\d{8})$') part
      WHERE inhparent = 'steps'::regclass AND pg_class.oid = inhrelid AND part IS NOT NULL
      UNION SELECT retention, goal_day FROM steps_default
      UNION SELECT retention, goal_day FROM events_default
    ) kept WHERE day < (${before})::date ORDER BY day`.execute(db);
  let dropped = 0;
  for (const { retention, day } of kept) {
    const { rows } = await patiently(() =>
      sql<{ done: boolean }>`SELECT drop_history_partition(${retention}, ${day}::date, ${before}) AS done`.execute(db),
    );
    if (rows[0]!.done) dropped += 1;
  }
  return { goals, days: dropped };
}
