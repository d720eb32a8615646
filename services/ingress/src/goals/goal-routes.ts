/** Posting goals and looking at them. Posting calls no model and needs only Postgres: what the queue misses is sent again. */
import {
  createSubmitter,
  failpoint,
  getGoal,
  goalResourceSchema,
  goalStatuses,
  goalSummarySchema,
  listGoals,
  listSchema,
  newGoalSchema,
  storableText,
  type GoalRow,
} from "@outerloop/core";
import { z } from "zod";
import { decodeCursor, encodeCursor } from "../http/cursor.ts";
import { idempotencyKey } from "../http/idempotency-key.ts";
import { Refusal } from "../http/problem.ts";
import { defineRoute, json, type AnyRoute } from "../http/route.ts";
import { defaultMaxBodyBytes, type IngressOptions, type IngressParts } from "../parts.ts";
import { goalIdOf, noSuchGoal } from "./goal-id.ts";
import { readMultipartGoal } from "./multipart.ts";
import { requireKnown } from "../models/known-models.ts";
import { toNewGoal } from "./new-goal.ts";
import { toGoalResource, toGoalSummary } from "./resources.ts";

/** `created_at` to the microsecond, as Postgres writes it: a Date would lose the rows between two milliseconds. */
const goalCursor = z.tuple([
  z.string().regex(/^\d{4,6}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?[+-]\d\d(:\d\d){0,2}$/),
  z.string().regex(/^g_[0-9a-z]{16}$/),
]);

export function goalRoutes({ db, bus, createId, send }: IngressParts, options: IngressOptions): readonly AnyRoute[] {
  const maxBytes = options.maxBodyBytes ?? defaultMaxBodyBytes;
  const submitter = createSubmitter(db, createId);
  return [
    defineRoute(
      {
        method: "post",
        path: "/v1/goals",
        name: "createGoal",
        summary:
          "Post a goal. JSON, or multipart/form-data with a field `goal` (the JSON) and `files` whose names are their paths.",
        role: "operator",
        headers: z.object({ "idempotency-key": idempotencyKey.optional() }),
        body: {
          schema: newGoalSchema,
          required: true,
          maxBytes,
          readOther: { type: "multipart/form-data", read: readMultipartGoal },
        },
        answers: {
          202: {
            description: "Accepted; Location names the goal. The same again for a repeated Idempotency-Key.",
            schema: ["Goal", goalResourceSchema],
          },
        },
      },
      async ({ principal, headers, body }) => {
        const key = headers["idempotency-key"];
        await requireKnown(db, body.models ?? {}, "models");
        const submitted = await submitter.submit(principal, toNewGoal(body, key, options.questionDeadlineMs));
        switch (submitted.kind) {
          case "created":
            failpoint("submit.committed");
            // Not awaited: the goal stands, and a queue that is away costs it only the reconciler's next look.
            void send([submitted.job]).then(() => failpoint("submit.dispatched"));
            bus.publish(submitted.goal.id, submitted.goal.event_seq);
            return accepted(submitted.goal);
          case "repeated":
            return accepted(submitted.goal);
          case "key_taken":
            throw new Refusal(
              "conflict",
              `Idempotency-Key: was used for another request, which made goal ${submitted.goalId}. Use a new key for a new goal.`,
              {
                fields: [{ field: "Idempotency-Key", message: "was used for another request" }],
              },
            );
        }
      },
    ),

    defineRoute(
      {
        method: "get",
        path: "/v1/goals",
        name: "listGoals",
        summary: "Goals, newest first.",
        role: "viewer",
        query: z.strictObject({
          status: z.enum(goalStatuses).optional(),
          session: storableText.max(200).optional(),
          limit: z.coerce.number().int().min(1).max(100).default(50),
          cursor: z.string().max(300).optional(),
        }),
        answers: { 200: { description: "A page of goals.", schema: ["GoalList", listSchema(goalSummarySchema)] } },
      },
      async ({ principal, query }) => {
        const [createdAt, id] = query.cursor === undefined ? [] : decodeCursor(query.cursor, goalCursor);
        const rows = await listGoals(db, principal, {
          limit: query.limit + 1,
          ...(query.status === undefined ? {} : { status: query.status }),
          ...(query.session === undefined ? {} : { session: query.session }),
          ...(createdAt === undefined || id === undefined ? {} : { cursor: { createdAt, id } }),
        });
        const page = rows.slice(0, query.limit);
        const last = rows.length > query.limit ? page.at(-1) : undefined;
        return json({
          items: page.map(toGoalSummary),
          next_cursor: last === undefined ? null : encodeCursor([last.created_at_exact, last.id]),
        });
      },
    ),

    defineRoute(
      {
        method: "get",
        path: "/v1/goals/{id}",
        name: "getGoal",
        summary:
          "A goal with its tasks, usage and final answer. The id may be shortened to a beginning that only one goal has.",
        role: "viewer",
        answers: { 200: { description: "The goal.", schema: ["Goal", goalResourceSchema] } },
      },
      async ({ principal, params }) => {
        const id = await goalIdOf(db, principal, params["id"]!);
        const view = await getGoal(db, principal, id);
        if (view === undefined) throw noSuchGoal(id);
        return json(toGoalResource(view));
      },
    ),
  ];
}

function accepted(goal: GoalRow): Response {
  return json(toGoalResource({ goal, tasks: [], question: null }), 202, { location: `/v1/goals/${goal.id}` });
}
