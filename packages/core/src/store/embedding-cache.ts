/** Vectors that were paid for once, shared by all processes: by tenant, model, length and the hash of the text. */
import { sql } from "kysely";
import type { TenantId } from "../domain/ids.ts";
import type { Db } from "./database.ts";
import { toVector } from "./memories.ts";

/** Which model made a vector. Vectors of two models, or of two lengths, are never compared. */
export interface EmbeddingModel {
  readonly model: string;
  readonly dimensions: number;
}

export interface CacheKey {
  readonly tenantId: TenantId;
  /** SHA-256 of the text, hex. */
  readonly hash: string;
}

/** What is used is noted once a day at most: a look-up then writes nothing. */
const usedEveryHours = 24;
/** Rows of one deletion. */
const batch = 5000;

/** By `cacheName` of their keys; what is not there was never embedded, or not lately. */
export async function readCachedVectors(
  db: Db,
  { model, dimensions }: EmbeddingModel,
  keys: readonly CacheKey[],
): Promise<ReadonlyMap<string, readonly number[]>> {
  const { rows } = await sql<{ tenant_id: string; hash: string; embedding: string }>`
    WITH found AS (
      SELECT c.tenant_id, c.model, c.dimensions, c.hash, c.embedding, c.used_at
      FROM unnest(${sql.val(keys.map((key) => key.tenantId))}::text[], ${sql.val(keys.map((key) => key.hash))}::text[]) AS k(tenant, hash)
      JOIN embedding_cache c ON c.tenant_id = k.tenant AND c.model = ${model} AND c.dimensions = ${dimensions} AND c.hash = decode(k.hash, 'hex')
    ), used AS (
      UPDATE embedding_cache c SET used_at = clock_timestamp() FROM found f
      WHERE (c.tenant_id, c.model, c.dimensions, c.hash) = (f.tenant_id, f.model, f.dimensions, f.hash)
        AND f.used_at < clock_timestamp() - make_interval(hours => ${usedEveryHours})
    )
    SELECT tenant_id, encode(hash, 'hex') AS hash, embedding::text AS embedding FROM found`.execute(db);
  return new Map(
    rows.map((row) => [cacheName({ tenantId: row.tenant_id as TenantId, hash: row.hash }), readVector(row.embedding)]),
  );
}

/** Safe to repeat, and by several at once. */
export async function keepCachedVectors(
  db: Db,
  { model, dimensions }: EmbeddingModel,
  vectors: readonly (CacheKey & { readonly vector: readonly number[] })[],
): Promise<void> {
  // Sorted, so that two batches with the same texts do not wait for one another in a circle.
  const sorted = vectors.toSorted((a, b) => (cacheName(a) < cacheName(b) ? -1 : 1));
  await sql`
    INSERT INTO embedding_cache (tenant_id, model, dimensions, hash, embedding)
    SELECT v.tenant, ${model}, ${dimensions}, decode(v.hash, 'hex'), v.embedding::vector
    FROM unnest(${sql.val(sorted.map((each) => each.tenantId))}::text[], ${sql.val(sorted.map((each) => each.hash))}::text[],
      ${sql.val(sorted.map((each) => toVector(each.vector)))}::text[]) AS v(tenant, hash, embedding)
    ON CONFLICT DO NOTHING`.execute(db);
}

/**
 * Deletes what was not used for `maxAgeMs`, and of the rest the longest unused past `maxRows`; a batch a statement, by several
 * at once without waiting.
 * @returns how many
 */
export async function pruneCachedVectors(db: Db, maxRows: number, maxAgeMs: number): Promise<number> {
  let pruned = 0;
  for (const which of [
    sql`WHERE used_at < clock_timestamp() - make_interval(secs => ${maxAgeMs / 1000}) ORDER BY used_at LIMIT ${batch}`,
    sql`ORDER BY used_at LIMIT (SELECT greatest(0, least(count(*) - ${maxRows}::bigint, ${batch})) FROM embedding_cache)`,
  ])
    // Ends: each turn deletes rows, and the last finds less than a batch.
    for (let deleted = batch; deleted === batch; pruned += deleted) {
      const { numAffectedRows } = await sql`
        DELETE FROM embedding_cache WHERE ctid IN (SELECT ctid FROM embedding_cache ${which} FOR UPDATE SKIP LOCKED)`.execute(
        db,
      );
      deleted = Number(numAffectedRows ?? 0);
    }
  return pruned;
}

/** A key as one string. */
export function cacheName({ tenantId, hash }: CacheKey): string {
  return `${tenantId} ${hash}`;
}

/** pgvector writes a vector as a JSON array. */
function readVector(text: string): number[] {
  return JSON.parse(text) as number[];
}
