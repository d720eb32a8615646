/** What a goal, or one of its tasks, says about its models, changed while it runs: calls that begin later go by it. */
import type { GoalId } from "../domain/ids.ts";
import type { RouteOverrides } from "../domain/model.ts";
import type { Principal } from "../domain/principal.ts";
import { hasGoalEnded, type GoalStatus } from "../domain/goal.ts";
import type { Db } from "./database.ts";
import { steer, type Steered } from "./steer.ts";

export type Rerouted = Steered | { readonly kind: "no_task" };

/** @param task an id or a key; null for the goal */
export async function rerouteGoal(
  db: Db,
  principal: Principal,
  id: GoalId,
  task: string | null,
  models: RouteOverrides,
): Promise<Rerouted> {
  const said = Object.keys(models).length === 0 ? null : JSON.stringify(models);
  return steer<Rerouted>(db, principal, id, async (trx, goal) => {
    if (hasGoalEnded(goal.status as GoalStatus))
      return { kind: "refused", goal, why: `goal ${id} has already ${goal.status}` };
    if (task === null) {
      await trx.updateTable("goals").set({ models: said }).where("id", "=", id).execute();
      return { kind: "unchanged", goal };
    }
    const { numUpdatedRows } = await trx
      .updateTable("tasks")
      .set({ models: said })
      .where("goal_id", "=", id)
      .where((each) => each.or([each("id", "=", task), each("key", "=", task)]))
      .executeTakeFirst();
    return numUpdatedRows === 0n ? { kind: "no_task" } : { kind: "unchanged", goal };
  });
}
