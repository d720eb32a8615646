/**
 * Models that take a second, as real ones do: the runtime should cost next to nothing beside them, and a process should
 * hold many goals. What limits is how many calls a process may have under way, so its slots are as many as its tasks.
 */
import type { Bench } from "../bench.ts";
import { deploy } from "../deployment.ts";
import { tasksOfGoal } from "../provider.ts";
import { runBurst } from "../workload.ts";
import { condition, cpuPerGoal, megabytes, times } from "./figure-kinds.ts";

const modelMs = 1000;
/** Plan, two turns of the executor, verdict, plan: what no runtime can shorten. */
const callsInARow = 5;
const goalsInFlight = 1000;
/** The looks at how many are live are 250 ms apart. */
const nearlyAll = 0.9;
const timeoutMs = 600_000;

export async function slow({ servers, figures, options, say }: Bench): Promise<void> {
  const goals = options.isQuick ? 50 : goalsInFlight;
  const slots = String(goals * tasksOfGoal);
  say(`${goals} goals with models of ${modelMs} ms on one executor`);
  const deployment = await deploy({
    servers,
    executors: 1,
    delayMs: modelMs,
    env: {
      OUTERLOOP_PLANNER_SLOTS: String(goals),
      OUTERLOOP_EXECUTOR_SLOTS: slots,
      OUTERLOOP_REFLECTOR_SLOTS: slots,
      OUTERLOOP_TENANT_IN_FLIGHT: String(goals * (tasksOfGoal + 1)),
    },
  });
  try {
    await runBurst(deployment, { goals: 5, timeoutMs });
    const burst = await runBurst(deployment, { goals, timeoutMs });
    figures.add("slow/goals_in_flight", burst.mostLive, condition("goals"));
    figures.add("slow/makespan_over_critical_path", burst.makespanMs / (callsInARow * modelMs), times);
    // A claim about a thousand goals takes a thousand: where the first end before the last were posted, it was another load.
    const isWhole = burst.mostLive >= goalsInFlight * nearlyAll;
    const peak = isWhole ? "slow/executor_peak_mb" : "slow/executor_peak_of_fewer_mb";
    figures.add(peak, burst.memoryMb.executor!, megabytes);
    figures.add("slow/cpu_ms_per_goal/all", burst.cpuMsPerGoal.all, cpuPerGoal);
    figures.add("slow/others_cpu_percent", burst.othersCpuPercent, condition("% of a core"));
  } finally {
    await deployment.stop();
  }
}
