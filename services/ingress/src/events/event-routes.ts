/** `GET /v1/goals/:id/events`: what happens to a goal, as it happens. */
import {
  asPrincipal,
  endsStream,
  eventResourceSchema,
  eventsAfter,
  newestEvents,
  resolveGoalId,
  type GoalId,
  type Principal,
} from "@outerloop/core";
import { z } from "zod";
import type { Access } from "../access/access.ts";
import { invalid, Refusal } from "../http/problem.ts";
import { defineRoute, type AnyRoute } from "../http/route.ts";
import type { IngressParts } from "../parts.ts";
import { openEventStream, type StreamTimes } from "./event-stream.ts";
import type { Watchers } from "./watchers.ts";

const eventNumber = z.string().regex(/^\d{1,15}$/, "must be the number of an event");

export function eventRoutes(
  { db }: IngressParts,
  access: Access,
  watchers: Watchers,
  times: StreamTimes,
): readonly AnyRoute[] {
  /** Whether the goal has ended and its last event is not above `after`: nothing will ever come. */
  async function isOver(principal: Principal, goalId: GoalId, after: number): Promise<boolean> {
    return asPrincipal(db, principal, async (trx) => {
      const newest = (await newestEvents(trx, [goalId])).get(goalId) ?? 0;
      if (after > newest) throw invalid("Last-Event-ID", `is above ${newest}, the newest event of goal ${goalId}`);
      if (after < newest) return false;
      const [last] = await eventsAfter(trx, goalId, newest - 1, 1);
      return last !== undefined && endsStream(last.type);
    });
  }

  return [
    defineRoute(
      {
        method: "get",
        path: "/v1/goals/{id}/events",
        name: "watchGoal",
        summary:
          "Server-Sent Events from the start, or after Last-Event-ID (or `after`). Ids count the goal's events from 1 without a gap. Ends with the goal.",
        role: "viewer",
        query: z.strictObject({ after: eventNumber.optional() }),
        headers: z.object({ "last-event-id": eventNumber.optional() }),
        answers: {
          200: {
            description: "`id` is the number, `event` the type, `data` the event.",
            content: "text/event-stream",
            schema: ["Event", eventResourceSchema],
          },
          204: { description: "The goal has ended and nothing came after this number: do not reconnect." },
        },
      },
      async ({ principal, params, query, headers, request }) => {
        const goalId = await resolveGoalId(db, principal, params["id"]!);
        // A browser that reconnects repeats the URL it began with, so the header says more than the query.
        const after = Number(headers["last-event-id"] ?? query.after ?? 0);
        if (await isOver(principal, goalId, after)) return new Response(null, { status: 204 });
        if (watchers.full)
          throw new Refusal(
            "overloaded",
            "Too many event streams are open here. Try again, or ask for the goal itself now and then.",
            { headers: { "retry-after": "5" } },
          );
        const source = {
          read: (above: number, limit: number) =>
            asPrincipal(db, principal, (trx) => eventsAfter(trx, goalId, above, limit)),
          watch: () => watchers.watch(goalId),
          mayGoOn: () =>
            access.require(request, "viewer").then(
              () => true,
              // A database that is away for a moment is no reason to send anybody off.
              (thrown: unknown) => !(thrown instanceof Refusal),
            ),
        };
        return new Response(openEventStream(source, after, times), {
          headers: {
            "content-type": "text/event-stream",
            "cache-control": "no-store, no-transform",
            "x-accel-buffering": "no",
          },
        });
      },
    ),
  ];
}
