/** The queue delivers twice, or everything at once: a claim decides who works, and settings bound how much is under way. */
import { openDatabase, openQueueBackend, readConfig, type Database, type QueueBackend } from "@outerloop/core";
import pg from "pg";
import { afterEach, expect, test } from "vitest";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { describeWithServers } from "../support/servers.ts";
import { check } from "./support/check.ts";
import { startSink, type Sink } from "./support/sink.ts";
import { recordFigures, sized } from "./support/size.ts";
import { startWorkload, type Workload } from "./support/workload.ts";

describeWithServers("deliveries", () => {
  let sink: Sink;
  let workload: Workload;
  let deployment: Deployment;
  let database: Database | undefined;
  let queue: QueueBackend | undefined;

  async function openQueue(): Promise<QueueBackend> {
    database = await openDatabase({
      kind: "server",
      url: deployment.databaseUrl,
      maxConnections: 1,
      applicationName: "test-queue",
    });
    return openQueueBackend(database, {
      redis: readConfig(deployment.env).redis,
      keepCompleted: 10_000,
      keepFailed: 10_000,
      prefix: "outerloop",
      migrates: true,
    });
  }
  afterEach(async () => {
    await queue?.close();
    await database?.close();
    queue = undefined;
    database = undefined;
    await deployment?.stop();
    await endProcesses();
    await workload?.close();
    await sink?.close();
  }, 60_000);

  /** Resolves when so many tasks are in this status. */
  async function untilTasks(status: string, count: number): Promise<void> {
    const client = new pg.Client({ connectionString: deployment.databaseUrl });
    await client.connect();
    const counted = async () =>
      (await client.query<{ n: number }>("SELECT count(*)::integer AS n FROM tasks WHERE status = $1", [status]))
        .rows[0]!.n;
    await expect.poll(counted, { timeout: 300_000, interval: 100 }).toBe(count);
    await client.end();
  }

  const effects = sized(50, 500);
  test(`each of ${effects} tasks delivered to two workers: ${effects} effects, no step twice`, async () => {
    sink = await startSink();
    workload = await startWorkload({ sink, calls: ["mail"] });
    deployment = await deploy({
      size: "redis",
      onlyIngress: true,
      // The jobs stand as this test makes them: nobody looks for lost ones.
      env: { ...workload.env, OUTERLOOP_RECONCILE_MS: "600000", OUTERLOOP_TENANT_IN_FLIGHT: "10000" },
    });
    await workload.post(deployment, effects);
    await deployment.start("planner");
    await untilTasks("ready", effects);

    queue = await openQueue();
    const { execute } = queue.queues;
    const jobs = await execute.getJobs(["waiting"], 0, -1, true);
    expect(jobs).toHaveLength(effects);
    await execute.drain();
    // Side by side on the queue, so that two workers have them at the same time.
    await execute.addBulk(
      jobs.flatMap((job) =>
        ["", "-again"].map((suffix) => ({ name: "execute", data: job.data, opts: { jobId: `${job.id}${suffix}` } })),
      ),
    );
    await Promise.all([
      deployment.start("executor", "executor-1", { OUTERLOOP_EXECUTOR_SLOTS: "4" }),
      deployment.start("executor", "executor-2", { OUTERLOOP_EXECUTOR_SLOTS: "4" }),
      deployment.start("reflector"),
    ]);
    const checked = await check(deployment, { workload, sink, withinMs: 120_000 });
    recordFigures("same delivery to two workers", { jobs: 2 * effects, ...checked });
    expect(checked.broken).toEqual([]);
    expect(checked.deliveries).toBe(effects);
    expect(checked.modelCallsRepeated).toBe(0);
  }, 300_000);

  const overdue = sized(200, 5000);
  const perGoal = 10;
  const cap = sized(60, 500);
  /**
   * Commits of different goals that dispatch at the same moment do not see one another, since none takes a tenant's lock;
   * each sends at most so many.
   */
  const perDispatch = 64;
  const slots = 8;
  const connections = 12;
  test(`${overdue} overdue tasks after an outage: calls, tasks in flight and connections stay within settings`, async () => {
    sink = await startSink();
    let now = { execute: 0, reflect: 0 };
    const most = { execute: 0, reflect: 0, inFlight: 0, connections: 0 };
    workload = await startWorkload({
      sink,
      tasks: perGoal,
      calls: ["append"],
      onModelCall: (seen) => {
        if (seen.outputName === "intake" || seen.outputName === "plan") return;
        const stage = seen.outputName === "verdict" ? "reflect" : "execute";
        now[stage] += 1;
        most[stage] = Math.max(most[stage], now[stage]);
        // It is under way until its answer is on its way.
        setImmediate(() => (now = { ...now, [stage]: now[stage] - 1 }));
      },
    });
    deployment = await deploy({
      size: "redis",
      onlyIngress: true,
      env: {
        ...workload.env,
        OUTERLOOP_TENANT_IN_FLIGHT: String(cap),
        OUTERLOOP_EXECUTOR_SLOTS: String(slots),
        OUTERLOOP_REFLECTOR_SLOTS: String(slots),
        OUTERLOOP_DB_CONNECTIONS: String(connections),
      },
    });
    await workload.post(deployment, overdue / perGoal);
    await deployment.start("planner");
    await untilTasks("ready", overdue);

    const watcher = new pg.Client({ connectionString: deployment.databaseUrl });
    await watcher.connect();
    const look = async () => {
      const { rows } = await watcher.query<{ inFlight: number; connections: number }>(
        `SELECT (SELECT count(*) FROM tasks WHERE dispatched_at IS NOT NULL)::integer AS "inFlight",
           (SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()
             AND application_name IN ('outerloop-planner', 'outerloop-reflector') GROUP BY application_name) x)::integer AS connections`,
      );
      most.inFlight = Math.max(most.inFlight, rows[0]!.inFlight);
      most.connections = Math.max(most.connections, rows[0]!.connections);
    };
    let looking = Promise.resolve();
    const timer = setInterval(() => {
      looking = looking.then(look).catch(() => undefined);
    }, 50);
    await Promise.all([
      deployment.start("executor", "executor-1"),
      deployment.start("executor", "executor-2"),
      deployment.start("reflector"),
    ]);
    const checked = await check(deployment, { workload, sink, withinMs: 500_000 });
    clearInterval(timer);
    await looking;
    await watcher.end();
    recordFigures("overdue tasks after an outage", { overdue, cap, slots, connections, most, ...checked });
    expect(checked.broken).toEqual([]);
    expect(most.execute).toBeLessThanOrEqual(2 * slots);
    expect(most.reflect).toBeLessThanOrEqual(slots);
    expect(most.inFlight).toBeGreaterThan(0);
    expect(most.inFlight).toBeLessThanOrEqual(cap + perDispatch);
    expect(most.connections).toBeGreaterThan(0);
    expect(most.connections).toBeLessThanOrEqual(connections);
  }, 700_000);
});
