/** What `outerloop migrate` and a service that may not migrate find in a database: nothing, something older, something newer. */
import {
  answerQuestion,
  awaitSchema,
  claimGoal,
  createId,
  migrate,
  noGuardCounts,
  openDatabase,
  pauseGoal,
  readConfig,
  readSchemaState,
  upgradeSchema,
  type Database,
} from "@outerloop/core";
import { sql } from "kysely";
import pg from "pg";
import { afterEach, beforeEach, expect, test } from "vitest";
import { brokenInvariants, createDriver, operator, questionRow } from "../support/goal-driver.ts";
import { endProcesses, isReady, startProcess } from "../support/processes.ts";
import { cloneDatabase, describeWithServers, redisDatabase } from "../support/servers.ts";

describeWithServers("the schema", () => {
  let env: Record<string, string>;
  let database: Database;

  beforeEach(async () => {
    const { url } = await cloneDatabase();
    env = {
      DATABASE_URL: url,
      REDIS_URL: await redisDatabase(),
      OUTERLOOP_MIGRATE: "false",
      OUTERLOOP_API_KEY: "ol_a_key_of_this_test_alone",
    };
    database = await openDatabase({ kind: "server", url, maxConnections: 2, applicationName: "test-schema" });
  });
  afterEach(async () => {
    await endProcesses();
    await database.close();
  });
  const empty = async () =>
    void (await sql.raw("DROP SCHEMA public CASCADE; CREATE SCHEMA public").execute(database.db));
  const start = () => startProcess("planner", "services/planner/src/main.ts", env);

  test("of an empty database is waited for until somebody has brought it up to date", async () => {
    await empty();
    const config = readConfig(env);
    await expect(awaitSchema(config, 0, () => undefined)).rejects.toThrow(
      /Waited 0 s\. The database lacks migrations 0001-create-tenants to \S+\. Apply what is missing: outerloop migrate/,
    );
    const told = Promise.withResolvers<string>();
    const waiting = awaitSchema(config, 60_000, told.resolve);
    expect(await told.promise).toMatch(/lacks migrations/);
    const done = await upgradeSchema(config);
    expect(done[0]).toBe("applied 0001-create-tenants");
    expect(done.every((line) => line.startsWith("applied "))).toBe(true);
    await waiting;
    expect(await upgradeSchema(config)).toEqual([]);
    expect(await readSchemaState(database.db)).toEqual({ missing: [], unknown: [] });
  });

  test("may be brought up to date by several at once", async () => {
    await empty();
    const config = readConfig({ ...env, REDIS_URL: "" });
    const done = await Promise.all([upgradeSchema(config), upgradeSchema(config), upgradeSchema(config)]);
    expect(done.filter((lines) => lines.length > 0)).toHaveLength(1);
  });

  test("that is behind stops a service that may not migrate, with what to do", async () => {
    await empty();
    const child = start();
    expect(await child.exited).toBe(1);
    expect(child.text()).toMatch(/planner: The database lacks migrations .* outerloop migrate/);
    expect(await readSchemaState(database.db)).toMatchObject({ unknown: [] });
  });

  test("is migrated behind a backup without making everybody wait, once that has ended", async () => {
    await migrate(database.db, "0015-tune-hot-path");
    const backup = await database.pool.connect();
    await backup.query("BEGIN; LOCK TABLE leases IN ACCESS SHARE MODE");
    const upgrading = upgradeSchema(readConfig(env));
    const other = new pg.Client({ connectionString: env["DATABASE_URL"]!, statement_timeout: 8000 });
    await other.connect();
    const waits = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'leases'::regclass";
    while ((await other.query(waits)).rows.length === 0);
    // As a worker that renews its lease: it stands behind the migration, and must not stand there long.
    await other.query("UPDATE leases SET expires_at = now() WHERE id = 'l_1'");
    await backup.query("COMMIT");
    backup.release();
    expect(await upgrading).toContain("applied 0016-support-rollouts");
    await other.end();
  });

  test("can be taken back behind questions with goals that wait for an answer, and be brought up to date again", async () => {
    const { db } = database;
    const functions = async () =>
      (
        await sql<{ source: string }>`
          SELECT pg_get_functiondef(p.oid) AS source FROM pg_proc p
          WHERE pronamespace = 'public'::regnamespace AND prokind = 'f' AND probin IS NULL AND prolang <> (SELECT oid FROM pg_language WHERE lanname = 'c')
          ORDER BY oid::regprocedure::text`.execute(db)
      ).rows.map((row) => row.source);
    await migrate(db, "0016-support-rollouts");
    const before = await functions();
    const driver = await createDriver(db);
    const after = await functions();
    const ask = async () => {
      const goal = await driver.submit();
      const { fence } = (await claimGoal(db, goal, driver.lease))!;
      const bytes = { base64: "eA==", hash: "h", mode: "write" } as const;
      const files = [
        { ...bytes, path: "seen.txt", origin: "observed" },
        { ...bytes, path: "kept.txt" },
      ] as const;
      const write = { id: createId("write"), goal, fence, files, ask: questionRow(), guards: noGuardCounts };
      expect(await driver.door.commit(write)).toMatchObject({ outcome: "won", goalStatus: "waiting" });
      return goal;
    };
    const waiting = await ask();
    const paused = await ask();
    await pauseGoal(db, operator, paused);
    const answered = await ask();
    await answerQuestion(db, operator, answered, { question: null, text: "go on", by: "Ann" });
    await sql`UPDATE goals SET asleep_at = asleep_at - interval '1 day' WHERE id = ${waiting}`.execute(db);

    await migrate(db, "0016-support-rollouts");
    expect(await functions()).toEqual(before);
    const rows = await sql<Record<string, unknown>>`
      SELECT id, status, paused_from, plan_wanted, asleep_at, deadline_at > now() + interval '20 hours' AS has_slept FROM goals ORDER BY created_at`.execute(
      db,
    );
    const plain = { paused_from: null, plan_wanted: 1, asleep_at: null, has_slept: false };
    expect(rows.rows).toEqual([
      { ...plain, id: waiting, status: "running", has_slept: true },
      { ...plain, id: paused, status: "paused", paused_from: "running" },
      { ...plain, id: answered, status: "running" },
    ]);
    expect((await sql<{ path: string }>`SELECT DISTINCT path FROM artifacts`.execute(db)).rows).toEqual([
      { path: "kept.txt" },
    ]);
    // It is planned by what was there before.
    const { rows: jobs } = await sql<{ goal: string }>`
      SELECT job ->> 'goal' AS goal FROM jsonb_array_elements(dispatch_due('default', 100, 100)) job`.execute(db);
    expect(jobs.map((job) => job.goal)).toEqual(expect.arrayContaining([waiting, answered]));

    await migrate(db);
    expect(await functions()).toEqual(after);
    expect(await ask()).toBeDefined();
    expect(await brokenInvariants(db)).toEqual([]);
  });

  test("has a number to scale by that gives who may ask for it nothing else", async () => {
    const role = `scaler_${process.pid}`;
    const owner = new pg.Client({ connectionString: env["DATABASE_URL"]! });
    await owner.connect();
    await owner.query(`CREATE ROLE ${role}; GRANT EXECUTE ON FUNCTION outerloop_load TO ${role}`);
    await owner.query("INSERT INTO tenants (id, name) VALUES ('other', 'other')");
    const driver = await createDriver(database.db);
    await driver.submit();
    await owner.query("UPDATE goals SET tenant_id = 'other' WHERE id = $1", [await driver.submit()]);
    try {
      await owner.query(`SET ROLE ${role}`);
      expect((await owner.query("SELECT outerloop_load('plan') AS load")).rows).toEqual([{ load: "2" }]);
      await expect(owner.query("SELECT FROM goals")).rejects.toThrow(/permission denied/);
      // Names of its own, which the function must not take for ours.
      await owner.query(`
        CREATE FUNCTION pg_temp.seize() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'ran as %', current_user; END $$;
        CREATE TEMP VIEW goals AS SELECT pg_temp.seize() AS status, NULL AS lease_id, 1 AS plan_wanted, now() AS due_at`);
      expect((await owner.query("SELECT outerloop_load('plan') AS load")).rows).toEqual([{ load: "2" }]);
    } finally {
      await owner.query(
        `RESET ROLE; DROP VIEW IF EXISTS pg_temp.goals; DROP FUNCTION IF EXISTS pg_temp.seize(); DROP OWNED BY ${role}; DROP ROLE ${role}`,
      );
      await owner.end();
    }
  });

  test("that newer code has migrated further stops nobody, whether it may migrate or not", async () => {
    await sql`INSERT INTO kysely_migration (name, timestamp) VALUES ('9999-of-the-future', now()::text)`.execute(
      database.db,
    );
    expect(await upgradeSchema(readConfig(env))).toEqual([]);
    for (const may of ["true", "false"]) {
      env["OUTERLOOP_MIGRATE"] = may;
      const child = start();
      await child.until(isReady, "it was ready");
      child.kill("SIGTERM");
      expect(await child.exited).toBe(0);
    }
  });
});
