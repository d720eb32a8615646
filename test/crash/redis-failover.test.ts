/**
 * A Redis of several servers loses its master under load, and another takes its place with what it had got by then: what was
 * lost is sent again, and nothing is done twice (W8, W12).
 */
import { afterEach, expect, test } from "vitest";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses, isReady, startProcess } from "../support/processes.ts";
import { cloneDatabase, describeWithServers } from "../support/servers.ts";
import { freePort } from "../../scripts/servers/process.mjs";
import { check } from "./support/check.ts";
import { startClusterGroup, startSentinelGroup, type RedisGroup } from "./support/redis-groups.ts";
import { startSink, type Sink } from "./support/sink.ts";
import { recordFigures, sized } from "./support/size.ts";
import { startWorkload, type Workload } from "./support/workload.ts";

const goals = sized(20, 300);
const everyMs = sized(100, 100);
const failovers = sized(1, 3);

describeWithServers("Redis with a failover", () => {
  let redis: RedisGroup;
  let sink: Sink;
  let workload: Workload;
  let deployment: Deployment;
  afterEach(async () => {
    await deployment?.stop();
    await endProcesses();
    await workload?.close();
    await sink?.close();
    await redis?.close();
  }, 60_000);

  test.each([
    ["sentinel", /no sentinel named there tells of a master/],
    ["cluster", /none of these nodes tells of a Cluster/],
  ])("%s: where none answers, a worker's start ends and says so", async (mode, said) => {
    const { url } = await cloneDatabase();
    const env = { DATABASE_URL: url, REDIS_URL: `redis://127.0.0.1:${await freePort()}`, REDIS_MODE: mode };
    const child = startProcess("planner", "services/planner/src/main.ts", env);
    expect(await child.exited).toBe(1);
    expect(child.text()).toMatch(said);
  });

  test.each([
    ["three sentinels, a master and two replicas", startSentinelGroup],
    ["a Cluster of three masters and three replicas", startClusterGroup],
  ])(
    "%s: all goals end, each effect once",
    async (title, startGroup) => {
      redis = await startGroup();
      sink = await startSink();
      workload = await startWorkload({ sink, calls: ["append", "post", "append"], thinkMs: 50 });
      deployment = await deploy({
        size: "redis",
        executors: 2,
        env: { ...workload.env, ...redis.env, OUTERLOOP_PROBE_PORT: "0" },
      });
      const posting = workload.post(deployment, goals, everyMs);
      for (let count = 0; count < failovers; count += 1) {
        await redis.killMaster();
        await redis.startKilled();
      }
      await posting;
      const checked = await check(deployment, { workload, sink, withinMs: 90_000 });
      recordFigures(`failover: ${title}`, { failovers, ...checked });
      expect(checked.broken).toEqual([]);
      expect(checked.goals).toBe(goals);
      // What operators look at reads all servers of the group.
      const see = async (path: string) => {
        const response = await fetch(`${deployment.url}${path}`, {
          headers: { authorization: `Bearer ${deployment.apiKey}` },
        });
        return response.text();
      };
      const metrics = await see("/metrics");
      expect(metrics).toMatch(/^outerloop_up\{part="queue"\} 1$/m);
      expect(metrics).toMatch(/^outerloop_queue_jobs\{queue="execute",state="completed"\} [1-9]/m);
      expect(await see("/queues/api/queues?activeQueue=execute&status=completed")).toMatch(/"data":\{"goal":"g_/);
      // Nobody had to be started again.
      for (const child of deployment.processes.values())
        expect(child.lines.some((line) => line.event === "stopped")).toBe(false);

      // Without any of it workers say that they can do nothing, and that they live.
      const { probePort } = await deployment.processes.get("executor-1")!.until(isReady, "it was ready");
      const probe = async (path: string) => (await fetch(`http://127.0.0.1:${String(probePort)}${path}`)).status;
      await redis.kill();
      await expect.poll(() => probe("/readyz"), { timeout: 20_000 }).toBe(503);
      expect(await probe("/readyz")).toBe(503);
      expect(await probe("/healthz")).toBe(200);
      const ends = await deployment.stop();
      expect(new Set(ends)).toEqual(new Set([0]));
    },
    240_000,
  );
});
