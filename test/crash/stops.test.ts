/** Processes that are told to stop: running calls finish within the grace time, the rest is handed back, no step is repeated. */
import { afterEach, expect, test } from "vitest";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { barrier } from "../support/scripts.ts";
import { describeWithServers } from "../support/servers.ts";
import { workersOf } from "./support/chaos.ts";
import { check } from "./support/check.ts";
import { startSink, type Sink } from "./support/sink.ts";
import { recordFigures, sized } from "./support/size.ts";
import { startWorkload, type Workload } from "./support/workload.ts";

const running = 20;
const graceMs = 10_000;

describeWithServers("SIGTERM", () => {
  let sink: Sink;
  let workload: Workload;
  let deployment: Deployment;
  afterEach(async () => {
    await deployment?.stop();
    await endProcesses();
    await workload?.close();
    await sink?.close();
  }, 60_000);

  test(`to an executor with ${running} running tasks: it exits with 0 within its grace time, and no step is repeated`, async () => {
    const all = barrier(running);
    let asked = 0;
    sink = await startSink();
    workload = await startWorkload({
      sink,
      tasks: 10,
      calls: ["append", "post", "append"],
      thinkMs: 300,
      // The first call of each task is under way in all of them before any is answered.
      onModelCall: (seen) => {
        if (seen.outputName === undefined && (asked += 1) <= running) return all.arrive();
      },
    });
    deployment = await deploy({
      size: "redis",
      env: { ...workload.env, OUTERLOOP_EXECUTOR_SLOTS: String(running), OUTERLOOP_DRAIN_MS: String(graceMs) },
    });
    await workload.post(deployment, running / 10);
    await all.arrive();
    const stopped = deployment.processes.get("executor-1")!;
    const start = performance.now();
    stopped.kill("SIGTERM");
    expect(await stopped.exited).toBe(0);
    const exitMs = Math.round(performance.now() - start);
    await deployment.start("executor", "executor-1");
    const checked = await check(deployment, { workload, sink, withinMs: 60_000 });
    recordFigures("SIGTERM with 20 running tasks", { exitMs, graceMs, ...checked });
    expect(exitMs).toBeLessThan(graceMs);
    expect(checked.broken).toEqual([]);
    expect(checked.modelCallsRepeated).toBe(0);
    expect(checked.deliveries).toBe(checked.effects);
  }, 120_000);

  const rounds = sized(1, 4);
  test(`to one worker after the other, each started again, ${rounds} times round under load: no step is repeated`, async () => {
    sink = await startSink();
    workload = await startWorkload({ sink, calls: ["append", "post", "append"], thinkMs: 100 });
    deployment = await deploy({ size: "redis", executors: 2, env: workload.env });
    const posting = workload.post(deployment, sized(20, 150), 100);
    let restarts = 0;
    for (let round = 0; round < rounds; round += 1) {
      for (const name of workersOf(deployment)) {
        const process = deployment.processes.get(name)!;
        process.kill("SIGTERM");
        expect(await process.exited).toBe(0);
        await deployment.start(name.replace(/-\d+$/, ""), name);
        restarts += 1;
      }
    }
    await posting;
    const checked = await check(deployment, { workload, sink, withinMs: 60_000 });
    recordFigures("rolling restart under load", { restarts, ...checked });
    expect(checked.broken).toEqual([]);
    expect(checked.modelCallsRepeated).toBe(0);
    expect(checked.deliveries).toBe(checked.effects);
  }, 240_000);
});
