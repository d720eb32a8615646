/**
 * Packets are dropped: connections that are open carry nothing any more, and nobody says so. Every call has a time after
 * which it is over, so each process notices by itself and goes on over new connections.
 */
import { afterEach, expect, test } from "vitest";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { describeWithServers } from "../support/servers.ts";
import { check } from "./support/check.ts";
import { timePosts } from "./support/posts.ts";
import { startSink, type Sink } from "./support/sink.ts";
import { isFull, recordFigures, sized } from "./support/size.ts";
import { startWire, type Wire } from "./support/wire.ts";
import { startWorkload, type Workload } from "./support/workload.ts";

/** How long new connections carry nothing either. */
const silentMs = sized(1000, 10_000);
/** From the first new connection that works until everything has ended. */
const settleMs = 60_000;

describeWithServers("dropped packets", () => {
  let sink: Sink;
  let workload: Workload;
  let deployment: Deployment;
  let wire: Wire;

  async function begin(to: "databaseUrl" | "redisUrl", variable: string): Promise<void> {
    sink = await startSink();
    workload = await startWorkload({ sink, calls: ["append", "post", "append"], thinkMs: 100 });
    deployment = await deploy({
      size: "redis",
      executors: 2,
      env: { ...workload.env, ...sized({ OUTERLOOP_DB_TIMEOUT_MS: "3000" }, {}) },
      through: async (urls) => {
        wire = await startWire(urls[to]);
        return { [variable]: wire.url };
      },
    });
  }
  afterEach(async () => {
    await wire?.close();
    await deployment?.stop();
    await endProcesses();
    await workload?.close();
    await sink?.close();
  }, 60_000);

  test(
    "to Redis: goals are accepted all the while, workers that went deaf hear again, all goals end",
    async () => {
      await begin("redisUrl", "REDIS_URL");
      await workload.post(deployment, 10, 50);
      wire.dropNew(true);
      const frozen = wire.freeze();
      const posts = await timePosts(deployment, workload, { forMs: silentMs, everyMs: 100 });
      wire.dropNew(false);
      const checked = await check(deployment, { workload, sink, withinMs: settleMs });
      recordFigures("half-open connections to Redis", { silentMs, frozen, ...posts, ...checked });
      expect(frozen).toBeGreaterThan(5);
      expect(Object.keys(posts.statuses)).toEqual(["202"]);
      // A time is no claim of a test that shares its machine with others.
      if (isFull) expect(posts.p99Ms).toBeLessThan(500);
      expect(checked.broken).toEqual([]);
    },
    silentMs + settleMs + 60_000,
  );

  test(
    "to Postgres: a request is answered in time, with 202 or 503, and all goals end",
    async () => {
      await begin("databaseUrl", "DATABASE_URL");
      await workload.post(deployment, 10, 50);
      wire.dropNew(true);
      const frozen = wire.freeze();
      const posts = await timePosts(deployment, workload, { forMs: silentMs, everyMs: 100 });
      wire.dropNew(false);
      const checked = await check(deployment, { workload, sink, withinMs: settleMs });
      recordFigures("half-open connections to Postgres", { silentMs, frozen, ...posts, ...checked });
      expect(frozen).toBeGreaterThan(5);
      expect(Object.keys(posts.statuses).filter((status) => status !== "202" && status !== "503")).toEqual([]);
      expect(posts.maxMs).toBeLessThan(30_000);
      expect(checked.broken).toEqual([]);
    },
    silentMs + settleMs + 120_000,
  );
});
