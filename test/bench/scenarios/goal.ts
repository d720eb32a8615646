/**
 * The workload `goal` on PostgreSQL and Valkey with separate processes: one alone, and many at once; beside bare BullMQ flows
 * of the same shape, turn by turn, so that both have the same machine.
 */
import { mkdirSync, mkdtempSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Bench, PartOfGoal } from "../bench.ts";
import { deploy, type Deployment } from "../deployment.ts";
import { startFlows } from "../flows/flows.ts";
import { printProfile } from "../profile-pages.ts";
import { withClient } from "../servers.ts";
import { countBurst, runAlone, runBurst, type Burst } from "../workload.ts";
import { condition, cpuPerGoal, megabytes, millis, perGoal, perSecond } from "./figure-kinds.ts";

/** The one that costs are told of. */
const mainSize = 500;
const sizes = [100, mainSize, 2000] as const;
/** Before anything is measured: code is compiled, connections are open, the buffers are filled. */
const mostWarmUpGoals = 500;
/** A size that would take longer is left out, one that took this long is measured once. */
const maxSizeMs = 120_000;
const maxQuickSizeMs = 15_000;
const onceMs = 40_000;
const timeoutMs = 600_000;

const folder = fileURLToPath(new URL("../../../.outerloop/", import.meta.url));

export async function goal(bench: Bench): Promise<void> {
  const { options } = bench;
  // Counting waits until sessions have told what they did, which is half of a quick run's time.
  if (options.isQuick && !options.without.includes("counts"))
    bench.note("commits and round trips, and goal without memory: left out of a quick run");
  const isWithout = (part: PartOfGoal) =>
    options.without.includes(part) || (options.isQuick && (part === "counts" || part === "memory_off"));
  const wanted = options.sizes ?? (options.isQuick ? sizes.filter((size) => size <= mainSize) : sizes);
  const measured = new Set<string>();
  for (let run = 1; run <= options.runs; run += 1) {
    if (!isWithout("flows")) await flows(bench, run);
    for (const memory of ["on", "off"] as const) {
      if (isWithout(`memory_${memory}`)) continue;
      const prefix = memory === "on" ? "goal" : "goal_memory_off";
      if (run > 1 && !measured.has(prefix)) continue;
      bench.say(`goal, run ${run} of ${options.runs}, memory ${memory}`);
      const deployment = await deploy({
        servers: bench.servers,
        executors: options.executors,
        env: { OUTERLOOP_MEMORY: memory },
      });
      try {
        await runBurst(deployment, { goals: Math.min(mostWarmUpGoals, ...wanted), timeoutMs });
        if (memory === "off" && (await memoriesOf(deployment)) > 0) {
          bench.note("goal without memory: not measured, this version writes memories whatever OUTERLOOP_MEMORY says");
          continue;
        }
        measured.add(prefix);
        await measure(bench, deployment, prefix, wanted, run, isWithout);
      } finally {
        await deployment.stop();
      }
    }
  }
  if (options.profiles) await profile(bench);
}

async function flows({ servers, figures, options, say }: Bench, run: number): Promise<void> {
  say(`bare BullMQ flows, run ${run} of ${options.runs}`);
  for (const kind of ["full", "empty"] as const) {
    const prefix = kind === "full" ? "flows" : "flows_empty";
    const bare = await startFlows(servers, kind);
    try {
      await bare.burst(mostWarmUpGoals);
      const alone = await bare.alone(options.isQuick ? 30 : 100);
      figures.add(`${prefix}/alone/p50_ms`, alone.p50Ms, millis);
      figures.add(`${prefix}/alone/p99_ms`, alone.p99Ms, millis);
      const burst = await bare.burst(mainSize);
      figures.add(`${prefix}/${mainSize}/goals_per_second`, burst.goalsPerSecond, perSecond);
      figures.add(`${prefix}/${mainSize}/cpu_ms_per_goal/all`, burst.cpuMsPerGoal.all, cpuPerGoal);
      figures.add(`${prefix}/${mainSize}/cpu_ms_per_goal/valkey`, burst.cpuMsPerGoal.valkey, cpuPerGoal);
    } finally {
      await bare.stop();
      await servers.settle();
    }
  }
}

