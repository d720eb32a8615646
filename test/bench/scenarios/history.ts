/**
 * Whether finished work slows new work down: the same burst beside ten thousand finished goals and beside very many, which are
 * written by SQL, spread over the days of the last month as they would be. Minutes, so only on request.
 */
import type pg from "pg";
import type { Bench } from "../bench.ts";
import { deploy } from "../deployment.ts";
import { withClient } from "../servers.ts";
import { median } from "../statistics.ts";
import { runBurst } from "../workload.ts";
import { condition, cpuPerGoal, perSecond, timesMore } from "./figure-kinds.ts";

const smallHistory = 10_000;
const days = 30;
const batch = 50_000;
const timeoutMs = 600_000;

export async function history(bench: Bench): Promise<void> {
  const { figures, options, say } = bench;
  const small = await measure(bench, "small", Math.min(smallHistory, options.historyGoals));
  const large = await measure(bench, "large", options.historyGoals);
  // The bar is about a million: a smaller history has a figure of its own.
  const id = options.historyGoals >= 1_000_000 ? "history/large_over_small" : "history/larger_over_small";
  figures.add(id, large / small, timesMore);
  say(`history: at ${options.historyGoals} finished goals ${(large / small).toFixed(2)} of the pace`);
}

/** In a database of its own each, so that both begin with the same memories and the same bloat: none. */
async function measure({ figures, options, servers, say }: Bench, name: string, finished: number): Promise<number> {
  const goals = options.isQuick ? 50 : 500;
  const deployment = await deploy({ servers, executors: options.executors });
  try {
    say(`history: writing ${finished} finished goals`);
    await withClient(deployment.databaseUrl!, (db) => fillHistory(db, finished));
    await runBurst(deployment, { goals: 20, timeoutMs });
    const pace: number[] = [];
    for (let run = 1; run <= options.runs; run += 1) {
      say(`history: ${goals} goals beside ${finished}, run ${run} of ${options.runs}`);
      const burst = await runBurst(deployment, { goals, timeoutMs });
      pace.push(burst.goalsPerSecond);
      figures.add(`history/${name}/goals_per_second`, burst.goalsPerSecond, perSecond);
      figures.add(`history/${name}/cpu_ms_per_goal/all`, burst.cpuMsPerGoal.all, cpuPerGoal);
      figures.add(`history/${name}/others_cpu_percent`, burst.othersCpuPercent, condition("% of a core"));
    }
    figures.add(`history/${name}/finished_goals`, finished, condition("goals"));
    return median(pace);
  } finally {
    await deployment.stop();
  }
}

/** So many finished goals, each with its five tasks, and with two steps and four events of its twenty-two and forty. */
export async function fillHistory(db: pg.Client, count: number): Promise<void> {
  await db.query("SELECT ensure_history_partition('standard', current_date - d) FROM generate_series(1, $1::int) d", [
    days,
  ]);
  // What is written is consistent by construction: foreign keys would be looked up one by one.
  await db.query("SET session_replication_role = replica");
  await db.query("SET synchronous_commit = off");
  for (let at = 0; at < count; at += batch) {
    const range = [at, Math.min(at + batch, count) - 1, days];
    for (const statement of fillers) await db.query(statement, range);
  }
  await db.query("RESET session_replication_role");
  await db.query("RESET synchronous_commit");
  await db.query("VACUUM ANALYZE");
  await db.query("CHECKPOINT");
}

const ended = "current_date - (1 + n % $3)::int + time '12:00'";
const series = "generate_series($1::int, $2::int) n";
const goalId = "'g_h' || lpad(to_hex(n), 15, '0')";
const taskId = "'t_h' || lpad(to_hex(n), 14, '0') || k";
const day = "current_date - (1 + n % $3)::int";

const fillers = [
  `INSERT INTO goals (id, tenant_id, goal_day, text, status, answer, budget_steps, budget_wall_ms, budget_tokens, deadline_at,
     created_at, started_at, ended_at, steps_used, event_seq, step_seq, task_seq, plan_wanted, plan_round)
   SELECT ${goalId}, (SELECT id FROM tenants LIMIT 1), ${day}, 'A goal that ended long ago.', 'succeeded', 'All is done.', 200, 3600000, 1000000,
     ${ended} + interval '1 hour', ${ended}, ${ended}, ${ended}, 22, 40, 22, 5, 0, 2
   FROM ${series}`,
  `INSERT INTO tasks (id, tenant_id, goal_id, retention, goal_day, key, number, root_id, text, status, result, due_at,
     created_at, started_at, ended_at)
   SELECT ${taskId}, (SELECT id FROM tenants LIMIT 1), ${goalId}, 'standard', ${day}, 't' || k, k, ${taskId}, 'A task that ended long ago.',
     'done', 'It is done.', 'infinity', ${ended}, ${ended}, ${ended}
   FROM ${series}, generate_series(1, 5) k`,
  `INSERT INTO steps (retention, goal_day, tenant_id, goal_id, subject_id, attempt, seq, phase, stage, kind, name, number, input,
     output, ok, fence, write_id, at)
   SELECT 'standard', ${day}, (SELECT id FROM tenants LIMIT 1), ${goalId}, ${goalId}, k, 1, 'result', 'plan', 'model', 'rules', k, '{}',
     jsonb_build_object('text', repeat('x', 600)), true, 1, 'w_h' || n, ${ended}
   FROM ${series}, generate_series(1, 2) k`,
  `INSERT INTO events (retention, goal_day, tenant_id, goal_id, seq, type, data)
   SELECT 'standard', ${day}, (SELECT id FROM tenants LIMIT 1), ${goalId}, k, 'step.model', '{}'
   FROM ${series}, generate_series(1, 4) k`,
];
