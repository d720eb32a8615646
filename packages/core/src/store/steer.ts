/** What people do to a goal that runs: cancel, pause, signal; to resume is in `resume.ts`. Each locks the goal's row first, as the one door does (W1). */
import { sql } from "kysely";
import { hasGoalEnded, type GoalStatus } from "../domain/goal.ts";
import type { GoalId, TaskId } from "../domain/ids.ts";
import { canonicalJson, storable } from "../domain/json.ts";
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
    const goal = await lockGoal(trx, principal, id);
    return goal === undefined ? ({ kind: "gone" } as const) : move(trx, goal);
  });
}

async function lockGoal(trx: Trx, principal: Principal, id: GoalId): Promise<GoalRow | undefined> {
  return trx
    .selectFrom("goals")
    .selectAll()
    .where("id", "=", id)
    .where("tenant_id", "=", principal.tenantId)
    .forNoKeyUpdate()
    .executeTakeFirst();
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
    await sql`SELECT settle_sleep(${id})`.execute(trx);
    await appendEvents(trx, id, [{ type: "goal.paused", data: {} }]);
    return {
      kind: "moved",
      goal: await trx.selectFrom("goals").selectAll().where("id", "=", id).executeTakeFirstOrThrow(),
    };
  });
}

/** Of one signal, as JSON; a larger one belongs in a file. */
export const maxSignalBytes = 64 * 1024;
/** Signals of one goal: read from the first on by every attempt that waits, so they are not a channel for data. */
export const maxSignals = 1000;

export interface NewSignal {
  readonly name: string;
  readonly payload: unknown;
  /** Meant for one task; else for all. */
  readonly task: TaskId | null;
  /** The sender's key: the same one again is the same signal. */
  readonly key: string | null;
  readonly by: string;
}

export type Signalled =
  | Exclude<Steered, { kind: "moved" }>
  | { readonly kind: "moved"; readonly goal: GoalRow; readonly woke: number };

/**
 * Keeps the signal and gives it to what waits for it. One that comes early is there for whoever waits later (W5): `wakes` goes
 * up in any live status, so a task that is about to sleep looks again.
 */
export async function signalGoal(db: Db, principal: Principal, goalId: GoalId, signal: NewSignal): Promise<Signalled> {
  return asPrincipal(db, principal, async (trx): Promise<Signalled> => {
    const goal = await lockGoal(trx, principal, goalId);
    if (goal === undefined) return { kind: "gone" };
    const payload = storable(signal.payload ?? null);
    if (signal.key !== null) {
      const sent = await trx
        .selectFrom("signals")
        .select(["name", "payload", "task_id"])
        .where("goal_id", "=", goalId)
        .where("key", "=", signal.key)
        .executeTakeFirst();
      if (sent !== undefined)
        return sent.name === signal.name &&
          sent.task_id === signal.task &&
          canonicalJson(sent.payload) === canonicalJson(payload)
          ? { kind: "unchanged", goal }
          : {
              kind: "refused",
              goal,
              why: `another signal was sent to goal ${goalId} with the Idempotency-Key ${signal.key}`,
            };
    }
    if (hasGoalEnded(goal.status as GoalStatus))
      return { kind: "refused", goal, why: `goal ${goalId} has already ${goal.status}` };
    if (goal.signal_seq >= maxSignals)
      return {
        kind: "refused",
        goal,
        why: `goal ${goalId} has had ${maxSignals} signals, which is the most a goal takes`,
      };
    await trx
      .insertInto("signals")
      .values({
        tenant_id: principal.tenantId,
        goal_id: goalId,
        number: goal.signal_seq + 1,
        name: signal.name,
        task_id: signal.task,
        payload: payload === null ? null : JSON.stringify(payload),
        key: signal.key,
        sent_by: signal.by,
      })
      .execute();
    await trx
      .updateTable("goals")
      .set({ signal_seq: goal.signal_seq + 1 })
      .where("id", "=", goalId)
      .execute();
    const { rows } = await sql<{ n: number }>`SELECT wake_tasks(${goalId}, match_signals(${goalId})) AS n`.execute(trx);
    // Whoever is about to wait for it has not said so yet.
    await trx
      .updateTable("tasks")
      .set({ wakes: sql`wakes + 1` })
      .where("goal_id", "=", goalId)
      .where("status", "in", ["ready", "running"])
      .execute();
    return { kind: "moved", goal, woke: rows[0]?.n ?? 0 };
  });
}