async function measure(
  bench: Bench,
  deployment: Deployment,
  prefix: string,
  wanted: readonly number[],
  run: number,
  isWithout: (part: PartOfGoal) => boolean,
): Promise<void> {
  const { figures, options } = bench;
  if (!isWithout("alone")) {
    const alone = await runAlone(deployment, options.isQuick ? 30 : 100);
    figures.add(`${prefix}/alone/p50_ms`, alone.p50Ms, millis);
    figures.add(`${prefix}/alone/p99_ms`, alone.p99Ms, millis);
  }
  let perSecondSoFar: number | null = null;
  for (const goals of wanted) {
    const expectedMs = perSecondSoFar === null ? 0 : (goals / perSecondSoFar) * 1000;
    if (expectedMs > (options.isQuick ? maxQuickSizeMs : maxSizeMs)) {
      bench.note(`${prefix}, ${goals} at once: left out, it would take ${Math.round(expectedMs / 1000)} s`);
      continue;
    }
    if (run > 1 && expectedMs > onceMs) continue;
    const burst = await runBurst(deployment, { goals, timeoutMs });
    perSecondSoFar = burst.goalsPerSecond;
    figures.add(`${prefix}/${goals}/goals_per_second`, burst.goalsPerSecond, perSecond);
    addCosts(bench, `${prefix}/${goals}`, burst, goals === mainSize || wanted.length === 1);
  }
  // Counting is no matter of chance: once is enough.
  if (run > 1 || isWithout("counts")) return;
  const goals = wanted.find((size) => size === mainSize) ?? wanted[0]!;
  const counted = await countBurst(deployment, bench.servers, { goals, timeoutMs });
  figures.add(`${prefix}/${goals}/commits_per_goal`, counted.commitsPerGoal, perGoal);
  figures.add(`${prefix}/${goals}/writing_commits_per_goal`, counted.writesPerGoal, perGoal);
  figures.add(`${prefix}/${goals}/round_trips_per_goal`, counted.roundTripsPerGoal, perGoal);
}

function addCosts({ figures }: Bench, prefix: string, burst: Burst, isInFull: boolean): void {
  figures.add(`${prefix}/cpu_ms_per_goal/all`, burst.cpuMsPerGoal.all, cpuPerGoal);
  figures.add(`${prefix}/others_cpu_percent`, burst.othersCpuPercent, condition("% of a core"));
  if (!isInFull) return;
  for (const [kind, ms] of Object.entries(burst.cpuMsPerGoal))
    if (kind !== "all") figures.add(`${prefix}/cpu_ms_per_goal/${kind}`, ms, cpuPerGoal);
  figures.add(`${prefix}/bench_cpu_ms_per_goal`, burst.driverCpuMsPerGoal, condition("CPU ms"));
  figures.add(`${prefix}/step_bytes`, burst.stepBytes, condition("bytes"));
  figures.add(`${prefix}/step_output_bytes`, burst.outputBytes, condition("bytes"));
  for (const [kind, mb] of Object.entries(burst.memoryMb)) figures.add(`${prefix}/memory_mb/${kind}`, mb, megabytes);
}

async function memoriesOf({ databaseUrl }: Deployment): Promise<number> {
  return withClient(databaseUrl!, async (db) => {
    const { rows } = await db.query<{ n: number }>("SELECT count(*)::int AS n FROM memory_entries");
    return rows[0]?.n ?? 0;
  });
}

/** Slower than without, so none of its times is a figure. */
async function profile(bench: Bench): Promise<void> {
  const { servers, options } = bench;
  const goals = options.sizes?.[0] ?? mainSize;
  const warmUpGoals = Math.min(mostWarmUpGoals, goals);
  mkdirSync(folder, { recursive: true });
  const profileFolder = mkdtempSync(`${folder}bench-profile-`);
  bench.say(`goal under the profiler, ${goals} at once: ${profileFolder}`);
  const env = { OUTERLOOP_MEMORY: options.without.includes("memory_on") ? "off" : "on" };
  const deployment = await deploy({ servers, executors: options.executors, env, profileFolder });
  let statements;
  try {
    await runBurst(deployment, { goals: warmUpGoals, timeoutMs });
    ({ statements } = await countBurst(deployment, servers, { goals, timeoutMs }));
  } finally {
    // A process writes its profile when it ends.
    await deployment.stop();
  }
  printProfile(profileFolder, statements, goals + warmUpGoals, goals);
}
