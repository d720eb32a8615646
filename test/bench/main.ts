/** pnpm bench: see docs/bench.md. */
import { mkdirSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { deploy } from "./deployment.ts";
import { topFunctions } from "./profiles.ts";
import { endProcesses } from "./processes.ts";
import { startServers, type BenchServers } from "./servers.ts";
import { countStatements, roundTrips } from "./statements.ts";
import { runBurst, type Burst } from "./workload.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    goals: { type: "string", default: "500" },
    executors: { type: "string", default: "1" },
    runs: { type: "string", default: "1" },
    profile: { type: "boolean", default: false },
  },
});
if (positionals.join() !== "goal") throw new Error("usage: pnpm bench goal [--goals 500] [--executors 1] [--profile]");

const servers = await startServers();
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => {
    endProcesses();
    void servers.close().finally(() => process.exit(130));
  });
try {
  await goal(servers);
} finally {
  await servers.close();
}

async function goal(servers: BenchServers) {
  const goals = Number(values.goals);
  const executors = Number(values.executors);
  for (let run = 0; run < Number(values.runs); run += 1) {
    const deployment = await deploy({ servers, executors });
    try {
      await runBurst(deployment, { goals: 20, timeoutMs: 120_000 });
      print(`run ${run + 1}`, await runBurst(deployment, { goals, timeoutMs: 600_000 }));
    } finally {
      await deployment.stop();
    }
  }
  if (!values.profile) return;
  mkdirSync(".outerloop", { recursive: true });
  const profileFolder = mkdtempSync(join(process.cwd(), ".outerloop/bench-profile-"));
  const deployment = await deploy({ servers, executors, profileFolder });
  await runBurst(deployment, { goals: 20, timeoutMs: 120_000 });
  const { result, statements } = await countStatements(servers, deployment.databaseUrl!, () =>
    runBurst(deployment, { goals, timeoutMs: 600_000 }),
  );
  await deployment.stop();
  print("profiled (slower)", result);
  console.log(`round trips to postgres per goal: ${(roundTrips(statements) / goals).toFixed(1)}`);
  console.log("\nms/goal  calls/goal  top  statement");
  for (const each of statements.slice(0, 40))
    console.log(
      `${(each.totalMs / goals).toFixed(3).padStart(7)} ${(each.calls / goals).toFixed(2).padStart(11)}  ${each.isTopLevel ? "yes" : "   "}  ${each.query.slice(0, 140)}`,
    );
  for (const name of ["ingress-1", "planner-1", "executor-1", "reflector-1"]) {
    console.log(`\n${name}: self ms per goal, ${profileFolder}/${name}.cpuprofile`);
    for (const each of topFunctions(join(profileFolder, `${name}.cpuprofile`), 15))
      console.log(`${(each.selfMs / goals).toFixed(3).padStart(8)}  ${each.name}`);
  }
}

function print(title: string, burst: Burst) {
  const parts = Object.entries(burst.cpuMsPerGoal).map(([kind, ms]) => `${kind} ${ms.toFixed(1)}`);
  console.log(
    `${title}: ${burst.goals} at once: ${burst.goalsPerSecond.toFixed(1)} goals/s, makespan ${burst.makespanMs} ms (posted after ${burst.postedMs})\n` +
      `  CPU ms per goal: ${parts.join(", ")}; the bench itself ${burst.driverCpuMsPerGoal.toFixed(1)}\n` +
      `  commits per goal ${burst.commitsPerGoal.toFixed(2)}, ${Math.round(burst.stepBytes)} B a step`,
  );
}
