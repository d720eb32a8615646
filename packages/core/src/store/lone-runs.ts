/** What runs with nothing beside it in the one process of an embedded database: a mark that its death leaves behind (W8). */
import { sql } from "kysely";
import type { Db } from "./database.ts";

export async function markLoneRun(db: Db, subjectId: string): Promise<void> {
  await sql`INSERT INTO lone_runs (subject_id) VALUES (${subjectId}) ON CONFLICT DO NOTHING`.execute(db);
}

export async function unmarkLoneRun(db: Db, subjectId: string): Promise<void> {
  await sql`DELETE FROM lone_runs WHERE subject_id = ${subjectId}`.execute(db);
}

/** Whether the process of an earlier lone run of this subject ended in the middle of it; asked once. */
export async function takeLoneRun(db: Db, subjectId: string): Promise<boolean> {
  const { rows } = await sql`DELETE FROM lone_runs WHERE subject_id = ${subjectId} RETURNING 1`.execute(db);
  return rows.length > 0;
}
