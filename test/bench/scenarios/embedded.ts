/** The workload `goal` on the smallest size: PGlite and the queue in one process. */
import type { Bench } from "../bench.ts";
import { deployEmbedded } from "../deployment.ts";
import { runAlone, runBurstOverHttp } from "../workload.ts";
import { cpuPerGoal, megabytes, millis, perSecond } from "./figure-kinds.ts";

const timeoutMs = 600_000;

export async function embedded({ figures, options, say }: Bench): Promise<void> {
  const goals = options.isQuick ? 10 : 50;
  say(`embedded: ${goals} at once, then one after the other`);
  const deployment = await deployEmbedded({});
  try {
    await runBurstOverHttp(deployment, { goals: 5, timeoutMs });
    const alone = await runAlone(deployment, options.isQuick ? 10 : 50);
    figures.add("embedded/alone/p50_ms", alone.p50Ms, millis);
    figures.add("embedded/alone/p99_ms", alone.p99Ms, millis);
    const burst = await runBurstOverHttp(deployment, { goals, timeoutMs });
    figures.add(`embedded/${goals}/goals_per_second`, burst.goalsPerSecond, perSecond);
    figures.add(`embedded/${goals}/cpu_ms_per_goal/all`, burst.cpuMsPerGoal.all, cpuPerGoal);
    figures.add("embedded/memory_mb", burst.memoryMb.embedded!, megabytes);
  } finally {
    await deployment.stop();
  }
}
