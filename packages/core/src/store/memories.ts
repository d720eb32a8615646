/** Long-term memory's rows. Vectors of different models differ in length and are never compared; each length has its index. */
import { sql } from "kysely";
import { toSql } from "pgvector/kysely";
import type { GoalId, TaskId, TenantId } from "../domain/ids.ts";
import type { RecalledMemory } from "../domain/tool.ts";
import type { Db } from "./database.ts";

export interface VectorQuery {
  readonly tenantId: TenantId;
  readonly vector: readonly number[];
  readonly limit: number;
}

interface MemoryRow {
  readonly id: string;
  readonly kind: string;
  readonly text: string;
  readonly created_at: Date;
  readonly similarity: number;
}

/**
 * Of each query the tenant's entries nearest in meaning, nearest first; one statement for all. Served by the HNSW index of
 * the vectors' length, in half precision.
 * @param model that made the vectors, all of one length, and all they are compared with
 */
export async function nearestMemories(
  db: Db,
  model: string,
  queries: readonly VectorQuery[],
): Promise<RecalledMemory[][]> {
  const dimensions = queries[0]?.vector.length ?? 0;
  const tenants = queries.map((query) => query.tenantId);
  const vectors = queries.map((query) => toVector(query.vector));
  const most = Math.max(...queries.map((query) => query.limit));
  const { rows } = await sql<MemoryRow & { query: number }>`
    SELECT * FROM nearest_memories(${model}, ${dimensions}::integer, ${sql.val(tenants)}::text[], ${sql.val(vectors)}::text[], ${most}::integer)`.execute(
    db,
  );
  const found = Map.groupBy(rows, (row) => Number(row.query));
  return queries.map(({ limit }, index) => (found.get(index + 1) ?? []).slice(0, limit).map(toMemory));
}

/** The tenant's newest entries, newest first. */
export async function newestMemories(db: Db, tenantId: TenantId, limit: number): Promise<RecalledMemory[]> {
  const rows = await db
    .selectFrom("memory_entries")
    .select(["id", "kind", "text", "created_at"])
    .where("tenant_id", "=", tenantId)
    .orderBy("created_at", "desc")
    .limit(limit)
    .execute();
  return rows.map((row) => toMemory({ ...row, similarity: 0 }));
}

/** What a task wrote down, oldest first. */
export async function notesOf(db: Db, goalId: GoalId, taskId: TaskId): Promise<string[]> {
  const rows = await db
    .selectFrom("memory_entries")
    .select("text")
    .where("goal_id", "=", goalId)
    .where("task_id", "=", taskId)
    .where("kind", "=", "note")
    .orderBy("created_at")
    .execute();
  return rows.map((row) => row.text);
}

/** A vector as pgvector reads it. */
export function toVector(vector: readonly number[]): string {
  return toSql([...vector]) as string;
}

function toMemory(row: MemoryRow): RecalledMemory {
  return {
    id: row.id,
    kind: row.kind,
    text: row.text,
    createdAt: row.created_at.toISOString(),
    similarity: Number(row.similarity),
  };
}
