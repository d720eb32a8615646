/** What the manifests of production say, done: each pod's processes run here, against a real Postgres and Valkey. */
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createClient, type Client } from "@outerloop/client";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ensurePrograms, howToInstall, kubectl as program } from "../../scripts/servers/programs.mjs";
import { check } from "../crash/support/check.ts";
import { endProcesses } from "../support/processes.ts";
import { cloneDatabase, describeWithServers, notRun, redisDatabase } from "../support/servers.ts";
import { blocksOf } from "./prometheus/files.ts";
import { runJob, startPod, type Cluster, type Pod } from "./support/k8s/kubelet.ts";
import { ofKind, renderWith, type KubernetesObject } from "./support/k8s/objects.ts";

const goalCount = 20;
const kubectl = (await ensurePrograms(program))?.["kubectl"];
if (kubectl === undefined) notRun("pods of the manifests", `kubectl 1.27+ not found; ${howToInstall(program)}`);
else
  describeWithServers("the manifests of production", () => suite(renderWith(kubectl, "overlays/prod", ["retention"])));

function suite(objects: readonly KubernetesObject[]): void {
  const apiKey = `ol_${randomBytes(24).toString("base64url")}`;
  const goals: string[] = [];
  let cluster: Cluster;
  let database: pg.Client;
  let pods: Readonly<Record<"ingress" | "planner" | "executor" | "reflector", Pod>>;
  const all = () => Object.values(pods);

  beforeAll(async () => {
    const { url } = await cloneDatabase();
    database = new pg.Client({ connectionString: url });
    await database.connect();
    // As a new database is: without our tables.
    await database.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC");
    const secret = {
      DATABASE_URL: url,
      KEDA_DATABASE_URL: url,
      REDIS_URL: await redisDatabase(),
      OUTERLOOP_API_KEY: apiKey,
    };
    cluster = { objects, secrets: { "outerloop-secrets": secret } };
  });
  afterAll(async () => {
    if (pods !== undefined) await Promise.all(all().map((pod) => pod.close()));
    await endProcesses();
    await database?.end();
  });

  async function startPods(): Promise<typeof pods> {
    const podOf = (service: string) =>
      startPod(
        cluster,
        ofKind(objects, "Deployment").find(({ metadata }) => metadata.name === `outerloop-${service}`)!,
      );
    return {
      ingress: await podOf("ingress"),
      planner: await podOf("planner"),
      executor: await podOf("executor"),
      reflector: await podOf("reflector"),
    };
  }
  const client = (): Client => createClient({ baseUrl: pods.ingress.url("http"), apiKey });
  const count = async (query: string) => Number((await database.query<{ n: string }>(query)).rows[0]!.n);

  /** As KEDA asks: by the connection that its TriggerAuthentication names and the query of the ScaledObject. */
  async function keda(service: string): Promise<number> {
    const spec = ofKind(objects, "ScaledObject").find(({ metadata }) => metadata.name === `outerloop-${service}`)![
      "spec"
    ];
    const [trigger] = spec.triggers;
    const authentication = ofKind(objects, "TriggerAuthentication").find(
      ({ metadata }) => metadata.name === trigger.authenticationRef.name,
    )!;
    const [{ name, key, parameter }] = authentication["spec"].secretTargetRef;
    expect(parameter).toBe("connection");
    const asker = new pg.Client({ connectionString: cluster.secrets[name]![key]! });
    await asker.connect();
    try {
      const { rows } = await asker.query({ text: trigger.metadata.query, rowMode: "array" });
      expect(rows).toHaveLength(1);
      return Number((rows[0] as unknown[])[0]);
    } finally {
      await asker.end();
    }
  }
  const loads = async () => ({
    plan: await keda("planner"),
    execute: await keda("executor"),
    reflect: await keda("reflector"),
  });
  const scaling = async (pod: Pod) => (await fetch(`${pod.url("probes")}/scaling`)).json();

  test("pods that start before the database has tables wait for the Job, then pass their probes", async () => {
    pods = await startPods();
    for (const pod of all())
      await expect.poll(() => pod.running()[0]?.text(), { timeout: 60_000 }).toMatch(/lacks migrations/);
    const job = await runJob(cluster, ofKind(objects, "Job")[0]!);
    expect(await job.exited, job.text()).toBe(0);
    await Promise.all(all().map((pod) => pod.ready));
  }, 180_000);

  test("a heap snapshot is written where its page says, and the pod goes on", async () => {
    const { executor } = pods;
    executor.signal("SIGUSR2");
    const snapshots = () => readdirSync(executor.folder("/tmp")).filter((name) => name.endsWith(".heapsnapshot"));
    await expect.poll(snapshots, { timeout: 30_000 }).toHaveLength(1);
    await expect.poll(() => executor.probe("readinessProbe"), { timeout: 30_000 }).toBe(true);
  }, 60_000);

  test("the number that scales each stage is what Postgres holds of it; a stopped worker fails its liveness probe", async () => {
    const { ingress, planner, executor, reflector } = pods;
    for (const pod of [planner, executor, reflector]) pod.signal("SIGSTOP");
    for (let number = 1; number <= goalCount; number += 1) {
      const { id } = await client().goals.create({
        text: "Which of them runs in a single binary?",
        attachments: ["alpha", "beta"].map((name) => ({
          path: `${name}/README.md`,
          text: `# ${name}\n\nThe engine ${name} runs in a single binary, says document ${number}.\n`,
        })),
      });
      goals.push(id);
    }
    expect(await count("SELECT count(*) AS n FROM goals WHERE status = 'queued'")).toBe(goalCount);
    expect(await loads()).toEqual({ plan: goalCount, execute: 0, reflect: 0 });
    await expect.poll(() => scaling(ingress)).toEqual({ plan: goalCount, execute: 0, reflect: 0 });
    expect(await Promise.all(all().map((pod) => pod.probe("livenessProbe")))).toEqual([true, false, false, false]);

    planner.signal("SIGCONT");
    await expect.poll(() => keda("planner"), { timeout: 30_000 }).toBe(0);
    const ready = await count("SELECT count(*) AS n FROM tasks WHERE status = 'ready'");
    expect(ready).toBeGreaterThan(goalCount);
    expect(await loads()).toEqual({ plan: 0, execute: ready, reflect: 0 });
    await expect.poll(() => scaling(ingress)).toEqual(await loads());
    expect(await planner.probe("livenessProbe")).toBe(true);

    planner.signal("SIGSTOP");
    executor.signal("SIGCONT");
    await expect.poll(() => keda("executor"), { timeout: 60_000 }).toBe(0);
    const reflecting = await count("SELECT count(*) AS n FROM tasks WHERE status = 'reflecting'");
    expect(reflecting).toBe(ready);
    expect(await loads()).toEqual({ plan: 0, execute: 0, reflect: reflecting });
    await expect.poll(() => scaling(executor)).toEqual(await loads());
    expect(await executor.probe("livenessProbe")).toBe(true);
    for (const pod of [planner, reflector]) pod.signal("SIGCONT");
  }, 120_000);

  test("the role that docs/kubernetes.md makes for KEDA may ask for the number, and do nothing else", async () => {
    const ask = "SELECT outerloop_load('execute')";
    const text = readFileSync(new URL("../../docs/kubernetes.md", import.meta.url), "utf8");
    const [before, after] = blocksOf(text, "sql").map((block) =>
      block
        .replaceAll(/\bkeda\b/g, "outerloop_test_keda")
        .replace("DATABASE outerloop", `DATABASE ${database.escapeIdentifier(database.database!)}`),
    );
    await database.query(`BEGIN; ${before} SET LOCAL ROLE outerloop_test_keda; SAVEPOINT asked`);
    try {
      await expect(database.query(ask)).rejects.toThrow("permission denied");
      await database.query(`ROLLBACK TO asked; RESET ROLE; ${after}`);
      await database.query("SET LOCAL ROLE outerloop_test_keda");
      expect((await database.query(ask)).rowCount).toBe(1);
      await expect(database.query("SELECT FROM tasks")).rejects.toThrow("permission denied");
    } finally {
      await database.query("ROLLBACK");
    }
  });

  test("pods that are replaced while goals run exit with 0 in their grace period; every goal succeeds, nothing is lost or done twice", async () => {
    const old = all();
    const { ingress } = pods;
    const ends = Promise.all(old.map((pod) => pod.terminate()));
    // It serves on while its endpoint goes.
    expect((await client().goals.get(goals[0]!)).id).toBe(goals[0]);
    expect(await ingress.probe("readinessProbe")).toBe(true);
    await Promise.all(old.filter((pod) => pod !== ingress).map((pod) => pod.running().at(-1)!.exited));
    expect(await count("SELECT count(*) AS n FROM goals WHERE ended_at IS NULL")).toBeGreaterThan(0);
    pods = await startPods();
    await Promise.all(all().map((pod) => pod.ready));
    const checked = await check(
      { databaseUrl: cluster.secrets["outerloop-secrets"]!["DATABASE_URL"]! },
      {
        workload: { goals, tasks: 0, calls: [], modelCalls: () => 0, expectedEffects: () => new Set() },
        withinMs: 60_000,
      },
    );
    expect(checked.broken).toEqual([]);
    expect(checked.ends).toEqual({ succeeded: goalCount });
    for (const { end, seconds, graceSeconds } of await ends) {
      expect(end).toBe(0);
      expect(seconds).toBeLessThan(graceSeconds);
    }
    expect(await loads()).toEqual({ plan: 0, execute: 0, reflect: 0 });
  }, 180_000);

  test("retention deletes what ended longer ago than it says, and no other goal", async () => {
    const [old] = goals;
    await database.query(
      "UPDATE goals SET goal_day = goal_day - 91, ended_at = ended_at - interval '91 days' WHERE id = $1",
      [old],
    );
    const [cronJob] = ofKind(objects, "CronJob");
    const job = await runJob(cluster, { ...cronJob!, spec: cronJob!["spec"].jobTemplate.spec });
    expect(await job.exited, job.text()).toBe(0);
    expect(job.text()).toMatch(/^Deleted 1 goal,/m);
    expect(await count("SELECT count(*) AS n FROM goals")).toBe(goalCount - 1);
  }, 60_000);
}
