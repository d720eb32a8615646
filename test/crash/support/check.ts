/**
 * CHECK: what must hold of every goal that was accepted, whatever broke on the way. One function for all scenarios, which
 * looks at rows and at what reached the sink, and returns everything that does not hold.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { openDatabase } from "@outerloop/core";
import { sql } from "kysely";
import { brokenInvariants } from "../../support/goal-driver.ts";
import type { Deployment } from "../../support/deployments.ts";
import type { Sink } from "./sink.ts";
import type { Workload } from "./workload.ts";

export interface Checked {
  /** What does not hold; empty when all is well. */
  readonly broken: readonly string[];
  readonly goals: number;
  /** Goals by how they ended. */
  readonly ends: Readonly<Record<string, number>>;
  readonly tasks: number;
  readonly journaledSteps: number;
  readonly modelCalls: number;
  readonly effects: number;
  readonly deliveries: number;
  /** Model calls whose answer was lost with its process, and asked again. */
  readonly modelCallsRepeated: number;
  /** From the call of `check` until the last goal had ended. */
  readonly settledMs: number;
}

export interface CheckOptions {
  readonly workload: Pick<Workload, "goals" | "tasks" | "calls" | "modelCalls" | "expectedEffects">;
  readonly sink?: Sink;
  /** How long the goals may take from now until they have all ended. */
  readonly withinMs: number;
  /** Whether every goal must succeed with all its files and effects; else it is enough that it ended. */
  readonly allSucceed?: boolean;
}

const lookEveryMs = 100;

