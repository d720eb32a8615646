/**
 * Everything but LISTEN, migrations and a queue in Postgres through a PgBouncer that lends connections by the transaction: what a
 * session would have kept is nowhere relied on, and when PgBouncer itself goes away nothing is lost.
 */
import { afterEach, expect, test } from "vitest";
import pg from "pg";
import { ensurePrograms, howToInstall, pgBouncer } from "../../scripts/servers/programs.mjs";
import { deploy, realSizes, type Deployment } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { describeWithServers, notRun } from "../support/servers.ts";
import { restart } from "./support/chaos.ts";
import { check } from "./support/check.ts";
import { startOwnPgBouncer, startOwnPostgres, type OwnServer } from "./support/own-servers.ts";
import { startSink, type Sink } from "./support/sink.ts";
import { recordFigures, sized } from "./support/size.ts";
import { startWorkload, type Workload } from "./support/workload.ts";

const goals = sized(15, 200);
/** Of PgBouncer to Postgres: fewer than the processes have to PgBouncer, so that each transaction may get another one. */
const poolSize = 6;

const programs = await ensurePrograms(pgBouncer);
if (programs === undefined) notRun("PgBouncer", `pgbouncer not found; ${howToInstall(pgBouncer)}`);
else
  describeWithServers("PgBouncer in transaction mode", () => {
    let postgres: OwnServer;
    let pooler: OwnServer;
    let sink: Sink;
    let workload: Workload;
    let deployment: Deployment;
    afterEach(async () => {
      await deployment?.stop();
      await endProcesses();
      await workload?.close();
      await sink?.close();
      await pooler?.close();
      await postgres?.close();
    }, 60_000);

    test.each(realSizes)(
      "under %s: with an executor killed and the pooler restarted all goals end, each effect once, and watchers see it",
      async (size) => {
        postgres = await startOwnPostgres();
        pooler = await startOwnPgBouncer(programs.pgbouncer, postgres, { default_pool_size: String(poolSize) });
        sink = await startSink();
        workload = await startWorkload({ sink, calls: ["append", "post", "append"], thinkMs: 50 });
        deployment = await deploy({
          size,
          executors: 2,
          env: { ...workload.env, DATABASE_URL: postgres.url },
          through: async () => ({ DATABASE_URL: pooler.url, DATABASE_DIRECT_URL: postgres.url }),
        });
        const posting = workload.post(deployment, goals, 100);
        const victim = deployment.processes.get("executor-1")!;
        victim.kill("SIGKILL");
        await victim.exited;
        // Who is told to stop before it has begun ends by the signal itself.
        await restart(deployment, "executor-1");
        await posting;
        const lent = await poolOf(pooler);
        await pooler.kill();
        await pooler.start();

        const watched: string[] = [];
        for await (const event of deployment.client.goals.watch(workload.goals.at(-1)!)) watched.push(event.type);
        expect(watched.at(-1)).toBe("goal.succeeded");
        const checked = await check(deployment, { workload, sink, withinMs: 90_000 });
        recordFigures(`PgBouncer, ${size}`, { ...lent, ...checked });
        expect(checked.broken).toEqual([]);
        expect(checked.goals).toBe(goals);
        expect(lent.mode).toBe("transaction");
        expect(lent.clients).toBeGreaterThan(lent.servers);
        expect(lent.servers).toBeLessThanOrEqual(poolSize);
        const ends = await deployment.stop();
        expect(new Set(ends)).toEqual(new Set([0]));
      },
      240_000,
    );
  });

/** What it lends of the test's database, as it tells. */
async function poolOf(
  pooler: OwnServer,
): Promise<{ readonly mode: string; readonly clients: number; readonly servers: number }> {
  const url = new URL(pooler.url);
  url.pathname = "pgbouncer";
  const console_ = new pg.Client({ connectionString: url.href });
  await console_.connect();
  try {
    const { rows } = await console_.query<Record<string, string>>("SHOW POOLS");
    const pool = rows.find((row) => row["database"] === "postgres")!;
    const sum = (prefix: string) =>
      Object.entries(pool).reduce((total, [name, value]) => total + (name.startsWith(prefix) ? Number(value) : 0), 0);
    return { mode: pool["pool_mode"]!, clients: sum("cl_"), servers: sum("sv_") };
  } finally {
    await console_.end();
  }
}
