/** Which fence a claim's row has now: who holds an older one has lost it (W3). */
import type { Db } from "./database.ts";

/** By id; ids that are gone are absent. Served by the primary key. */
export async function currentFences(
  db: Db,
  kind: "task" | "goal",
  ids: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const rows = await db
    .selectFrom(kind === "task" ? "tasks" : "goals")
    .select(["id", "fence"])
    .where("id", "in", ids)
    .execute();
  return new Map(rows.map((row) => [row.id, row.fence]));
}
