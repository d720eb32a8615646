/** A random worker is killed again and again under load: another goes on from the journal, and nothing is lost or done twice. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { describeWithServers } from "../support/servers.ts";
import { every, killAndRestart, workersOf } from "./support/chaos.ts";
import { check } from "./support/check.ts";
import { startSink, type Sink } from "./support/sink.ts";
import { recordFigures, sized } from "./support/size.ts";
import { startWorkload, type Workload } from "./support/workload.ts";

const goals = sized(12, 200);
const forMs = sized(6000, 60_000);
const everyMs = 2000;
/** After the last kill. */
const settleMs = 30_000;

describeWithServers("workers killed at random", () => {
  let sink: Sink;
  let workload: Workload;
  let deployment: Deployment;
  beforeAll(async () => {
    sink = await startSink();
    // Five steps with an effect or a read each: every fence, journal entry and key has its chance to go wrong.
    workload = await startWorkload({ sink, calls: ["append", "post", "read", "append", "post"], thinkMs: 150 });
    deployment = await deploy({ size: "redis", executors: 2, env: workload.env });
  }, 90_000);
  afterAll(async () => {
    await deployment?.stop();
    await endProcesses();
    await workload?.close();
    await sink?.close();
  });

  test(
    `one every 2 s: ${goals} goals of 5 effects each end within 30 s after the last kill, each effect once`,
    async () => {
      const posting = workload.post(deployment, goals, forMs / goals / 1.2);
      const names = workersOf(deployment);
      const killed: string[] = [];
      await every(everyMs, forMs, async () => killed.push(await killAndRestart(deployment, names)));
      await posting;
      const checked = await check(deployment, { workload, sink, withinMs: settleMs });
      recordFigures("random worker kill -9", { kills: killed.length, ...checked });
      expect(checked.broken).toEqual([]);
      expect(checked.goals).toBe(goals);
      expect(killed.length).toBe(Math.floor(forMs / everyMs));
    },
    forMs + settleMs + 60_000,
  );
});
