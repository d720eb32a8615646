/**
 * From the death of an executor to its work going on elsewhere: each task that it held, from the kill until another process
 * has claimed it. The lease decides: as by default, and short.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import type { Bench } from "../bench.ts";
import { deploy } from "../deployment.ts";
import { openDoor } from "../door.ts";
import { withClient } from "../servers.ts";
import { percentile } from "../statistics.ts";
import { condition, millis } from "./figure-kinds.ts";

/** Long enough that tasks are held when their process dies. */
const modelMs = 1000;
const goals = 20;
/** What the executor holds when it dies, at least. */
const heldTasks = 6;
const lookMs = 20;
const timeoutMs = 120_000;

const leases = [
  { name: "default", env: {} },
  { name: "short_lease", env: { OUTERLOOP_LEASE_MS: "2000", OUTERLOOP_RECONCILE_MS: "500" } },
] as const;

export async function recover(bench: Bench): Promise<void> {
  const { figures, options, say } = bench;
  for (const { name, env } of options.isQuick ? leases.slice(1) : leases)
    for (let run = 1; run <= options.runs; run += 1) {
      say(`recover, ${name}, run ${run} of ${options.runs}`);
      const resumedMs = await killOne(bench, env);
      figures.add(`recover/${name}/tasks_held`, resumedMs.length, condition("tasks"));
      figures.add(`recover/${name}/kill_to_resumed_p50_ms`, percentile(resumedMs, 0.5), millis);
      figures.add(`recover/${name}/kill_to_resumed_max_ms`, Math.max(...resumedMs), millis);
    }
}

async function killOne({ servers }: Bench, env: Readonly<Record<string, string>>): Promise<readonly number[]> {
  const deployment = await deploy({ servers, executors: 2, delayMs: modelMs, env });
  const door = openDoor(deployment);
  try {
    return await withClient(deployment.databaseUrl!, async (db) => {
      await Promise.all(Array.from({ length: goals }, () => door.post("Look up all figures while somebody dies.")));
      const victim = deployment.processes("executor")[0]!;
      const lease = await untilItHolds(db, victim.pid);
      await victim.kill();
      const killedAt = performance.now();
      const { rows } = await db.query<{ id: string; fence: string }>(
        "SELECT id, fence FROM tasks WHERE lease_id = $1",
        [lease],
      );
      const fences = new Map(rows.map((row) => [row.id, Number(row.fence)]));
      const resumedMs: number[] = [];
      // Ends: when all are claimed again, or with an error when the time is up.
      while (fences.size > 0) {
        const { rows: now } = await db.query<{ id: string; fence: string }>(
          "SELECT id, fence FROM tasks WHERE id = ANY ($1) AND lease_id IS DISTINCT FROM $2",
          [[...fences.keys()], lease],
        );
        for (const row of now) {
          // A claim bumps the fence; a claim that was only taken away does not.
          if (Number(row.fence) <= fences.get(row.id)!) continue;
          resumedMs.push(performance.now() - killedAt);
          fences.delete(row.id);
        }
        if (performance.now() - killedAt > timeoutMs) throw new Error(`${fences.size} tasks were not taken up again`);
        await sleep(lookMs);
      }
      return resumedMs;
    });
  } finally {
    door.close();
    await deployment.stop();
  }
}

/** The lease of a process, once it holds enough tasks. */
async function untilItHolds(db: pg.Client, pid: number): Promise<string> {
  for (const until = performance.now() + timeoutMs; performance.now() < until; await sleep(lookMs)) {
    const { rows } = await db.query<{ id: string }>(
      "SELECT l.id FROM leases l JOIN tasks t ON t.lease_id = l.id WHERE l.pid = $1 GROUP BY l.id HAVING count(*) >= $2",
      [pid, heldTasks],
    );
    if (rows[0] !== undefined) return rows[0].id;
  }
  throw new Error(`the executor never held ${heldTasks} tasks`);
}
