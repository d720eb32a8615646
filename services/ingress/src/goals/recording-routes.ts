/** A goal's model traffic as a fixture, to be replayed without its models. */
import { recordGoal, recordingSchema } from "@outerloop/core";
import { defineRoute, json, type AnyRoute } from "../http/route.ts";
import type { IngressOptions, IngressParts } from "../parts.ts";
import { goalIdOf, noSuchGoal } from "./goal-id.ts";

export function recordingRoutes({ db }: IngressParts, options: IngressOptions): readonly AnyRoute[] {
  return [
    defineRoute(
      {
        method: "get",
        path: "/v1/goals/{id}/recording",
        name: "recordGoal",
        summary: "All that a goal's models were asked and answered so far, with the files that it was given.",
        role: "viewer",
        answers: { 200: { description: "The recording.", schema: ["Recording", recordingSchema] } },
      },
      async ({ principal, params }) => {
        const id = await goalIdOf(db, principal, params["id"]!);
        const recording = await recordGoal(db, principal, id, options.maxRecordingBytes);
        if (recording === undefined) throw noSuchGoal(id);
        return json(recording);
      },
    ),
  ];
}
