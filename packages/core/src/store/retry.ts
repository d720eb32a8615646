/** By hand: what of a goal backs off, since a model or a service was away, is due now. */
import { sql } from "kysely";
import { hasGoalEnded, type GoalStatus } from "../domain/goal.ts";
import type { GoalId } from "../domain/ids.ts";
import type { Principal } from "../domain/principal.ts";
import type { Db } from "./database.ts";
import { steer } from "./steer.ts";

export type Retried =
  /** `tasks`: keys of those that backed off; `plan`: whether its planner did. */
  | { readonly kind: "retried"; readonly plan: boolean; readonly tasks: readonly string[] }
  | { readonly kind: "refused"; readonly why: string }
  | { readonly kind: "gone" };

export async function retryGoal(db: Db, principal: Principal, id: GoalId): Promise<Retried> {
  return steer<Retried>(db, principal, id, async (trx, goal) => {
    const status = goal.status as GoalStatus;
    if (hasGoalEnded(status)) return { kind: "refused", why: `goal ${id} has already ${status}` };
    if (status === "paused") return { kind: "refused", why: `goal ${id} is paused: resume it instead` };
    const tasks = await trx
      .updateTable("tasks")
      .set({ due_at: sql`clock_timestamp()`, dispatched_at: null, backoffs: 0 })
      .where("goal_id", "=", id)
      .where("backoffs", ">", 0)
      .where("lease_id", "is", null)
      .where("status", "in", ["ready", "running", "reflecting"])
      .where("due_at", ">", sql<Date>`clock_timestamp()`)
      .returning(["key", "number"])
      .execute();
    const plan = await trx
      .updateTable("goals")
      .set({ due_at: sql`clock_timestamp()`, dispatched_at: null, plan_backoffs: 0 })
      .where("id", "=", id)
      .where("plan_backoffs", ">", 0)
      .where("lease_id", "is", null)
      .where("due_at", ">", sql<Date>`clock_timestamp()`)
      .returning("id")
      .execute();
    // A provider that said to come back later is asked now all the same.
    const slept = await sql<{ task_id: string }>`
      UPDATE waits SET status = 'resolved', resolved_at = clock_timestamp(), resolution = '{"by": "deadline"}'
      WHERE goal_id = ${id} AND status = 'open' AND kind = 'timer' AND name = 'model' RETURNING task_id`.execute(trx);
    const woken = slept.rows.map((row) => row.task_id);
    if (woken.length > 0) {
      await sql`SELECT wake_tasks(${id}, ${sql.val(woken)}::text[])`.execute(trx);
      tasks.push(...(await trx.selectFrom("tasks").select(["key", "number"]).where("id", "in", woken).execute()));
    }
    if (tasks.length === 0 && plan.length === 0)
      return {
        kind: "refused",
        why: `nothing of goal ${id} waits to be tried again: it is ${status}, and no model or service that it asked was away`,
      };
    return {
      kind: "retried",
      plan: plan.length > 0,
      tasks: tasks.toSorted((a, b) => a.number - b.number).map((task) => task.key),
    };
  });
}
