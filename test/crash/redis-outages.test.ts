/**
 * Redis forgets everything, goes away, comes back with less than it had, or is full (DESIGN §1.1, W8, W12): goals are
 * accepted all the while, and work is late, never lost and never done twice.
 */
import { readdirSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { afterEach, expect, test } from "vitest";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { describeWithServers } from "../support/servers.ts";
import { check } from "./support/check.ts";
import { startOwnRedis, type OwnServer } from "./support/own-servers.ts";
import { timePosts } from "./support/posts.ts";
import { startSink, type Sink } from "./support/sink.ts";
import { isFull, recordFigures, sized } from "./support/size.ts";
import { startWorkload, type Workload, type WorkloadOptions } from "./support/workload.ts";

describeWithServers("Redis", () => {
  let redis: OwnServer;
  let sink: Sink;
  let workload: Workload;
  let deployment: Deployment;

  async function begin(
    options: WorkloadOptions,
    settings: Readonly<Record<string, string>> = {},
    onlyIngress = false,
  ): Promise<void> {
    redis = await startOwnRedis(settings);
    sink = await startSink();
    workload = await startWorkload({ ...options, sink });
    deployment = await deploy({
      size: "redis",
      executors: 2,
      onlyIngress,
      env: { ...workload.env, REDIS_URL: redis.url },
    });
  }
  afterEach(async () => {
    await deployment?.stop();
    await endProcesses();
    await workload?.close();
    await sink?.close();
    await redis?.close();
  }, 60_000);

  async function onRedis<Result>(work: (client: Redis) => Promise<Result>): Promise<Result> {
    const client = new Redis(redis.url, { maxRetriesPerRequest: 3 });
    try {
      return await work(client);
    } finally {
      client.disconnect();
    }
  }
  const startWorkers = () =>
    Promise.all([
      deployment.start("planner"),
      deployment.start("reflector"),
      deployment.start("executor", "executor-1"),
      deployment.start("executor", "executor-2"),
    ]);

  const waiting = sized(60, 1000);
  const flushWithinMs = sized(60_000, 300_000);
  test(
    `FLUSHALL with ${waiting} goals waiting: all end, each effect once`,
    async () => {
      await begin({ calls: ["append", "post"] }, {}, true);
      await workload.post(deployment, waiting);
      const lost = await onRedis(async (client) => {
        const keys = await client.dbsize();
        await client.flushall();
        return keys;
      });
      expect(lost).toBeGreaterThanOrEqual(waiting);
      await startWorkers();
      const checked = await check(deployment, { workload, sink, withinMs: flushWithinMs });
      recordFigures("FLUSHALL with goals waiting", { keysLost: lost, ...checked });
      expect(checked.broken).toEqual([]);
      // What is asked again was lost with its answer; nothing was.
      expect(checked.modelCallsRepeated).toBe(0);
    },
    flushWithinMs + 90_000,
  );

  const awayMs = sized(4000, 30_000);
  test(
    `Redis down ${awayMs / 1000} s while goals are posted: every post is a 202, p99 under 500 ms, all end`,
    async () => {
      await begin({ calls: ["append", "post"], thinkMs: 20 });
      await workload.post(deployment, 5);
      await redis.kill();
      const posts = await timePosts(deployment, workload, { forMs: awayMs, everyMs: 100 });
      await redis.start();
      const back = performance.now();
      const checked = await check(deployment, { workload, sink, withinMs: 90_000 });
      recordFigures(`Redis down while goals are posted`, {
        awayMs,
        posts: posts.count,
        statuses: posts.statuses,
        p50Ms: posts.p50Ms,
        p99Ms: posts.p99Ms,
        backToDoneMs: Math.round(performance.now() - back),
        ...checked,
      });
      expect(Object.keys(posts.statuses)).toEqual(["202"]);
      // A time is no claim of a test that shares its machine with others.
      if (isFull) expect(posts.p99Ms).toBeLessThan(500);
      expect(checked.broken).toEqual([]);
    },
    awayMs + 150_000,
  );

  const cutGoals = sized(40, 300);
  test("a Redis that comes back with half of its append-only file: all goals end, each effect once", async () => {
    await begin({ calls: ["append", "post"], thinkMs: 20 }, { appendonly: "yes", appendfsync: "everysec" });
    const posting = workload.post(deployment, cutGoals, 10);
    await posting;
    await redis.kill();
    const cut = cutAppendOnlyFile(redis.folder);
    await redis.start();
    const checked = await check(deployment, { workload, sink, withinMs: 180_000 });
    recordFigures("append-only file cut in half", { ...cut, ...checked });
    expect(cut.after).toBeLessThan(cut.before);
    expect(checked.broken).toEqual([]);
  }, 240_000);

  const fullMs = sized(3000, 15_000);
  test(
    `a Redis that is full for ${fullMs / 1000} s: goals are accepted, and all end once there is room`,
    async () => {
      await begin({ calls: ["append", "post"], thinkMs: 20 });
      await workload.post(deployment, 10, 20);
      await onRedis((client) => client.config("SET", "maxmemory", "1"));
      const posts = await timePosts(deployment, workload, { forMs: fullMs, everyMs: 100 });
      await onRedis((client) => client.config("SET", "maxmemory", "0"));
      const checked = await check(deployment, { workload, sink, withinMs: 90_000 });
      recordFigures("Redis full", { fullMs, statuses: posts.statuses, p99Ms: posts.p99Ms, ...checked });
      expect(Object.keys(posts.statuses)).toEqual(["202"]);
      expect(checked.broken).toEqual([]);
    },
    fullMs + 150_000,
  );
});

/** The newest incremental part loses its second half, in the middle of a command. */
function cutAppendOnlyFile(folder: string): { readonly before: number; readonly after: number } {
  const parts = join(folder, "appendonlydir");
  const name = readdirSync(parts)
    .filter((file) => file.endsWith(".incr.aof"))
    .toSorted()
    .at(-1)!;
  const file = join(parts, name);
  const before = statSync(file).size;
  truncateSync(file, Math.floor(before / 2));
  return { before, after: statSync(file).size };
}
