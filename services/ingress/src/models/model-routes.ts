/** Models for operators: routes and their state, a test of all of them, what calls took and cost, another route for a goal. */
import {
  askModelTest,
  createModelControl,
  findModelTest,
  getGoal,
  goalResourceSchema,
  goalUsage,
  goalUsageSchema,
  maxUsageDays,
  modelsResourceSchema,
  modelTestSchema,
  OuterloopError,
  readModelState,
  releaseModelSchema,
  rerouteGoal,
  rerouteSchema,
  tenantUsage,
  tenantUsageSchema,
  usageQuerySchema,
  type ModelsResource,
  type ModelState,
  type ModelTest,
  type RateLimit,
} from "@outerloop/core";
import { z } from "zod";
import { nameOf } from "../approvals/approval-routes.ts";
import { goalIdOf, noSuchGoal } from "../goals/goal-id.ts";
import { toGoalResource } from "../goals/resources.ts";
import { invalid, Refusal } from "../http/problem.ts";
import { defineRoute, json, type AnyRoute } from "../http/route.ts";
import type { IngressParts } from "../parts.ts";
import { requireKnown } from "./known-models.ts";

const maxBytes = 64 * 1024;
const microUsdPerUsd = 1_000_000;
const dayMs = 86_400_000;

export function modelRoutes({ db, createId }: Pick<IngressParts, "db" | "createId">): readonly AnyRoute[] {
  return [
    defineRoute(
      {
        method: "get",
        path: "/v1/models",
        name: "getModels",
        summary: "Which models serve which stage, which of them are held back, and what of their limits is used.",
        role: "viewer",
        answers: {
          200: { description: "As the processes that call models say.", schema: ["Models", modelsResourceSchema] },
        },
      },
      async () => json(toResource(await readModelState(db))),
    ),
    defineRoute(
      {
        method: "post",
        path: "/v1/models/tests",
        name: "testModels",
        summary:
          "Ask every model of every route for a word; costs a few tokens each. A worker does it: look at it again by its id.",
        role: "admin",
        body: { schema: z.strictObject({}), required: false, maxBytes },
        answers: {
          202: { description: "It is asked for.", schema: ["ModelTest", modelTestSchema] },
          429: { description: "Too many tests wait already." },
        },
      },
      async ({ principal }) => {
        const id = createId("modelTest");
        if (!(await askModelTest(db, id, nameOf(principal) ?? "")))
          throw new Refusal("rate_limited", "Too many tests wait already: does any process call models?");
        return json(toTest((await findModelTest(db, id))!), 202);
      },
    ),
    defineRoute(
      {
        method: "get",
        path: "/v1/models/tests/{id}",
        name: "getModelTest",
        summary: "A test of all routes; `results` is null until it is done. Kept for a day.",
        role: "admin",
        answers: { 200: { description: "The test.", schema: ["ModelTest", modelTestSchema] } },
      },
      async ({ params }) => {
        const test = await findModelTest(db, params["id"]!);
        if (test === undefined) throw new OuterloopError("not_found", `There is no test ${params["id"]}.`);
        return json(toTest(test));
      },
    ),
    defineRoute(
      {
        method: "post",
        path: "/v1/models/release",
        name: "releaseModel",
        summary:
          "Let a model that is held back be called again, without waiting for its next probe. All processes know within two seconds.",
        role: "admin",
        body: { schema: releaseModelSchema, required: true, maxBytes },
        answers: {
          200: { description: "Models as they are now.", schema: ["Models", modelsResourceSchema] },
          404: { description: "No such model is held back." },
        },
      },
      async ({ body }) => {
        const { held } = await readModelState(db);
        if (!held.some((each) => each.model === body.model))
          throw new OuterloopError("not_found", `${body.model} is not held back.`);
        await createModelControl(db).release(body.model);
        return json(toResource(await readModelState(db)));
      },
    ),
    defineRoute(
      {
        method: "put",
        path: "/v1/goals/{id}/models",
        name: "rerouteGoal",
        summary:
          "Name the models of a goal or of one of its tasks, by stage; replaces what was said before. Calls that begin later go by it.",
        role: "operator",
        body: { schema: rerouteSchema, required: true, maxBytes },
        answers: {
          200: { description: "The goal as it is now.", schema: ["Goal", goalResourceSchema] },
          409: { description: "The goal has ended." },
        },
      },
      async ({ principal, params, body }) => {
        const id = await goalIdOf(db, principal, params["id"]!);
        await requireKnown(db, body.models, "models");
        const rerouted = await rerouteGoal(db, principal, id, body.task ?? null, body.models);
        if (rerouted.kind === "gone") throw noSuchGoal(id);
        if (rerouted.kind === "no_task") throw invalid("task", `is no task of goal ${id}`);
        if (rerouted.kind === "refused") throw new OuterloopError("conflict", `${rerouted.why}.`);
        return json(toGoalResource((await getGoal(db, principal, id))!));
      },
    ),
    defineRoute(
      {
        method: "get",
        path: "/v1/goals/{id}/usage",
        name: "getGoalUsage",
        summary: "What a goal's model calls took and cost, by task, stage and model.",
        role: "viewer",
        answers: { 200: { description: "Its usage.", schema: ["GoalUsage", goalUsageSchema] } },
      },
      async ({ principal, params }) => {
        const id = await goalIdOf(db, principal, params["id"]!);
        const usage = await goalUsage(db, principal, id);
        if (usage === undefined) throw noSuchGoal(id);
        return json(usage);
      },
    ),
    defineRoute(
      {
        method: "get",
        path: "/v1/usage",
        name: "getUsage",
        summary:
          "What the model calls of the tenant's goals took and cost, by model and stage: of goals created from a day to a day (UTC).",
        role: "viewer",
        query: usageQuerySchema,
        answers: { 200: { description: "Its usage.", schema: ["TenantUsage", tenantUsageSchema] } },
      },
      async ({ principal, query }) => {
        const today = new Date().toISOString().slice(0, 10);
        const { to = today } = query;
        const { from = `${to.slice(0, 8)}01` } = query;
        const days = (Date.parse(to) - Date.parse(from)) / dayMs;
        if (days < 0) throw invalid("from", "is after `to`");
        if (days >= maxUsageDays) throw invalid("from", `is more than ${maxUsageDays} days before \`to\``);
        const { total, rows } = await tenantUsage(db, principal, from, to);
        return json({ from, to, total, rows: rows.map(({ task: _task, ...row }) => row) });
      },
    ),
  ];
}

function toResource({ views, held, used }: ModelState): ModelsResource {
  const rate = (limit: RateLimit) => ({
    requests_per_minute: limit.requestsPerMinute ?? null,
    tokens_per_minute: limit.tokensPerMinute ?? null,
  });
  return {
    views: views.map(({ services, processes, routes, limits, overrides }) => ({
      services: [...services],
      processes,
      overrides,
      routes: routes.map(({ use, models }) => ({
        use,
        models: models.map(({ name, price }) => ({
          name,
          price: price && { ...price, input: price.input / microUsdPerUsd, output: price.output / microUsdPerUsd },
        })),
      })),
      limits: limits.map(({ target, tenant, concurrency, ...limit }) => ({
        target,
        ...rate(limit),
        tenant: rate(tenant),
        concurrency: concurrency ?? null,
      })),
    })),
    held: held.map(({ leftMs, failedProbes, ...row }) => ({ ...row, left_ms: leftMs, failed_probes: failedProbes })),
    used: used.map(({ scope, waiting, ...row }) => ({ target: scope, ...row, tenants_waiting: waiting })),
  };
}

function toTest({ id, askedAt, result }: ModelTest) {
  return { id, asked_at: askedAt.toISOString(), results: result };
}
