/** What waits for a person: external calls before they run, and those of which nobody knows whether they ran. */
import {
  approvalResourceSchema,
  approvalStatuses,
  canonicalJson,
  decideApproval,
  decisionSchema,
  failpoint,
  getApproval,
  listApprovals,
  listSchema,
  nameOfPrincipal,
  OuterloopError,
  storable,
  type ApprovalRecord,
  type ApprovalResource,
  type Decision,
  type Principal,
  type WaitId,
} from "@outerloop/core";
import { z } from "zod";
import { goalIdOf } from "../goals/goal-id.ts";
import { decodeCursor, encodeCursor } from "../http/cursor.ts";
import { invalid } from "../http/problem.ts";
import { defineRoute, json, type AnyRoute } from "../http/route.ts";
import type { IngressOptions, IngressParts } from "../parts.ts";

const maxBytes = 1024 * 1024;
const fullId = /^a_[0-9a-z]{16}$/;
const approvalCursor = z.tuple([
  z.string().regex(/^\d{4,6}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?[+-]\d\d(:\d\d){0,2}$/),
  z.string().regex(/^a_[0-9a-z]{16}$/),
]);

export function approvalRoutes(
  { db, bus, dispatch }: IngressParts,
  { tools }: Pick<IngressOptions, "tools">,
): readonly AnyRoute[] {
  return [
    defineRoute(
      {
        method: "get",
        path: "/v1/approvals",
        name: "listApprovals",
        summary: "What waits for a person's decision, newest first; `status=decided` for what was decided.",
        role: "viewer",
        query: z.strictObject({
          status: z.enum(approvalStatuses).default("open"),
          goal: z.string().min(1).max(64).optional(),
          limit: z.coerce.number().int().min(1).max(100).default(50),
          cursor: z.string().max(300).optional(),
        }),
        answers: {
          200: { description: "A page of approvals.", schema: ["ApprovalList", listSchema(approvalResourceSchema)] },
        },
      },
      async ({ principal, query }) => {
        const [at, id] = query.cursor === undefined ? [] : decodeCursor(query.cursor, approvalCursor);
        const rows = await listApprovals(db, principal, {
          status: query.status,
          limit: query.limit + 1,
          ...(query.goal === undefined ? {} : { goalId: await goalIdOf(db, principal, query.goal) }),
          ...(at === undefined || id === undefined ? {} : { before: { at, id } }),
        });
        const page = rows.slice(0, query.limit);
        const last = rows.length > query.limit ? page.at(-1) : undefined;
        return json({
          items: page.map(toApprovalResource),
          next_cursor: last === undefined ? null : encodeCursor([last.created_at_exact, last.id]),
        });
      },
    ),
    defineRoute(
      {
        method: "get",
        path: "/v1/approvals/{id}",
        name: "getApproval",
        summary: "One approval, with exactly what will run.",
        role: "viewer",
        answers: { 200: { description: "The approval.", schema: ["Approval", approvalResourceSchema] } },
      },
      async ({ principal, params }) => json(toApprovalResource(await find(principal, params["id"]!))),
    ),
    defineRoute(
      {
        method: "post",
        path: "/v1/approvals/{id}",
        name: "decideApproval",
        summary:
          "Decide. A call that has not run takes approve, edit (with other args) or reject; one that may have run takes happened, run_again or reject. The same decision again changes nothing.",
        role: "operator",
        body: { schema: decisionSchema, required: true, maxBytes },
        answers: {
          200: { description: "The approval as decided.", schema: ["Approval", approvalResourceSchema] },
          409: {
            description: "It was decided otherwise, is no longer asked, or asks about another call than the one seen.",
          },
        },
      },
      async ({ principal, params, body }) => {
        const approval = await find(principal, params["id"]!);
        const { hash, ...decision } = body;
        // What is approved is what runs, so nothing is taken out of it silently.
        if (decision.decision === "edit" && canonicalJson(storable(decision.args)) !== canonicalJson(decision.args))
          throw invalid("args", "must be well-formed Unicode without NUL");
        if (decision.decision === "edit" && tools?.get(approval.name) !== undefined) {
          const fault = tools.check({ name: approval.name, args: decision.args });
          if (fault !== null) throw invalid("args", fault);
        }
        const decided = await decideApproval(
          db,
          principal,
          nameOf(principal),
          approval.id as WaitId,
          decision as Decision,
          hash,
        );
        switch (decided.kind) {
          case "gone":
            throw noSuchApproval(params["id"]!);
          case "refused":
            throw new OuterloopError("conflict", `${decided.why}.`);
          case "decided":
            failpoint("decision.committed");
            bus.publish(decided.approval.goal_id, decided.eventSeq);
            // What became due goes out now; if it can't, the reconciler sends it.
            void dispatch(principal.tenantId).catch(() => undefined);
            return json(toApprovalResource(decided.approval));
          case "unchanged":
            return json(toApprovalResource(decided.approval));
        }
      },
    ),
  ];

  async function find(principal: Principal, id: string): Promise<ApprovalRecord> {
    const approval = fullId.test(id) ? await getApproval(db, principal, id as WaitId) : undefined;
    if (approval === undefined) throw noSuchApproval(id);
    return approval;
  }
}

function noSuchApproval(id: string): OuterloopError {
  return new OuterloopError("not_found", `There is no approval ${id}.`);
}

/** Who decided, as it is kept. */
export function nameOf(principal: Principal): string {
  return principal.kind === "key" ? `key ${principal.keyId}` : nameOfPrincipal(principal);
}

function toApprovalResource(row: ApprovalRecord): ApprovalResource {
  const subject = row.subject as {
    tool: string;
    version: string;
    args: Record<string, unknown>;
    key?: string;
    sent_at?: string;
    same_call?: NonNullable<ApprovalResource["same_call"]>;
  };
  const resolution = row.resolution as ApprovalResource["decision"] & { by: string; principal?: string };
  return {
    id: row.id,
    kind: row.kind as ApprovalResource["kind"],
    status: row.status === "resolved" ? "decided" : (row.status as "open" | "withdrawn"),
    goal: row.goal_id,
    task: { id: row.task_id, key: row.task_key },
    tool: subject.tool,
    version: subject.version,
    args: subject.args,
    hash: row.hash,
    idempotency_key: subject.key ?? null,
    sent_at: subject.sent_at ?? null,
    same_call: subject.same_call ?? null,
    requested_at: row.created_at.toISOString(),
    deadline_at: row.deadline_at.toISOString(),
    on_deadline: row.on_deadline as ApprovalResource["on_deadline"],
    decision:
      row.resolution === null
        ? null
        : resolution!.by === "person"
          ? {
              decision: resolution!.decision,
              by: resolution!.principal ?? null,
              args: resolution!.args ?? null,
              reason: resolution!.reason ?? null,
              result: resolution!.result ?? null,
            }
          : { decision: "expired", by: null, args: null, reason: null, result: null },
    decided_at: row.resolved_at?.toISOString() ?? null,
  };
}
