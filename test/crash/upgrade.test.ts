/**
 * An upgrade under load: the schema is migrated while old services work, new ones come beside them and take over what old ones
 * began, and the other way round; then the old ones go. Migrations expand first, so that both can do their work.
 */
import { fileURLToPath } from "node:url";
import { openDatabase, readConfig, readSchemaState, upgradeSchema } from "@outerloop/core";
import { sql } from "kysely";
import { afterEach, expect, test } from "vitest";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { cloneDatabase, describeWithServers, notRun } from "../support/servers.ts";
import { check } from "./support/check.ts";
import { prepareOldCode } from "./support/old-code.ts";
import { startSink, type Sink } from "./support/sink.ts";
import { recordFigures, sized } from "./support/size.ts";
import { startWorkload, type Workload } from "./support/workload.ts";

const goals = sized(8, 60);
/** This checkout. */
const here = fileURLToPath(new URL("../../", import.meta.url));
const workers = ["planner", "executor", "reflector"] as const;

const old = await prepareOldCode();
if (old.kind === "missing") notRun("an upgrade", old.why, true);
else
  describeWithServers("an upgrade", () => {
    let sink: Sink;
    let workload: Workload;
    let deployment: Deployment;
    afterEach(async () => {
      await deployment?.stop();
      await endProcesses();
      await workload?.close();
      await sink?.close();
    }, 60_000);

    test(`from ${old.commit.slice(0, 7)} under load: old and new workers take over from one another, and all goals end`, async () => {
      const { url } = await cloneDatabase();
      await onDatabase(
        url,
        async (db) => void (await sql.raw("DROP SCHEMA public CASCADE; CREATE SCHEMA public").execute(db)),
      );
      sink = await startSink();
      workload = await startWorkload({ sink, calls: ["append", "post", "read", "append", "post"], thinkMs: 200 });
      deployment = await deploy({
        size: "redis",
        env: { ...workload.env, DATABASE_URL: url },
        checkout: old.folder,
      });
      const { missing } = await onDatabase(url, readSchemaState);
      await workload.post(deployment, goals);

      const config = readConfig(deployment.env);
      const applied = await upgradeSchema(config);
      expect(applied).toEqual(missing.map((name) => `applied ${name}`));
      await workload.post(deployment, goals);

      // One of each, old and new; then a kill of either executor with work in its hands.
      await Promise.all(workers.map((service) => deployment.start(service, `new-${service}`, {}, here)));
      await workload.post(deployment, goals);
      await killOne("executor-1");
      await deployment.start("executor", "executor-1", { OUTERLOOP_MIGRATE: "false" });
      await workload.post(deployment, goals);
      await killOne("new-executor");
      await deployment.start("executor", "new-executor", {}, here);

      // Nothing of the old code is left.
      const leaving = ["ingress", "planner", "reflector", "executor-1"].map((name) => deployment.processes.get(name)!);
      for (const child of leaving) child.kill("SIGTERM");
      expect(await Promise.all(leaving.map((child) => child.exited))).toEqual([0, 0, 0, 0]);
      const checked = await check(deployment, { workload, sink, withinMs: 90_000 });
      recordFigures("upgrade under load", { applied, ...checked });
      expect(checked.broken).toEqual([]);
      expect(checked.goals).toBe(4 * goals);
    }, 240_000);

    /** `kill -9` while it holds claims; resolves when others have taken all of them over. */
    async function killOne(name: string): Promise<void> {
      const victim = deployment.processes.get(name)!;
      const held = sql<{ id: string; lease: string }>`
        SELECT t.id, t.lease_id AS lease FROM tasks t JOIN leases l ON l.id = t.lease_id WHERE l.pid = ${victim.pid} AND t.status = 'running'`;
      await onDatabase(deployment.databaseUrl, async (db) => {
        while ((await held.execute(db)).rows.length === 0) await pause();
        victim.kill("SIGKILL");
        await victim.exited;
        const { rows: orphans } = await held.execute(db);
        expect(orphans.length).toBeGreaterThan(0);
        const left = sql`SELECT FROM tasks WHERE lease_id = ${orphans[0]!.lease}`;
        while ((await left.execute(db)).rows.length > 0) await pause();
        const ids = orphans.map((each) => each.id);
        const untaken = sql`SELECT FROM tasks WHERE id = ANY (${ids}::text[]) AND lease_id IS NULL AND status = 'running'`;
        while ((await untaken.execute(db)).rows.length > 0) await pause();
      });
    }
  });

const pause = () => new Promise((resolve) => setTimeout(resolve, 20));

async function onDatabase<Result>(
  url: string,
  work: (db: Parameters<typeof readSchemaState>[0]) => Promise<Result>,
): Promise<Result> {
  const database = await openDatabase({ kind: "server", url, maxConnections: 1, applicationName: "test-upgrade" });
  try {
    return await work(database.db);
  } finally {
    await database.close();
  }
}
