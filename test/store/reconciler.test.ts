/** W7 and W8 on real Postgres and Valkey, without workers: what a reconciler sends again, and what it leaves alone. */
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  createMetrics,
  createStore,
  fireDueWaits,
  openDatabase,
  openQueueBackend,
  readConfig,
  reconcileOnce,
  type Database,
  type Db,
  type GoalId,
  type QueueBackend,
} from "@outerloop/core";
import { sql } from "kysely";
import { createDriver, type Driver } from "../support/goal-driver.ts";
import { cloneDatabase, describeWithServers, redisDatabase, type ClonedDatabase } from "../support/servers.ts";

const tenantCap = 500;

describeWithServers("reconciling", () => {
  let clone: ClonedDatabase;
  let database: Database;
  let queue: QueueBackend;
  let driver: Driver;
  beforeAll(async () => {
    clone = await cloneDatabase();
    database = await openDatabase({
      kind: "server",
      url: clone.url,
      maxConnections: 6,
      statementMs: 15_000,
      applicationName: "reconciling",
    });
    queue = await openQueueBackend(database, {
      redis: readConfig({ DATABASE_URL: clone.url, REDIS_URL: await redisDatabase() }).redis,
      keepCompleted: 100,
      keepFailed: 100,
      prefix: "reconciling",
      migrates: true,
    });
    driver = await createDriver(database.db);
  }, 60_000);
  afterAll(async () => {
    await queue?.close();
    await database?.close();
    await clone?.drop();
  });

  const reconcile = (db: Db = database.db) =>
    reconcileOnce(
      { store: createStore(db), queue, tenantCap, metrics: createMetrics(), events: () => undefined },
      new Map(),
    );
  /** As if so much time had passed since everything was sent. */
  const passMinutes = async (minutes: number) => {
    for (const table of ["goals", "tasks"])
      await sql`UPDATE ${sql.table(table)} SET dispatched_at = dispatched_at - make_interval(mins => ${minutes})`.execute(
        database.db,
      );
  };
  const sent = async () =>
    (
      await database.db
        .selectFrom("tasks")
        .select(["id", "job_id", "dispatch"])
        .where("dispatched_at", "is not", null)
        .orderBy("id")
        .execute()
    ).map((row) => `${row.id} ${row.job_id} ${row.dispatch}`);
  const waiting = async () =>
    (await Promise.all([queue.queues.plan, queue.queues.execute].map((each) => each.getJobCounts()))).map(
      (counts) => (counts["waiting"] ?? 0) + (counts["prioritized"] ?? 0),
    );

  test("a backlog of ten minutes is sent once: no job is multiplied, none swallowed, by however many look", async () => {
    // 150 goals of 5 tasks, more than one tenant may have in flight.
    const goals: GoalId[] = [];
    for (let goal = 0; goal < 150; goal += 1) {
      const id = await driver.submit();
      goals.push(id);
      await driver.plan(id, { t1: [], t2: [], t3: [], t4: [], t5: [] });
    }
    await sql`UPDATE goals SET plan_wanted = 0, dispatched_at = NULL`.execute(database.db);
    await sql`UPDATE tasks SET dispatched_at = NULL, job_id = NULL`.execute(database.db);
    await reconcile();
    const first = await sent();
    expect(first).toHaveLength(tenantCap);
    const jobs = (await waiting())[1]!;
    // At most 8 ids a job, and tasks of one goal share it.
    expect(jobs).toBe(tenantCap / 5);
    for (let minute = 0; minute < 10; minute += 1) {
      await passMinutes(1);
      await Promise.all([reconcile(), reconcile(), reconcile()]);
    }
    expect(await sent()).toEqual(first);
    expect((await waiting())[1]).toBe(jobs);

    // One goal's job is lost, one has finished although nobody took its work up: these and no others go out again.
    const jobOf = async (goal: GoalId) =>
      (
        await database.db
          .selectFrom("tasks")
          .select("job_id")
          .where("goal_id", "=", goal)
          .where("dispatched_at", "is not", null)
          .executeTakeFirstOrThrow()
      ).job_id!;
    const inFlight = first.map((each) => each.split(" ")[1]!);
    const [lostGoal, doneGoal] = goals.filter((goal) => inFlight.some((job) => job.startsWith(goal)));
    const [lost, done] = [await jobOf(lostGoal!), await jobOf(doneGoal!)];
    await queue.queues.execute.remove(lost);
    const finished = (await queue.queues.execute.getJob(done))!;
    await queue.queues.execute.remove(done);
    await queue.queues.execute.add("execute", finished.data, { jobId: done });
    const worker = queue.createWorker("execute");
    await worker.waitUntilReady();
    // Ends at the job: nothing else is added meanwhile.
    for (;;) {
      const job = (await worker.getNextJob("test"))!;
      if (job.id === done) {
        await job.moveToCompleted(null as never, "test", false);
        break;
      }
      // Put back where it was taken.
      const { data, id } = job;
      await job.moveToCompleted(null as never, "test", false);
      await queue.queues.execute.remove(id!);
      await queue.queues.execute.add("execute", data, { jobId: id!, lifo: false });
    }
    queue.dropWorker(worker);
    await reconcile();
    await Promise.all([reconcile(), reconcile()]);
    const again = await sent();
    const changed = again.filter((each) => !first.includes(each));
    expect(changed).toHaveLength(10);
    expect(new Set(changed.map((each) => each.split(" ")[1]!.split("-")[0]))).toEqual(new Set([lostGoal, doneGoal]));
    expect((await waiting())[1]).toBe(jobs);
  }, 120_000);

  test("what a reconciler asks reads only live rows: its cost does not grow with finished work", async () => {
    await sql`
      INSERT INTO goals (id, tenant_id, goal_day, text, status, budget_steps, budget_wall_ms, budget_tokens, deadline_at, ended_at, dispatched_at, job_id, plan_wanted)
      SELECT 'g_old' || n, 'default', current_date, 'x', 'succeeded', 1, 1, 1, now(), now(), NULL, 'g_old' || n || '-p-1', 0 FROM generate_series(1, 20000) n`.execute(
      database.db,
    );
    await sql`
      INSERT INTO tasks (id, tenant_id, goal_id, retention, goal_day, key, number, root_id, text, status, ended_at)
      SELECT 't_old' || n, 'default', 'g_old' || (n % 20000 + 1), 'standard', current_date, 'k' || n, n, 't_old' || n, 'x', 'done', now() FROM generate_series(1, 60000) n`.execute(
      database.db,
    );
    await sql`
      INSERT INTO waits (id, tenant_id, goal_id, task_id, attempt, seq, kind, name, deadline_at, on_deadline, status, resolution)
      SELECT 'a_old' || n, 'default', 'g_old' || (n % 20000 + 1), 't_old' || n, 1, 1, 'timer', 'x', now(), 'continue', 'resolved', '{"by":"deadline"}' FROM generate_series(1, 60000) n`.execute(
      database.db,
    );
    await sql`ANALYZE`.execute(database.db);
    // One connection, which tells what it has read before it is asked.
    const single = await openDatabase({
      kind: "server",
      url: clone.url,
      maxConnections: 1,
      statementMs: 15_000,
      applicationName: "reconciling-alone",
    });
    try {
      const round = async () => {
        await reconcile(single.db);
        await fireDueWaits(single.db, 500);
      };
      await round();
      const before = await readRows(single.db);
      await round();
      const read = (await readRows(single.db)) - before;
      // 150 goals and 750 tasks are live and looked at; 140,000 rows are finished.
      expect(read).toBeGreaterThan(0);
      expect(read).toBeLessThan(10_000);
    } finally {
      await single.close();
    }
  }, 60_000);

  /** Rows that were read so far, by scans of tables and of indexes. */
  async function readRows(db: Db): Promise<number> {
    await sql`SELECT pg_stat_force_next_flush()`.execute(db);
    const { rows } = await sql<{ n: string }>`
      SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) AS n FROM pg_stat_user_tables WHERE relname IN ('goals', 'tasks', 'waits')`.execute(
      db,
    );
    return Number(rows[0]?.n ?? 0);
  }
});
