/** What a claim's row says by now: who holds an older fence has lost it (W3), and calls that begin later go by the models that it names. */
import type { RouteOverrides } from "../domain/model.ts";
import { overridesOf } from "./caller.ts";
import type { Db } from "./database.ts";

export interface CurrentClaim {
  readonly fence: number;
  /** As `Caller.overrides`. */
  readonly overrides: readonly RouteOverrides[];
}

/** By id; ids that are gone are absent. Served by the primary keys. */
export async function currentClaims(
  db: Db,
  kind: "task" | "goal",
  ids: readonly string[],
): Promise<ReadonlyMap<string, CurrentClaim>> {
  if (kind === "goal") {
    const rows = await db.selectFrom("goals").select(["id", "fence", "models"]).where("id", "in", ids).execute();
    return new Map(rows.map((row) => [row.id, { fence: row.fence, overrides: overridesOf(row) }]));
  }
  const rows = await db
    .selectFrom("tasks as t")
    .innerJoin("goals as g", "g.id", "t.goal_id")
    .select(["t.id", "t.fence", "g.models", "t.models as own"])
    .where("t.id", "in", ids)
    .execute();
  return new Map(
    rows.map((row) => [row.id, { fence: row.fence, overrides: overridesOf(row, row.own as RouteOverrides | null) }]),
  );
}
