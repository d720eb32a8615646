/**
 * Workers whose clocks are an hour fast and an hour slow: the database's clock alone decides (W3), so nothing is early,
 * no claim is taken from the living, and nothing is late.
 */
import { existsSync } from "node:fs";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { describeWithServers, notRun } from "../support/servers.ts";
import { check } from "./support/check.ts";
import { startSink, type Sink } from "./support/sink.ts";
import { recordFigures, sized } from "./support/size.ts";
import { sleepMs, startWorkload, type Call, type Workload } from "./support/workload.ts";

const library = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
  .map((machine) => `/usr/lib/${machine}/faketime/libfaketime.so.1`)
  .find((path) => existsSync(path));

const goals = sized(10, 100);
const calls = ["append", "sleep", "post", "sleep-until"] as const satisfies readonly Call[];
/** A timer may be 2 s late; on a machine that runs the whole suite beside it, later. */
const lateMs = sized(8000, 2000);

const clock = (offset: string) => ({
  LD_PRELOAD: library!,
  FAKETIME: offset,
  // Only what the clock on the wall shows: how long a wait takes is the same for all.
  FAKETIME_DONT_FAKE_MONOTONIC: "1",
});

const title = `workers with clocks an hour fast and an hour slow: no timer early, none ${lateMs / 1000} s late, every goal ends`;

if (library === undefined) notRun(title, "libfaketime is not installed (Debian: apt-get install faketime)");
else
  describeWithServers("clocks", () => {
    let sink: Sink;
    let workload: Workload;
    let deployment: Deployment;
    /** When each timer was asked for, and how long after it its task's next call came, by goal and turn. */
    const asked = new Map<string, number>();
    const waited: number[] = [];

    beforeAll(async () => {
      sink = await startSink();
      workload = await startWorkload({
        sink,
        calls,
        onModelCall: (seen) => {
          if (seen.outputName !== undefined) return;
          const goal = /goal number (\d+)/.exec(JSON.stringify(seen.body))![1]!;
          const turn = (seen.messageCount - 1) / 2;
          const since = asked.get(`${goal} ${turn - 1}`);
          if (since !== undefined) waited.push(Date.now() - since);
          if (calls[turn]?.startsWith("sleep") === true) asked.set(`${goal} ${turn}`, Date.now());
        },
      });
      deployment = await deploy({ size: "redis", onlyIngress: true, env: workload.env });
      await Promise.all([
        deployment.start("planner", "planner-1", clock("+1h")),
        deployment.start("planner", "planner-2", clock("-1h")),
        deployment.start("executor", "executor-1", clock("+1h")),
        deployment.start("executor", "executor-2", clock("-1h")),
        deployment.start("reflector", "reflector-1", clock("+1h")),
        deployment.start("reflector", "reflector-2", clock("-1h")),
      ]);
    }, 90_000);
    afterAll(async () => {
      await deployment?.stop();
      await endProcesses();
      await workload?.close();
      await sink?.close();
    });

    test(
      title,
      async () => {
        const times = [...deployment.processes.values()].map((process) => Number(process.lines.at(-1)?.["time"]));
        expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(2 * 3_500_000);

        await workload.post(deployment, goals, 50);
        const checked = await check(deployment, { workload, sink, withinMs: 90_000 });
        // What the models saw says that none was early; how late one was, without its wait for a slot, says the database.
        const lateness = await latenessOfTimers(deployment.databaseUrl);
        recordFigures("clocks an hour fast and slow", {
          timers: waited.length,
          askedMs: sleepMs,
          shortestMs: Math.min(...waited),
          mostLateMs: Math.max(...lateness),
          ...checked,
        });
        expect(checked.broken).toEqual([]);
        expect(waited).toHaveLength(2 * goals);
        expect(Math.min(...waited)).toBeGreaterThanOrEqual(sleepMs);
        expect(lateness).toHaveLength(2 * goals);
        expect(Math.min(...lateness)).toBeGreaterThanOrEqual(0);
        expect(Math.max(...lateness)).toBeLessThan(lateMs);
        const lost = [...deployment.processes.values()].flatMap((process) =>
          process.lines.filter((line) => String(line.event).endsWith("_stale")),
        );
        expect(lost).toEqual([]);
      },
      150_000,
    );
  });

/** From when each was due until it had ended, by the database's clock, in milliseconds. */
async function latenessOfTimers(databaseUrl: string): Promise<readonly number[]> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  const { rows } = await client.query<{ ms: string }>(
    "SELECT extract(epoch FROM resolved_at - deadline_at) * 1000 AS ms FROM waits WHERE kind = 'timer' AND status = 'resolved'",
  );
  await client.end();
  return rows.map((row) => Number(row.ms));
}
