/** How long the oldest work of each stage has waited for somebody to take it up. */
import { sql } from "kysely";
import type { QueueName } from "./commit.ts";
import type { Db } from "./database.ts";

/** Due and not in work, whether it is on its queue yet or not, in milliseconds; 0 where nothing waits. For metrics. */
export async function oldestReadyMs(db: Db): Promise<Readonly<Record<QueueName, number>>> {
  const { rows } = await sql<Record<QueueName, number | null>>`
    SELECT extract(epoch FROM clock_timestamp() - min(due_at) FILTER (WHERE stage = 'plan')) * 1000 AS plan,
      extract(epoch FROM clock_timestamp() - min(due_at) FILTER (WHERE stage = 'execute')) * 1000 AS execute,
      extract(epoch FROM clock_timestamp() - min(due_at) FILTER (WHERE stage = 'reflect')) * 1000 AS reflect
    FROM (
      SELECT CASE t.status WHEN 'reflecting' THEN 'reflect' ELSE 'execute' END AS stage, t.due_at FROM goals g JOIN tasks t ON t.goal_id = g.id
      WHERE g.status IN ('planning', 'running') AND t.status IN ('ready', 'running', 'reflecting') AND t.lease_id IS NULL AND t.due_at <= clock_timestamp()
      UNION ALL
      SELECT 'plan', due_at FROM goals WHERE status IN ('queued', 'running', 'planning') AND plan_wanted > 0 AND lease_id IS NULL AND due_at <= clock_timestamp()
    ) due`.execute(db);
  const [row] = rows;
  return { plan: Number(row?.plan ?? 0), execute: Number(row?.execute ?? 0), reflect: Number(row?.reflect ?? 0) };
}

/**
 * Since when the oldest of what was sent to this queue lies there untaken, in milliseconds; 0 where nothing does. Served
 * by the index of live goals, and by that of tasks in flight, of which there are no more than the tenants' caps.
 */
export async function oldestSentMs(db: Db, queue: QueueName): Promise<number> {
  const sent =
    queue === "plan"
      ? sql`SELECT min(dispatched_at) AS at FROM goals WHERE status IN ('queued', 'planning', 'running') AND lease_id IS NULL AND due_at <= clock_timestamp()`
      : sql`SELECT min(dispatched_at) AS at FROM tasks WHERE dispatched_at IS NOT NULL AND lease_id IS NULL AND due_at <= clock_timestamp()
          AND status = ANY (${queue === "reflect" ? ["reflecting"] : ["ready", "running"]}::text[])`;
  const { rows } = await sql<{ ms: number | null }>`
    SELECT extract(epoch FROM clock_timestamp() - at) * 1000 AS ms FROM (${sent}) oldest`.execute(db);
  return Number(rows[0]?.ms ?? 0);
}