export async function check(deployment: Pick<Deployment, "databaseUrl">, options: CheckOptions): Promise<Checked> {
  const { workload, sink, withinMs, allSucceed = true } = options;
  const database = await openDatabase({
    kind: "server",
    url: deployment.databaseUrl,
    maxConnections: 1,
    applicationName: "outerloop-check",
  });
  const { db } = database;
  const rows = async <Row>(query: ReturnType<typeof sql<Row>>) => (await query.execute(db)).rows;
  try {
    const begin = performance.now();
    const accepted = [...workload.goals];
    // Ends when all goals have, or at the deadline.
    let open = await openGoals();
    while (open.length > 0 && performance.now() - begin < withinMs) {
      await sleep(lookEveryMs);
      open = await openGoals();
    }
    const settledMs = Math.round(performance.now() - begin);

    async function openGoals() {
      const ended = await rows(sql<{ id: string }>`SELECT id FROM goals WHERE ended_at IS NOT NULL`);
      const ids = new Set(ended.map((row) => row.id));
      return accepted.filter((id) => !ids.has(id));
    }

    const broken: string[] = [];
    for (const id of open) {
      const [row] = await rows(sql<{ at: string }>`
        SELECT format('%s, live %s, wanted %s, lease %s; %s', g.status, g.live_tasks, g.plan_wanted, g.lease_id,
          (SELECT string_agg(format('%s %s attempt %s lease %s job %s %s', t.key, t.status, t.attempt, t.lease_id, t.job_id, t.reason), '; ') FROM tasks t WHERE t.goal_id = g.id)) AS at
        FROM goals g WHERE id = ${id}`);
      broken.push(`goal ${id} was accepted and ${row === undefined ? "is gone" : `has not ended: ${row.at}`}`);
    }
    if (new Set(accepted).size !== accepted.length) broken.push("a goal's id was given twice");

    const terminal = await rows(sql<{ task_id: string; types: string }>`
      SELECT task_id, string_agg(type, ', ' ORDER BY seq) AS types FROM events
      WHERE type IN ('task.done', 'task.failed', 'task.abandoned', 'task.split') GROUP BY task_id HAVING count(*) > 1`);
    for (const row of terminal) broken.push(`task ${row.task_id} ended more than once: ${row.types}`);

    const numbered = await rows(sql<{ goal_id: string; seq: string; place: string }>`
      SELECT * FROM (SELECT goal_id, seq, row_number() OVER (PARTITION BY goal_id ORDER BY seq) AS place FROM events) e WHERE seq <> place LIMIT 20`);
    for (const row of numbered) broken.push(`goal ${row.goal_id}: event ${row.seq} stands at place ${row.place}`);

    const spent = await rows(sql<{ id: string; used: string; reserved: string; budget: string; ended: boolean }>`
      SELECT id, steps_used AS used, steps_reserved AS reserved, budget_steps AS budget, ended_at IS NOT NULL AS ended FROM goals
      WHERE steps_used > budget_steps OR (ended_at IS NOT NULL AND steps_reserved <> 0)`);
    for (const row of spent)
      broken.push(`goal ${row.id} used ${row.used} and holds ${row.reserved} of ${row.budget} steps`);

    const started = await rows(sql<{ task_id: string; attempt: string; n: string }>`
      SELECT task_id, data ->> 'attempt' AS attempt, count(*) AS n FROM events WHERE type = 'task.started' GROUP BY 1, 2 HAVING count(*) > 1`);
    for (const row of started) broken.push(`attempt ${row.attempt} of task ${row.task_id} started ${row.n} times`);

    if (open.length === 0) broken.push(...(await brokenInvariants(db)));

    const ends = await rows(
      sql<{ status: string; n: number }>`SELECT status, count(*)::integer AS n FROM goals GROUP BY 1`,
    );
    if (allSucceed) {
      const poor = await rows(sql<{ what: string }>`
        SELECT format('goal %s %s: %s %s', id, status, reason, detail) AS what FROM goals WHERE ended_at IS NOT NULL AND status <> 'succeeded'
        UNION ALL SELECT format('task %s of goal %s %s in attempt %s: %s', key, goal_id, status, attempt, reason) FROM tasks WHERE ended_at IS NOT NULL AND (status <> 'done' OR attempt <> 1) LIMIT 50`);
      broken.push(...poor.map((row) => row.what), ...(await brokenFiles()));
    }
    async function brokenFiles(): Promise<string[]> {
      const appends = workload.calls.filter((call) => call === "append").length;
      if (appends === 0) return [];
      // Every line of a task once, in the order of its calls.
      const wrong = await rows(sql<{ what: string }>`
        SELECT format('goal %s, %s: %s lines, %s of them different', goal_id, path, count(*), count(DISTINCT bytes)) AS what
        FROM artifacts WHERE path LIKE 'part-%' GROUP BY goal_id, path HAVING count(*) <> ${appends} OR count(DISTINCT bytes) <> ${appends}
        UNION ALL
        SELECT format('goal %s has %s of %s files', g.id, count(DISTINCT a.path), ${workload.tasks}::integer) FROM goals g LEFT JOIN artifacts a ON a.goal_id = g.id
        WHERE g.status = 'succeeded' GROUP BY g.id HAVING count(DISTINCT a.path) <> ${workload.tasks}::integer`);
      return wrong.map((row) => row.what);
    }

    if (sink !== undefined) {
      const keysOf = Map.groupBy(sink.deliveries, (delivery) => delivery.body);
      for (const [body, deliveries] of keysOf) {
        const keys = new Set(deliveries.map((delivery) => delivery.key));
        if (keys.size > 1) broken.push(`${body} reached the sink under ${keys.size} keys`);
      }
      for (const [body, { length }] of keysOf) {
        const call = workload.calls[Number(/-c(\d+)/.exec(body)?.[1])];
        if (call === "mail" && length > 1) broken.push(`${body} was mailed ${length} times`);
      }
      for (const [key, deliveries] of Map.groupBy(sink.deliveries, (delivery) => delivery.key)) {
        if (new Set(deliveries.map((delivery) => delivery.body)).size > 1) broken.push(`key ${key} names two effects`);
      }
      if (allSucceed) {
        const reached = new Set(
          sink.deliveries.map((delivery) => (JSON.parse(delivery.body) as { text: string }).text),
        );
        for (const text of workload.expectedEffects())
          if (!reached.has(text)) broken.push(`${text} never reached the sink`);
      }
    }

    const [counted] = await rows(
      sql<{ tasks: number; steps: number; models: number }>`
        SELECT (SELECT count(*) FROM tasks)::integer AS tasks, count(*)::integer AS steps, count(*) FILTER (WHERE kind = 'model')::integer AS models
        FROM steps WHERE phase = 'result'`,
    );
    return {
      broken,
      goals: accepted.length,
      ends: Object.fromEntries(ends.map((row) => [row.status, row.n])),
      tasks: counted!.tasks,
      journaledSteps: counted!.steps,
      modelCalls: workload.modelCalls(),
      effects: sink?.effects().size ?? 0,
      deliveries: sink?.deliveries.length ?? 0,
      modelCallsRepeated: workload.modelCalls() - counted!.models,
      settledMs,
    };
  } finally {
    await database.close();
  }
}
