/** More executor processes: with models that answer at once the machine is the limit, with models of 50 ms the slots are. */
import type { Bench } from "../bench.ts";
import { deploy } from "../deployment.ts";
import { runBurst } from "../workload.ts";
import { condition, perSecond, timesMore } from "./figure-kinds.ts";

const timeoutMs = 600_000;
/** As many as keep the runs short on a slow day; the pace is steady long before. */
const goalsAtOnce = 200;
const slowModelMs = 50;
const slowGoals = 300;
/** Few enough that four executors leave the machine some rest, so that slots are what more of them bring. */
const slowSlots = 8;

export async function scale(bench: Bench): Promise<void> {
  const { figures, options } = bench;
  for (const executors of options.isQuick ? [] : [1, 2, 3, 4]) {
    const { goalsPerSecond } = await measure(bench, executors, 0, goalsAtOnce);
    figures.add(`scale/executors_${executors}/goals_per_second`, goalsPerSecond, perSecond);
  }
  const pace: number[] = [];
  for (const executors of [2, 4]) {
    const burst = await measure(bench, executors, slowModelMs, options.isQuick ? 30 : slowGoals);
    pace.push(burst.goalsPerSecond);
    figures.add(`scale/models_50ms/executors_${executors}/goals_per_second`, burst.goalsPerSecond, perSecond);
    figures.add(
      `scale/models_50ms/executors_${executors}/others_cpu_percent`,
      burst.othersCpuPercent,
      condition("% of a core"),
    );
  }
  figures.add("scale/models_50ms/from_2_to_4_executors", pace[1]! / pace[0]!, timesMore);
}

async function measure({ servers, say }: Bench, executors: number, delayMs: number, goals: number) {
  say(`${goals} goals on ${executors} executors, models of ${delayMs} ms`);
  const env = delayMs === 0 ? {} : { OUTERLOOP_EXECUTOR_SLOTS: String(slowSlots) };
  const deployment = await deploy({ servers, executors, delayMs, env });
  try {
    await runBurst(deployment, { goals: 20, timeoutMs });
    return await runBurst(deployment, { goals, timeoutMs });
  } finally {
    await deployment.stop();
  }
}
