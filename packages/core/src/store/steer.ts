/** What people do to a goal that runs: cancel, pause, signal; to resume is in `resume.ts`. Each locks the goal's row first, as the one door does (W1). */
import { sql } from "kysely";
import { hasGoalEnded, type GoalStatus } from "../domain/goal.ts";
import type { GoalId, TaskId } from "../domain/ids.ts";
import type { Principal } from "../domain/principal.ts";
import { asPrincipal, type Db, type Trx } from "./database.ts";
import { appendEvents } from "./events.ts";
import type { GoalRow } from "./rows.ts";

export type Steered =
  | { readonly kind: "moved"; readonly goal: GoalRow }
  | { readonly kind: "unchanged"; readonly goal: GoalRow }
  | { readonly kind: "refused"; readonly goal: GoalRow; readonly why: string }
  | { readonly kind: "gone" };

/** Locks the goal in a statement of its own, then lets `move` decide with what it sees (W1). */
export async function steer<Result = Steered>(
  db: Db,
  principal: Principal,
  id: GoalId,
  move: (trx: Trx, goal: GoalRow) => Promise<Result>,
): Promise<Result | { readonly kind: "gone" }> {
  return asPrincipal(db, principal, async (trx) => {
    const goal = await trx
      .selectFrom("goals")
      .selectAll()
      .where("id", "=", id)
      .where("tenant_id", "=", principal.tenantId)
      .forNoKeyUpdate()
      .executeTakeFirst();
    return goal === undefined ? ({ kind: "gone" } as const) : move(trx, goal);
  });
}

export const liveTaskStatuses = ["pending", "ready", "running", "waiting", "reflecting"];

/** Ends the goal and all its tasks in one commit; whoever works on one finds its fence stale and stops. */
export async function cancelGoal(db: Db, principal: Principal, id: GoalId, reason: string | null): Promise<Steered> {
  return steer(db, principal, id, async (trx, goal) => {
    if (goal.status === "cancelled") return { kind: "unchanged", goal };
    if (hasGoalEnded(goal.status as GoalStatus))
      return { kind: "refused", goal, why: `goal ${id} has already ${goal.status}` };
    await trx
      .updateTable("tasks")
      .set({
        status: "cancelled",
        reason: "goal_cancelled",
        lease_id: null,
        dispatched_at: null,
        steps_reserved: 0,
        tokens_reserved: 0,
        cost_reserved: 0,
        fence: sql`fence + 1`,
        ended_at: sql`clock_timestamp()`,
      })
      .where("goal_id", "=", id)
      .where("status", "in", liveTaskStatuses)
      .execute();
    await trx
      .updateTable("goals")
      .set({
        status: "cancelled",
        detail: reason,
        lease_id: null,
        dispatched_at: null,
        live_tasks: 0,
        plan_wanted: 0,
        steps_reserved: 0,
        tokens_reserved: 0,
        cost_reserved: 0,
        plan_reserved: 0,
        plan_tokens_reserved: 0,
        plan_cost_reserved: 0,
        fence: sql`fence + 1`,
        ended_at: sql`clock_timestamp()`,
      })
      .where("id", "=", id)
      .execute();
    await sql`SELECT give_back_slice(${id})`.execute(trx);
    await appendEvents(trx, id, [{ type: "goal.cancelled", data: { reason } }]);
    return {
      kind: "moved",
      goal: await trx.selectFrom("goals").selectAll().where("id", "=", id).executeTakeFirstOrThrow(),
    };
  });
}

/** Calls that run may finish; nothing new starts. All its tasks leave what is due in the same commit. */
export async function pauseGoal(db: Db, principal: Principal, id: GoalId): Promise<Steered> {
  return steer(db, principal, id, async (trx, goal) => {
    if (goal.status === "paused") return { kind: "unchanged", goal };
    if (hasGoalEnded(goal.status as GoalStatus))
      return { kind: "refused", goal, why: `goal ${id} has already ${goal.status}` };
    await trx
      .updateTable("tasks")
      .set({ due_at: "infinity", dispatched_at: sql`CASE WHEN lease_id IS NULL THEN NULL ELSE dispatched_at END` })
      .where("goal_id", "=", id)
      .where("status", "in", liveTaskStatuses)
      .execute();
    await trx
      .updateTable("goals")
      .set({ status: "paused", paused_from: goal.status, paused_at: sql`clock_timestamp()`, due_at: "infinity" })
      .where("id", "=", id)
      .execute();
    await appendEvents(trx, id, [{ type: "goal.paused", data: {} }]);
    return {
      kind: "moved",
      goal: await trx.selectFrom("goals").selectAll().where("id", "=", id).executeTakeFirstOrThrow(),
    };
  });
}

/** Wakes what waits for this signal, and counts it for what is about to wait (W5): `wakes` goes up in any live status. */
export async function signalTask(db: Db, principal: Principal, goalId: GoalId, taskId: TaskId): Promise<Steered> {
  return steer(db, principal, goalId, async (trx, goal) => {
    if (hasGoalEnded(goal.status as GoalStatus))
      return { kind: "refused", goal, why: `goal ${goalId} has already ${goal.status}` };
    const { numUpdatedRows } = await trx
      .updateTable("tasks")
      .set({ wakes: sql`wakes + 1` })
      .where("id", "=", taskId)
      .where("goal_id", "=", goalId)
      .where("status", "in", liveTaskStatuses)
      .executeTakeFirst();
    if (numUpdatedRows === 0n) return { kind: "refused", goal, why: `task ${taskId} is not live in goal ${goalId}` };
    await trx
      .updateTable("tasks")
      .set({
        status: "running",
        wait: null,
        due_at: sql`CASE WHEN due_at = 'infinity' THEN due_at ELSE clock_timestamp() END`,
      })
      .where("id", "=", taskId)
      .where("status", "=", "waiting")
      .execute();
    return { kind: "moved", goal };
  });
}
