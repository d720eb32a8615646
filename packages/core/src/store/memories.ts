/** Long-term memory's rows. Vectors of different models differ in length and are never compared; each length has its index. */
import { sql } from "kysely";
import { toSql } from "pgvector/kysely";
import type { GoalId, TaskId, TenantId } from "../domain/ids.ts";
import type { RecalledMemory } from "../domain/tool.ts";
import type { Db } from "./database.ts";

export interface VectorQuery {
  readonly tenantId: TenantId;
  readonly vector: readonly number[];
  /** The model that made the vector, and all it is compared with. */
  readonly model: string;
  readonly limit: number;
}

interface MemoryRow {
  readonly id: string;
  readonly kind: string;
  readonly text: string;
  readonly created_at: Date;
  readonly similarity: number;
}

/** The tenant's entries nearest in meaning, nearest first. Served by the HNSW index of the vector's length. */
export async function nearestMemories(
  db: Db,
  { tenantId, vector, model, limit }: VectorQuery,
): Promise<RecalledMemory[]> {
  const type = sql.raw(`vector(${vector.length})`);
  const { rows } = await sql<MemoryRow>`
    SELECT id, kind, text, created_at, 1 - (embedding::${type} <=> ${toVector(vector)}::${type}) AS similarity
    FROM memory_entries
    WHERE vector_dims(embedding) = ${sql.raw(String(vector.length))} AND tenant_id = ${tenantId} AND embedding_model = ${model}
    ORDER BY embedding::${type} <=> ${toVector(vector)}::${type} LIMIT ${limit}`.execute(db);
  return rows.map(toMemory);
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
