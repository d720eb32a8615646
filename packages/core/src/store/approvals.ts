/** What people decide: whether an external call may run, and what became of one that was cut off. Bound to a hash of exactly what runs. */
import { sql } from "kysely";
import type { ApprovedCall } from "../domain/approval-policy.ts";
import { hasGoalEnded, type GoalStatus } from "../domain/goal.ts";
import type { GoalId, WaitId } from "../domain/ids.ts";
import { canonicalJson, type JsonObject } from "../domain/json.ts";
import type { Principal } from "../domain/principal.ts";
import { approvalDecisions, outcomeDecisions, type Resolution } from "../domain/wait.ts";
import { asPrincipal, type Db, type Trx } from "./database.ts";
import { appendEvents } from "./events.ts";
import { sha256 } from "./ids.ts";
import type { WaitRecord } from "./rows.ts";

/** SHA-256 over the canonical JSON of tool, version, arguments and policy: anything else that would run has another. */
export function approvalHash(call: ApprovedCall): string {
  return sha256(canonicalJson([call.tool, call.version, call.args, call.policy]));
}

export interface ApprovalRecord extends WaitRecord {
  readonly task_key: string;
  /** To the microsecond, for cursors. */
  readonly created_at_exact: string;
}

export interface ApprovalFilter {
  readonly status?: "open" | "decided" | "withdrawn";
  readonly goalId?: GoalId;
  readonly limit: number;
  /** The last of the page before. */
  readonly before?: { readonly at: string; readonly id: string };
}

/** Newest first. Served by the index of undecided waits, or of all. */
export async function listApprovals(db: Db, principal: Principal, filter: ApprovalFilter): Promise<ApprovalRecord[]> {
  const status = filter.status === "decided" ? "resolved" : filter.status;
  return asPrincipal(db, principal, (trx) => {
    let query = select(trx)
      .where("w.tenant_id", "=", principal.tenantId)
      .where("w.kind", "in", ["approval", "outcome"])
      .orderBy("w.created_at", "desc")
      .orderBy("w.id", "desc")
      .limit(filter.limit);
    if (status !== undefined) query = query.where("w.status", "=", status);
    if (filter.goalId !== undefined) query = query.where("w.goal_id", "=", filter.goalId);
    if (filter.before !== undefined)
      query = query.where(sql<boolean>`(w.created_at, w.id) < (${filter.before.at}::timestamptz, ${filter.before.id})`);
    return query.execute();
  });
}

export async function getApproval(db: Db, principal: Principal, id: WaitId): Promise<ApprovalRecord | undefined> {
  return asPrincipal(db, principal, (trx) => findApproval(trx, principal, id));
}

function select(trx: Trx) {
  return trx
    .selectFrom("waits as w")
    .innerJoin("tasks as t", "t.id", "w.task_id")
    .selectAll("w")
    .select("t.key as task_key")
    .select(sql<string>`w.created_at::text`.as("created_at_exact"));
}

async function findApproval(trx: Trx, principal: Principal, id: WaitId): Promise<ApprovalRecord | undefined> {
  return select(trx)
    .where("w.id", "=", id)
    .where("w.tenant_id", "=", principal.tenantId)
    .where("w.kind", "in", ["approval", "outcome"])
    .executeTakeFirst();
}

export type Decision =
  | { readonly decision: "approve" | "run_again" }
  | { readonly decision: "edit"; readonly args: JsonObject }
  | { readonly decision: "reject"; readonly reason?: string }
  | { readonly decision: "happened"; readonly result?: string };

export type Decided =
  | { readonly kind: "decided"; readonly approval: ApprovalRecord; readonly eventSeq: number }
  /** The same was decided before: nothing changes. */
  | { readonly kind: "unchanged"; readonly approval: ApprovalRecord }
  | { readonly kind: "refused"; readonly why: string }
  | { readonly kind: "gone" };

/**
 * Decides once. The goal's row is locked first (W1), so of two people who decide at the same time one is told what the other
 * did; the task that waits goes on in the same commit.
 *
 * @param seenHash what the person saw; refused where something else would run
 */
export async function decideApproval(
  db: Db,
  principal: Principal,
  by: string,
  id: WaitId,
  decision: Decision,
  seenHash?: string,
): Promise<Decided> {
  return asPrincipal(db, principal, async (trx): Promise<Decided> => {
    const found = await findApproval(trx, principal, id);
    if (found === undefined) return { kind: "gone" };
    const goal = await trx
      .selectFrom("goals")
      .select(["id", "status"])
      .where("id", "=", found.goal_id)
      .forNoKeyUpdate()
      .executeTakeFirstOrThrow();
    const approval = (await findApproval(trx, principal, id))!;
    const allowed: readonly string[] = approval.kind === "approval" ? approvalDecisions : outcomeDecisions;
    if (!allowed.includes(decision.decision))
      return {
        kind: "refused",
        why: `${id} asks ${approval.kind === "approval" ? "whether a call may run" : "what became of a call"}: it takes ${allowed.join(", ")}, not ${decision.decision}`,
      };
    if (approval.status === "resolved") {
      const before = approval.resolution as Resolution;
      return before.by === "person" && isSame(before, decision)
        ? { kind: "unchanged", approval }
        : {
            kind: "refused",
            why: `${id} was decided already: ${before.by === "person" ? `${before.decision} by ${before.principal}` : "its deadline passed"}`,
          };
    }
    if (approval.status === "withdrawn" || hasGoalEnded(goal.status as GoalStatus))
      return { kind: "refused", why: `${id} is no longer asked: its task goes on no further` };
    if (seenHash !== undefined && seenHash !== approval.hash)
      return { kind: "refused", why: `${id} asks about another call than the one you saw; look again` };

    const now = (await sql<{ at: Date }>`SELECT clock_timestamp() AS at`.execute(trx)).rows[0];
    const subject = approval.subject as { tool: string; version: string; policy: string };
    const hash = decision.decision === "edit" ? approvalHash({ ...subject, args: decision.args }) : approval.hash;
    const resolution: Resolution = {
      by: "person",
      ...decision,
      principal: by,
      at: now!.at.toISOString(),
    };
    await trx
      .updateTable("waits")
      .set({ status: "resolved", resolution: JSON.stringify(resolution), hash, resolved_at: sql`clock_timestamp()` })
      .where("id", "=", id)
      .execute();
    await appendEvents(trx, goal.id as GoalId, [
      {
        type: "approval.decided",
        task: approval.task_id,
        data: { id, key: approval.task_key, tool: approval.name, decision: decision.decision, by },
      },
    ]);
    await sql`SELECT wake_tasks(${goal.id}, ARRAY[${approval.task_id}])`.execute(trx);
    const { event_seq } = await trx
      .selectFrom("goals")
      .select("event_seq")
      .where("id", "=", goal.id)
      .executeTakeFirstOrThrow();
    return { kind: "decided", approval: (await findApproval(trx, principal, id))!, eventSeq: event_seq };
  });
}

function isSame(before: Extract<Resolution, { by: "person" }>, decision: Decision): boolean {
  return (
    before.decision === decision.decision &&
    canonicalJson(before.args ?? null) === canonicalJson(decision.decision === "edit" ? decision.args : null)
  );
}
