/** Cancel, pause, resume, signal. Each locks its goal first and says what came of it; work notices by itself. */
import {
  cancelGoal,
  getGoal,
  goalResourceSchema,
  OuterloopError,
  pauseGoal,
  resumeGoal,
  resumeSchema,
  retriedSchema,
  retryGoal,
  signalTask,
  storableText,
  type GoalId,
  type Principal,
  type Steered,
  type TaskId,
} from "@outerloop/core";
import { z } from "zod";
import { invalid } from "../http/problem.ts";
import { defineRoute, json, type AnyRoute } from "../http/route.ts";
import type { IngressParts } from "../parts.ts";
import { goalIdOf, noSuchGoal } from "./goal-id.ts";
import { toGoalResource } from "./resources.ts";

const maxBytes = 1024 * 1024;
const answers = {
  200: { description: "The goal as it is now.", schema: ["Goal", goalResourceSchema] },
  409: { description: "The goal is in no state for this." },
} as const;

export function steerRoutes({ db, bus, dispatch }: IngressParts): readonly AnyRoute[] {
  /** Tells watchers, and answers with the goal. */
  async function answer(principal: Principal, id: GoalId, steered: Steered): Promise<Response> {
    if (steered.kind === "gone") throw noSuchGoal(id);
    if (steered.kind === "refused") throw new OuterloopError("conflict", `${steered.why}.`);
    if (steered.kind === "moved") bus.publish(id, steered.goal.event_seq);
    const view = await getGoal(db, principal, id);
    if (view === undefined) throw noSuchGoal(id);
    return json(toGoalResource(view.goal, view.tasks));
  }
  /** What became due goes out now; if it can't, the reconciler sends it. */
  const wake = (principal: Principal) => void dispatch(principal.tenantId).catch(() => undefined);

  return [
    defineRoute(
      {
        method: "post",
        path: "/v1/goals/{id}/cancel",
        name: "cancelGoal",
        summary: "End a goal and all its tasks. Cancelling a cancelled goal changes nothing.",
        role: "operator",
        body: { schema: z.strictObject({ reason: storableText.max(2000).optional() }), required: false, maxBytes },
        answers,
      },
      async ({ principal, params, body }) => {
        const id = await goalIdOf(db, principal, params["id"]!);
        return answer(principal, id, await cancelGoal(db, principal, id, body.reason ?? null));
      },
    ),
    defineRoute(
      {
        method: "post",
        path: "/v1/goals/{id}/pause",
        name: "pauseGoal",
        summary: "Start nothing new for a goal; calls that run may finish.",
        role: "operator",
        body: { schema: z.strictObject({}), required: false, maxBytes },
        answers,
      },
      async ({ principal, params }) => {
        const id = await goalIdOf(db, principal, params["id"]!);
        return answer(principal, id, await pauseGoal(db, principal, id));
      },
    ),
    defineRoute(
      {
        method: "post",
        path: "/v1/goals/{id}/resume",
        name: "resumeGoal",
        summary:
          "Take a paused goal up where it was, or one that failed on a budget with more of it. `budget` gives new totals, also to a goal that runs.",
        role: "operator",
        body: { schema: resumeSchema, required: false, maxBytes },
        answers: { ...answers, 400: { description: "A total that is not larger than what is spent." } },
      },
      async ({ principal, params, body }) => {
        const id = await goalIdOf(db, principal, params["id"]!);
        const { steps, wall_ms: wallMs, tokens, usd } = body.budget ?? {};
        const microUsd = usd === undefined || usd === null ? usd : Math.round(usd * 1_000_000);
        const steered = await resumeGoal(db, principal, id, { steps, wallMs, tokens, microUsd });
        if (steered.kind === "moved") wake(principal);
        return answer(principal, id, steered);
      },
    ),
    defineRoute(
      {
        method: "post",
        path: "/v1/goals/{id}/retry",
        name: "retryGoal",
        summary:
          "Try again now what of a goal waits because a model or a service was away. Says what it was; 409 where nothing waits.",
        role: "operator",
        body: { schema: z.strictObject({}), required: false, maxBytes },
        answers: {
          200: { description: "What is due now.", schema: ["Retried", retriedSchema] },
          409: answers[409],
        },
      },
      async ({ principal, params }) => {
        const id = await goalIdOf(db, principal, params["id"]!);
        const retried = await retryGoal(db, principal, id);
        if (retried.kind === "gone") throw noSuchGoal(id);
        if (retried.kind === "refused") throw new OuterloopError("conflict", `${retried.why}.`);
        wake(principal);
        const view = await getGoal(db, principal, id);
        if (view === undefined) throw noSuchGoal(id);
        return json({ goal: toGoalResource(view.goal, view.tasks), plan: retried.plan, tasks: retried.tasks });
      },
    ),
    defineRoute(
      {
        method: "post",
        path: "/v1/goals/{id}/signals",
        name: "signalGoal",
        summary:
          "Wake what waits for a signal. `task` is an id or a key such as t3; without it, the one task that waits.",
        role: "operator",
        body: {
          schema: z.strictObject({
            name: storableText.min(1).max(200),
            payload: z.unknown().optional(),
            task: z.string().min(1).max(64).optional(),
          }),
          required: true,
          maxBytes,
        },
        answers,
      },
      async ({ principal, params, body }) => {
        const id = await goalIdOf(db, principal, params["id"]!);
        const view = await getGoal(db, principal, id);
        if (view === undefined) throw noSuchGoal(id);
        const meant = view.tasks
          .map((each) => each.task)
          .filter((task) =>
            body.task === undefined ? task.status === "waiting" : task.id === body.task || task.key === body.task,
          );
        const [task] = meant;
        if (task === undefined && body.task !== undefined) throw invalid("task", `is no task of goal ${id}`);
        if (task === undefined || meant.length > 1)
          throw invalid("task", `is required: ${meant.length} tasks of goal ${id} wait`);
        const steered = await signalTask(db, principal, id, task.id as TaskId);
        if (steered.kind === "moved") wake(principal);
        return answer(principal, id, steered);
      },
    ),
  ];
}
