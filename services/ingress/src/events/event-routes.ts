/** `GET /v1/goals/:id/events`: what happens to a goal, as it happens. */
import {
  endsStream,
  eventResourceSchema,
  modelDeltaSchema,
  newestEvents,
  resolveGoalId,
  type GoalId,
} from "@outerloop/core";
import { z } from "zod";
import type { Access } from "../access/access.ts";
import { createRemembered } from "../access/remembered.ts";
import { invalid, Refusal } from "../http/problem.ts";
import { defineRoute, type AnyRoute } from "../http/route.ts";
import type { IngressParts } from "../parts.ts";
import type { EventPages } from "./event-pages.ts";
import { openEventStream, type StreamTimes } from "./event-stream.ts";
import { openTextFeed } from "./text-feed.ts";
import type { Watchers } from "./watchers.ts";

const eventNumber = z.string().regex(/^\d{1,15}$/, "must be the number of an event");

/** Which goal an id names, for those who come back all at once. */
const rememberedGoals = { ttlMs: 5000, size: 1000 };

export function eventRoutes(
  { db, bus }: IngressParts,
  access: Access,
  watchers: Watchers,
  pages: EventPages,
  times: StreamTimes,
): readonly AnyRoute[] {
  /** By tenant and what was asked for, so that nobody is answered with what another may see. */
  const goalIds = createRemembered<GoalId>(rememberedGoals, Date.now);

  /** Whether the goal has ended and its last event is not above `after`: nothing will ever come. */
  async function isOver(goalId: GoalId, after: number): Promise<boolean> {
    if (after === 0) return false;
    const { events } = await pages.read(goalId, after - 1, after);
    const [last] = events;
    if (last === undefined) {
      const newest = (await newestEvents(db, [goalId])).get(goalId) ?? 0;
      if (after > newest) throw invalid("Last-Event-ID", `is above ${newest}, the newest event of goal ${goalId}`);
      return false;
    }
    if (events.length > 1 || !endsStream(last.type)) return false;
    // One that failed on a budget may have been given more a moment ago, of which no page knows yet.
    return ((await newestEvents(db, [goalId])).get(goalId) ?? 0) <= after;
  }

  return [
    defineRoute(
      {
        method: "get",
        path: "/v1/goals/{id}/events",
        name: "watchGoal",
        summary:
          "Server-Sent Events from the start, or after Last-Event-ID (or `after`). Ids count the goal's events from 1 without a gap. Ends with the goal. With `deltas=true` also what models are writing, as `model.delta` without an id: shown and forgotten, never repeated, and left out where the reader is slow.",
        role: "viewer",
        query: z.strictObject({ after: eventNumber.optional(), deltas: z.enum(["true", "false"]).optional() }),
        headers: z.object({ "last-event-id": eventNumber.optional() }),
        answers: {
          200: {
            description:
              "`id` is the number, `event` the type, `data` the event. Of `model.delta`, `data` is a ModelDelta and there is no `id`.",
            content: "text/event-stream",
            schema: ["Event", eventResourceSchema],
            also: ["ModelDelta", modelDeltaSchema],
          },
          204: { description: "The goal has ended and nothing came after this number: do not reconnect." },
        },
      },
      async ({ principal, params, query, headers, request }) => {
        const asked = params["id"]!;
        const find = () => resolveGoalId(db, principal, asked);
        const goalId = (await goalIds.lookUp(`${principal.tenantId} ${asked}`, find)) ?? (await find());
        // A browser that reconnects repeats the URL it began with, so the header says more than the query.
        const after = Number(headers["last-event-id"] ?? query.after ?? 0);
        if (await isOver(goalId, after)) return new Response(null, { status: 204 });
        if (watchers.full)
          throw new Refusal(
            "overloaded",
            "Too many event streams are open here. Try again, or ask for the goal itself now and then.",
            { headers: { "retry-after": "5" } },
          );
        const source = {
          read: (above: number) => pages.read(goalId, above),
          watch: () => watchers.watch(goalId),
          ...(query.deltas === "true" && { hearTexts: (nudge: () => void) => openTextFeed(bus, goalId, nudge) }),
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
