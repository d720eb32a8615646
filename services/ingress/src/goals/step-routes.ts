/** The journal: what a goal did, step by step, and the exact model request of any of them. */
import {
  getStep,
  listSchema,
  listSteps,
  OuterloopError,
  resolveGoalId,
  shownStepSchema,
  stepResourceSchema,
} from "@outerloop/core";
import { z } from "zod";
import { decodeCursor, encodeCursor } from "../http/cursor.ts";
import { defineRoute, json, type AnyRoute } from "../http/route.ts";
import type { IngressParts } from "../parts.ts";
import { toShownStep, toStepResource } from "./resources.ts";

const stepCursor = z.int().min(0);

export function stepRoutes({ db }: IngressParts): readonly AnyRoute[] {
  return [
    defineRoute(
      {
        method: "get",
        path: "/v1/goals/{id}/steps",
        name: "listSteps",
        summary: "The journal of a goal, in the order in which it was written.",
        role: "viewer",
        query: z.strictObject({
          limit: z.coerce.number().int().min(1).max(500).default(100),
          cursor: z.string().max(300).optional(),
        }),
        answers: { 200: { description: "A page of steps.", schema: ["StepList", listSchema(stepResourceSchema)] } },
      },
      async ({ principal, params, query }) => {
        const goalId = await resolveGoalId(db, principal, params["id"]!);
        const after = query.cursor === undefined ? 0 : decodeCursor(query.cursor, stepCursor);
        const rows = await listSteps(db, principal, { goalId, after, limit: query.limit + 1 });
        const page = rows.slice(0, query.limit);
        return json({
          items: page.map(toStepResource),
          next_cursor: rows.length > query.limit ? encodeCursor(page.at(-1)!.number) : null,
        });
      },
    ),
    defineRoute(
      {
        method: "get",
        path: "/v1/steps/{id}",
        name: "getStep",
        summary: "One step. A model step comes with its request, rebuilt from the journal, and the hash of it.",
        role: "viewer",
        answers: { 200: { description: "The step.", schema: ["ShownStep", shownStepSchema] } },
      },
      async ({ principal, params }) => {
        const shown = await getStep(db, principal, params["id"]!);
        if (shown === undefined) throw new OuterloopError("not_found", `There is no step ${params["id"]}.`);
        return json(toShownStep(shown));
      },
    ),
  ];
}
