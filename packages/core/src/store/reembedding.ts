/** Memories whose vectors another model made: which there are, who re-embeds which, and that nobody does so in vain. */
import { sql } from "kysely";
import type { Db } from "./database.ts";
import type { EmbeddingModel } from "./embedding-cache.ts";
import { toVector } from "./memories.ts";

export interface OldEntry {
  readonly id: string;
  readonly text: string;
}

/** Nobody has so many; the statement must end. */
const maxModels = 100;
/** Counted no further. */
const maxCount = 100_000;

/** The models whose vectors memories have, all tenants together. An index probe each. */
export async function listEmbeddedModels(db: Db): Promise<EmbeddingModel[]> {
  const { rows } = await sql<EmbeddingModel>`
    WITH RECURSIVE used AS (
      (SELECT embedding_model COLLATE "C" AS model, vector_dims(embedding) AS dimensions FROM memory_entries ORDER BY 1, 2 LIMIT 1)
      UNION ALL
      SELECT n.model, n.dimensions FROM used, LATERAL (
        SELECT embedding_model COLLATE "C" AS model, vector_dims(embedding) AS dimensions FROM memory_entries
        WHERE (embedding_model COLLATE "C", vector_dims(embedding)) > (used.model, used.dimensions) ORDER BY 1, 2 LIMIT 1) n
    )
    SELECT model, dimensions FROM used LIMIT ${maxModels}`.execute(db);
  return rows;
}

/**
 * Says that a process embeds with this model, and asks whether memories are to be brought to it: it is the one that came last among
 * those seen within `freshMs`, by the database's clock.
 */
export async function registerEmbedder(
  db: Db,
  { model, dimensions }: EmbeddingModel,
  freshMs: number,
): Promise<boolean> {
  const fresh = sql<Date>`clock_timestamp() - make_interval(secs => ${freshMs / 1000})`;
  const { rows } = await sql<{ mine: boolean }>`
    WITH mine AS (
      INSERT INTO embedding_models AS e (model, dimensions) VALUES (${model}, ${dimensions})
      ON CONFLICT (model, dimensions) DO UPDATE SET seen_at = clock_timestamp(),
        first_at = CASE WHEN e.seen_at < ${fresh} THEN clock_timestamp() ELSE e.first_at END
      RETURNING first_at
    )
    SELECT NOT EXISTS (
      SELECT FROM embedding_models e, mine
      WHERE (e.model, e.dimensions) <> (${model}, ${dimensions}) AND e.seen_at >= ${fresh} AND e.first_at > mine.first_at
    ) AS mine`.execute(db);
  return rows[0]!.mine;
}

/**
 * Entries of an old model that nobody else has, the newest first; they are this holder's until `claimMs` from now.
 * @returns what is still of the old model: another process may have been quicker
 */
export async function claimOldEntries(
  db: Db,
  old: EmbeddingModel,
  claim: { readonly holder: string; readonly limit: number; readonly claimMs: number },
): Promise<OldEntry[]> {
  const taken = await sql<{ entry_id: string }>`
    INSERT INTO embedding_claims AS c (entry_id, holder, until)
    SELECT id, ${claim.holder}, clock_timestamp() + make_interval(secs => ${claim.claimMs / 1000}) FROM (
      SELECT m.id FROM memory_entries m
      WHERE m.embedding_model COLLATE "C" = ${old.model} AND vector_dims(m.embedding) = ${old.dimensions}
        AND NOT EXISTS (SELECT FROM embedding_claims c WHERE c.entry_id = m.id AND c.until > clock_timestamp())
      ORDER BY m.created_at DESC LIMIT ${claim.limit}) free
    ORDER BY id
    ON CONFLICT (entry_id) DO UPDATE SET holder = excluded.holder, until = excluded.until WHERE c.until <= clock_timestamp()
    RETURNING entry_id`.execute(db);
  if (taken.rows.length === 0) return [];
  const ids = taken.rows.map((row) => row.entry_id);
  // A second look: a claim that was waited for may have ended with its work done.
  const { rows } = await sql<OldEntry>`
    SELECT id, text FROM memory_entries
    WHERE id = ANY (${sql.val(ids)}::text[]) AND embedding_model COLLATE "C" = ${old.model} AND vector_dims(embedding) = ${old.dimensions}
    ORDER BY created_at DESC`.execute(db);
  const left = new Set(rows.map((row) => row.id));
  await releaseEntries(
    db,
    claim.holder,
    ids.filter((id) => !left.has(id)),
  );
  return rows;
}

/** Puts new vectors in the place of the old model's and ends the claims. @returns how many still were the old model's */
export async function replaceVectors(
  db: Db,
  old: EmbeddingModel,
  model: string,
  holder: string,
  vectors: readonly { readonly id: string; readonly vector: readonly number[] }[],
): Promise<number> {
  const ids = vectors.map((each) => each.id);
  const { rows } = await sql<{ count: number }>`
    WITH changed AS (
      UPDATE memory_entries m SET embedding = g.vector::vector, embedding_model = ${model}
      FROM unnest(${sql.val(ids)}::text[], ${sql.val(vectors.map((each) => toVector(each.vector)))}::text[]) AS g(id, vector)
      WHERE m.id = g.id AND m.embedding_model COLLATE "C" = ${old.model} AND vector_dims(m.embedding) = ${old.dimensions}
      RETURNING m.id
    ), freed AS (DELETE FROM embedding_claims WHERE entry_id = ANY (${sql.val(ids)}::text[]) AND holder = ${holder})
    SELECT count(*)::integer AS count FROM changed`.execute(db);
  return rows[0]!.count;
}

/** Gives claims back: at once, or after a while where trying again soon would be in vain. */
export async function releaseEntries(db: Db, holder: string, ids: readonly string[], afterMs = 0): Promise<void> {
  if (ids.length === 0) return;
  const own = sql`entry_id = ANY (${sql.val(ids)}::text[]) AND holder = ${holder}`;
  await (afterMs === 0
    ? sql`DELETE FROM embedding_claims WHERE ${own}`.execute(db)
    : sql`UPDATE embedding_claims SET until = clock_timestamp() + make_interval(secs => ${afterMs / 1000}) WHERE ${own}`.execute(
        db,
      ));
}

/** Entries of a model, up to 100,000. */
export async function countEntriesOf(db: Db, { model, dimensions }: EmbeddingModel): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    SELECT count(*)::integer AS count FROM (
      SELECT FROM memory_entries WHERE embedding_model COLLATE "C" = ${model} AND vector_dims(embedding) = ${dimensions} LIMIT ${maxCount}) x`.execute(
    db,
  );
  return rows[0]!.count;
}
