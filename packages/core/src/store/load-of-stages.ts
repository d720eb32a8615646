/** How much work each stage has and who is there to do it, over all tenants: what autoscalers divide and alerts look at. */
import { sql } from "kysely";
import type { QueueName } from "./commit.ts";
import type { Db } from "./database.ts";

/** Goals or tasks of each stage that are ready or in work, up to 100,000 (`outerloop_load`, migration 0016). */
export async function loadOfStages(db: Db): Promise<Readonly<Record<QueueName, number>>> {
  const { rows } = await sql<Record<QueueName, number>>`
    SELECT outerloop_load('plan') AS plan, outerloop_load('execute') AS execute, outerloop_load('reflect') AS reflect`.execute(
    db,
  );
  const [row] = rows;
  return { plan: Number(row?.plan ?? 0), execute: Number(row?.execute ?? 0), reflect: Number(row?.reflect ?? 0) };
}

/** Processes with a live lease, by service. One that runs all services counts for each. */
export async function countProcesses(db: Db): Promise<ReadonlyMap<string, number>> {
  const { rows } = await sql<{ service: string; count: number }>`
    SELECT service, count(*)::integer AS count FROM leases WHERE expires_at > clock_timestamp() GROUP BY 1`.execute(db);
  return new Map(rows.map((row) => [row.service, row.count]));
}
