/** Everything dies at once, Postgres and Redis too, under load; then all of it is started again, and goals go on by themselves. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { describeWithServers } from "../support/servers.ts";
import { check } from "./support/check.ts";
import { startOwnPostgres, startOwnRedis, type OwnServer } from "./support/own-servers.ts";
import { timePosts } from "./support/posts.ts";
import { startSink, type Sink } from "./support/sink.ts";
import { recordFigures, sized } from "./support/size.ts";
import { startWorkload, type Workload } from "./support/workload.ts";

const rounds = sized(1, 5);

describeWithServers("everything killed at once", () => {
  let postgres: OwnServer;
  let redis: OwnServer;
  let sink: Sink;
  let workload: Workload;
  let deployment: Deployment;

  beforeAll(async () => {
    [postgres, redis] = await Promise.all([startOwnPostgres(), startOwnRedis()]);
    sink = await startSink();
    workload = await startWorkload({ sink, calls: ["append", "post", "append", "post"], thinkMs: 50 });
    deployment = await deploy({
      size: "redis",
      executors: 2,
      env: { ...workload.env, DATABASE_URL: postgres.url, REDIS_URL: redis.url },
    });
  }, 90_000);
  afterAll(async () => {
    await deployment?.stop();
    await endProcesses();
    await workload?.close();
    await sink?.close();
    await Promise.all([postgres?.close(), redis?.close()]);
  }, 60_000);

  test(
    `${rounds} times under load: every goal that was accepted ends, each effect once`,
    async () => {
      const { port } = new URL(deployment.url);
      for (let round = 0; round < rounds; round += 1) {
        const posting = timePosts(deployment, workload, { forMs: 2500, everyMs: 100, patienceMs: 5000 });
        await posting.then(async () => {
          const processes = [...deployment.processes.values()];
          for (const process of processes) process.kill("SIGKILL");
          await Promise.all([postgres.kill(), redis.kill(), ...processes.map((process) => process.exited)]);
        });
        await Promise.all([postgres.start(), redis.start()]);
        const names = [...deployment.processes.keys()];
        await Promise.all(
          names.map((name) =>
            deployment.start(name.replace(/-\d+$/, ""), name, name === "ingress" ? { PORT: port } : {}),
          ),
        );
      }
      const checked = await check(deployment, { workload, sink, withinMs: 90_000 });
      recordFigures("everything killed at once", { rounds, ...checked });
      expect(checked.broken).toEqual([]);
      expect(checked.modelCallsRepeated).toBeGreaterThan(0);
    },
    rounds * 30_000 + 150_000,
  );
});
