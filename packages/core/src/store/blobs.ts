/** Texts that the journal keeps once by hash (W4). */
import type { Db, Trx } from "./database.ts";
import type { GoalRow } from "./rows.ts";

/** Looks up all hashes at once, among the goal's own texts and the prompts that goals share. Missing ones are absent: forgotten. */
export async function loadTexts(
  db: Db | Trx,
  goal: Pick<GoalRow, "id" | "retention" | "goal_day">,
  hashes: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  if (hashes.length === 0) return new Map();
  const own = await db
    .selectFrom("blobs")
    .select(["hash", "body"])
    .where("retention", "=", goal.retention)
    .where("goal_day", "=", goal.goal_day)
    .where("goal_id", "=", goal.id)
    .where("hash", "in", hashes)
    .execute();
  const shared = await db.selectFrom("prompts").select(["hash", "body"]).where("hash", "in", hashes).execute();
  return new Map([...shared, ...own].map((row) => [row.hash, row.body]));
}
