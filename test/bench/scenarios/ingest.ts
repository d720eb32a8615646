/** The door alone: how many goals a second it takes, and how long a POST waits. Nothing works on them. */
import type { Bench } from "../bench.ts";
import { deploy } from "../deployment.ts";
import { openDoor } from "../door.ts";
import { percentile } from "../statistics.ts";
import { startMeter } from "../workload.ts";
import { cpuPerGoal, millis, perSecondOf } from "./figure-kinds.ts";

/** POSTs under way at once: one, for how long it takes; many, for how many there can be. */
const levels = [1, 32] as const;

export async function ingest({ servers, figures, options, say }: Bench): Promise<void> {
  const forMs = options.isQuick ? 1500 : 4000;
  for (let run = 1; run <= options.runs; run += 1) {
    say(`ingest, run ${run} of ${options.runs}`);
    const deployment = await deploy({ servers, executors: 0, onlyIngress: true });
    const door = openDoor(deployment);
    try {
      await post(door, 8, 500);
      for (const atOnce of levels) {
        const meter = startMeter(deployment);
        const tookMs = await post(door, atOnce, forMs);
        const { cpuMsPerGoal } = meter.stop(tookMs.length);
        const prefix = `ingest/at_once_${atOnce}`;
        figures.add(`${prefix}/posts_per_second`, (tookMs.length / forMs) * 1000, perSecondOf("POSTs"));
        figures.add(`${prefix}/p50_ms`, percentile(tookMs, 0.5), millis);
        figures.add(`${prefix}/p99_ms`, percentile(tookMs, 0.99), millis);
        figures.add(`${prefix}/cpu_ms_per_post/all`, cpuMsPerGoal.all, cpuPerGoal);
      }
    } finally {
      door.close();
      await deployment.stop();
    }
  }
}

/** How long each POST took that was sent in that time. */
async function post(door: ReturnType<typeof openDoor>, atOnce: number, forMs: number): Promise<readonly number[]> {
  const until = performance.now() + forMs;
  const tookMs: number[] = [];
  const poster = async () => {
    while (performance.now() < until) {
      const startedAt = performance.now();
      await door.post("A goal that only waits.");
      tookMs.push(performance.now() - startedAt);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, poster));
  return tookMs;
}
