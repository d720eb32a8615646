/** What ended long ago is deleted, and nothing else; history goes by the day. */
import { openDatabase, pruneDatabase, readConfig, type Database, type GoalId } from "@outerloop/core";
import { sql } from "kysely";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createDriver, type Driver } from "../support/goal-driver.ts";
import { cloneDatabase, describeWithServers } from "../support/servers.ts";

const day = 24 * 3_600_000;

describeWithServers("pruning", () => {
  let url: string;
  let database: Database;
  let driver: Driver;
  beforeEach(async () => {
    ({ url } = await cloneDatabase());
    database = await openDatabase({ kind: "server", url, maxConnections: 4, applicationName: "test-prune" });
    driver = await createDriver(database.db);
  });
  afterEach(() => database.close());

  /** A goal as it would be if all of it had happened that many days ago; ended unless `live`. */
  async function goalOf(daysAgo: number, live = false): Promise<GoalId> {
    const goal = await driver.submit();
    const { t1 } = await driver.plan(goal, { t1: [] });
    await driver.execute(goal, t1!);
    const { db } = database;
    await sql`SELECT ensure_history_partition('standard', current_date - ${daysAgo}::integer)`.execute(db);
    await sql`UPDATE goals SET goal_day = goal_day - ${daysAgo}::integer WHERE id = ${goal}`.execute(db);
    for (const table of ["steps", "blobs", "events", "artifacts"])
      await sql`UPDATE ${sql.table(table)} SET goal_day = goal_day - ${daysAgo}::integer WHERE goal_id = ${goal}`.execute(
        db,
      );
    if (!live) {
      await driver.reflect(goal, t1!, "done");
      await sql`UPDATE goals SET status = 'cancelled', lease_id = NULL, ended_at = now() - make_interval(days => ${daysAgo}) WHERE id = ${goal}`.execute(
        db,
      );
    }
    return goal;
  }
  const rows = async (table: string) => {
    const { rows: found } = await sql<{ goal: string }>`
      SELECT DISTINCT ${sql.ref(table === "goals" ? "id" : "goal_id")} AS goal FROM ${sql.table(table)} ORDER BY 1`.execute(
      database.db,
    );
    return found.map((row) => row.goal);
  };
  const partitions = async () => {
    const { rows: found } = await sql<{ name: string }>`
      SELECT relname AS name FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'events'::regclass`.execute(
      database.db,
    );
    return found.length;
  };
  const prune = (days: number) => pruneDatabase(readConfig({ DATABASE_URL: url }), days * day);

  test("deletes goals that ended before, with all that they wrote, and drops days of which none is left", async () => {
    const old = [await goalOf(100), await goalOf(100), await goalOf(95)];
    const kept = [await goalOf(40), await goalOf(0), await goalOf(100, true)].toSorted();
    const before = await partitions();
    // Of day 100 a goal still works, so that only the day of 95 goes.
    expect(await prune(90)).toEqual({ goals: old.length, days: 1 });
    expect(await rows("goals")).toEqual(kept);
    expect(await rows("tasks")).toEqual(kept);
    expect(await partitions()).toBe(before - 1);
    expect(await rows("events")).toEqual(expect.arrayContaining(kept));
    expect(await prune(90)).toEqual({ goals: 0, days: 0 });
  });

  test("reaches a day that got no partitions in time", async () => {
    const old = await goalOf(100);
    const kept = await goalOf(40);
    const { db } = database;
    for (const [days, goal] of [
      [100, old],
      [40, kept],
    ] as const) {
      const { rows: names } = await sql<{ name: string }>`
        SELECT relname AS name FROM pg_class WHERE relname ~ ('_standard_' || to_char(current_date - ${days}::integer, 'YYYYMMDD') || '$') AND relkind = 'r'`.execute(
        db,
      );
      expect(names).toHaveLength(4);
      for (const { name } of names) {
        const [parent] = name.split("_");
        await sql
          .raw(
            `ALTER TABLE ${parent} DETACH PARTITION ${name}; INSERT INTO ${parent} SELECT * FROM ${name}; DROP TABLE ${name}`,
          )
          .execute(db);
      }
      const { rows: events } = await sql`SELECT FROM events_default WHERE goal_id = ${goal}`.execute(db);
      expect(events.length).toBeGreaterThan(0);
    }
    expect(await prune(90)).toEqual({ goals: 1, days: 1 });
    expect(await rows("events_default")).toEqual([kept]);
    expect(await rows("steps_default")).toEqual([]);
    expect(await prune(90)).toEqual({ goals: 0, days: 0 });
  });

  test("waits for who reads a backup, a moment at a time, and goes on after it", async () => {
    await goalOf(100);
    const backup = await database.pool.connect();
    await backup.query("BEGIN; LOCK TABLE steps IN ACCESS SHARE MODE");
    const pruning = prune(90);
    const waits = () => backup.query("SELECT FROM pg_locks WHERE NOT granted AND relation = 'steps'::regclass");
    while ((await waits()).rows.length === 0);
    await backup.query("COMMIT");
    backup.release();
    expect(await pruning).toEqual({ goals: 1, days: 1 });
  });

  test("may be done by several at once", async () => {
    for (let count = 0; count < 3; count += 1) await goalOf(100);
    const done = await Promise.all([prune(90), prune(90)]);
    expect(done.reduce((sum, each) => sum + each.goals, 0)).toBe(3);
    expect(await rows("goals")).toEqual([]);
  });
});
