/** For whose goals somebody watches what models write; on PostgreSQL alone, where no Redis says it. A row runs out by itself. */
import { sql } from "kysely";
import type { Db } from "./database.ts";

/** Rows that ran out and are swept with one statement; more wait for the next. */
const maxSwept = 1000;

export async function keepGoalsWatched(db: Db, goalIds: readonly string[], forMs: number): Promise<void> {
  // In order: two who say it of the same goals wait for one another, never both ways.
  await sql`
    INSERT INTO goal_watches (goal_id, until)
      SELECT id, clock_timestamp() + make_interval(secs => ${forMs}::float8 / 1000) FROM unnest(${[...goalIds]}::text[]) id ORDER BY id
      ON CONFLICT (goal_id) DO UPDATE SET until = greatest(goal_watches.until, excluded.until)`.execute(db);
  await sql`
    DELETE FROM goal_watches WHERE ctid IN (
      SELECT ctid FROM goal_watches WHERE until < clock_timestamp() LIMIT ${maxSwept} FOR UPDATE SKIP LOCKED)`.execute(
    db,
  );
}

/** Served by the primary key. */
export async function isGoalWatched(db: Db, goalId: string): Promise<boolean> {
  const { rows } = await sql`
    SELECT 1 FROM goal_watches WHERE goal_id = ${goalId} AND until > clock_timestamp()`.execute(db);
  return rows.length > 0;
}
