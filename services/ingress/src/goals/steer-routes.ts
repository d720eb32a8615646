/** Cancel, pause, resume, signal. Each locks its goal first and says what came of it; work notices by itself. */
import {
  answerQuestion,
  answerSchema,
  cancelGoal,
  getGoal,
  goalResourceSchema,
  OuterloopError,
  pauseGoal,
  resumeGoal,
  signalGoal,
  failpoint,
  maxSignalBytes,
  newSignalSchema,
  resumeSchema,
  retriedSchema,
  retryGoal,
  storableText,
  type GoalId,
  type Principal,
  type Steered,
  type TaskId,
} from "@outerloop/core";
import { z } from "zod";
import { nameOf } from "../approvals/approval-routes.ts";
import { idempotencyKey } from "../http/idempotency-key.ts";
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
    return json(toGoalResource(view));
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
        return json({ goal: toGoalResource(view), plan: retried.plan, tasks: retried.tasks });
      },
    ),
    defineRoute(
      {
        method: "post",
        path: "/v1/goals/{id}/answer",
        name: "answerGoal",
        summary:
          "Answer what a goal waits to be told. Without `question` the open one is meant; naming it makes the call safe to repeat.",
        role: "operator",
        body: { schema: answerSchema, required: true, maxBytes },
        answers: {
          ...answers,
          409: { description: "The goal asks nothing, or that question was answered otherwise." },
        },
      },
      async ({ principal, params, body }) => {
        const id = await goalIdOf(db, principal, params["id"]!);
        const { text, question = null } = body;
        const steered = await answerQuestion(db, principal, id, { question, text, by: nameOf(principal) });
        if (steered.kind === "moved") wake(principal);
        return answer(principal, id, steered);
      },
    ),
    defineRoute(
      {
        method: "post",
        path: "/v1/goals/{id}/signals",
        name: "signalGoal",
        summary:
          "Send a signal. It is kept: what waits for its name goes on, and what waits later finds it. With an Idempotency-Key it is sent once.",
        role: "operator",
        headers: z.object({ "idempotency-key": idempotencyKey.optional() }),
        body: { schema: newSignalSchema, required: true, maxBytes: maxSignalBytes * 2 },
        answers,
      },
      async ({ principal, params, headers, body }) => {
        const id = await goalIdOf(db, principal, params["id"]!);
        if (Buffer.byteLength(JSON.stringify(body.payload ?? null)) > maxSignalBytes)
          throw invalid("payload", `is at most ${maxSignalBytes} bytes of JSON; put what is larger in a file`);
        const task = body.task === undefined ? null : await taskOf(principal, id, body.task);
        const steered = await signalGoal(db, principal, id, {
          name: body.name,
          payload: body.payload ?? null,
          task,
          key: headers["idempotency-key"] ?? null,
          by: nameOf(principal),
        });
        if (steered.kind === "moved") {
          failpoint("signal.committed");
          wake(principal);
        }
        return answer(principal, id, steered);
      },
    ),
  ];

  async function taskOf(principal: Principal, goal: GoalId, named: string): Promise<TaskId> {
    const view = await getGoal(db, principal, goal);
    if (view === undefined) throw noSuchGoal(goal);
    const found = view.tasks.find(({ task }) => task.id === named || task.key === named);
    if (found === undefined) throw invalid("task", `is no task of goal ${goal}`);
    return found.task.id;
  }
}
