/** A goal's files: rows, not a host folder (DESIGN §6). A file is its last write and every append after it (W10). */
import { sql } from "kysely";
import type { GoalId } from "../domain/ids.ts";
import type { Workspace, WorkspaceFile } from "../domain/tool.ts";
import type { Db, Trx } from "./database.ts";

export interface ArtifactInfo extends WorkspaceFile {
  readonly origin: "attached" | "written" | "observed";
  readonly at: string;
}

/** Every file with its newest version, by path. */
export async function listArtifacts(db: Db | Trx, goalId: GoalId): Promise<ArtifactInfo[]> {
  const { rows } = await sql<{
    path: string;
    version: number;
    size: number;
    hash: string;
    origin: "attached" | "written" | "observed";
    at: Date;
  }>`
    WITH base AS (
      SELECT path, max(version) FILTER (WHERE mode = 'write') AS from_version, max(version) AS version FROM artifacts WHERE goal_id = ${goalId} GROUP BY path
    )
    SELECT b.path, b.version, sum(octet_length(a.bytes))::bigint AS size,
      CASE WHEN count(*) = 1 THEN min(a.hash) ELSE md5(string_agg(a.hash, ',' ORDER BY a.version)) END AS hash,
      (array_agg(a.origin ORDER BY a.version DESC))[1] AS origin, max(a.at) AS at
    FROM base b JOIN artifacts a ON a.goal_id = ${goalId} AND a.path = b.path AND a.version >= coalesce(b.from_version, 0)
    GROUP BY b.path, b.version ORDER BY b.path`.execute(db);
  return rows.map((row) => ({ ...row, at: row.at.toISOString() }));
}

/** The bytes of a file's newest version; undefined where there is no such file. */
export async function readArtifact(db: Db | Trx, goalId: GoalId, path: string): Promise<Uint8Array | undefined> {
  const { rows } = await sql<{ bytes: Uint8Array | null }>`
    SELECT string_agg(bytes, ''::bytea ORDER BY version) AS bytes FROM artifacts
    WHERE goal_id = ${goalId} AND path = ${path} AND version >= coalesce(
      (SELECT max(version) FROM artifacts WHERE goal_id = ${goalId} AND path = ${path} AND mode = 'write'), 0)`.execute(
    db,
  );
  return rows[0]?.bytes ?? undefined;
}

/** What a workspace needs of the store. */
interface ArtifactStore {
  listArtifacts(goalId: GoalId): Promise<ArtifactInfo[]>;
  readArtifact(goalId: GoalId, path: string): Promise<Uint8Array | undefined>;
}

export function createWorkspace(store: ArtifactStore, goalId: GoalId): Workspace {
  return {
    list: () => store.listArtifacts(goalId),
    read: (path) => store.readArtifact(goalId, path),
  };
}
