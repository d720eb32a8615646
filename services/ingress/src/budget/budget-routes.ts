/** What a tenant's goals may spend together. Anybody of the tenant may look; an admin sets it. */
import {
  budgetPeriods,
  listTenantBudgets,
  replaceTenantBudgets,
  tenantBudgetSchema,
  tenantLimitsRequestSchema,
  type BudgetPeriod,
  type TenantBudget,
  type TenantBudgetResource,
  type TenantLimits,
} from "@outerloop/core";
import { defineRoute, json, type AnyRoute } from "../http/route.ts";
import type { IngressParts } from "../parts.ts";

const maxBytes = 64 * 1024;
const microUsdPerUsd = 1_000_000;

export function budgetRoutes({ db, dispatch }: IngressParts): readonly AnyRoute[] {
  return [
    defineRoute(
      {
        method: "get",
        path: "/v1/budget",
        name: "getBudget",
        summary: "What all goals of the tenant may spend in a day, a month and at all (UTC), and what they have spent.",
        role: "viewer",
        answers: { 200: { description: "By period.", schema: ["TenantBudget", tenantBudgetSchema] } },
      },
      async ({ principal }) => json(toResource(await listTenantBudgets(db, principal))),
    ),
    defineRoute(
      {
        method: "put",
        path: "/v1/budget",
        name: "setBudget",
        summary:
          "Replace all limits of the tenant; a period that is left out has none. Goals that failed on them go on by /v1/goals/{id}/resume.",
        role: "admin",
        body: { schema: tenantLimitsRequestSchema, required: true, maxBytes },
        answers: { 200: { description: "The budgets as they are now.", schema: ["TenantBudget", tenantBudgetSchema] } },
      },
      async ({ principal, body }) => {
        const limits = new Map(
          budgetPeriods.flatMap((period): [BudgetPeriod, TenantLimits][] => {
            const given = body[period];
            if (given === undefined) return [];
            const microUsd = given.usd === null ? null : Math.round(given.usd * microUsdPerUsd);
            return [[period, { steps: given.steps, tokens: given.tokens, microUsd }]];
          }),
        );
        const budgets = await replaceTenantBudgets(db, principal, limits);
        // What waited for a budget looks again now.
        void dispatch(principal.tenantId).catch(() => undefined);
        return json(toResource(budgets));
      },
    ),
  ];
}

function toResource(budgets: readonly TenantBudget[]): TenantBudgetResource {
  const of = (period: BudgetPeriod) => {
    const budget = budgets.find((each) => each.period === period);
    if (budget === undefined) return null;
    const { limits, used, held, until } = budget;
    const amounts = ({ steps, tokens, microUsd }: TenantBudget["used"]) => ({
      steps,
      tokens,
      usd: microUsd / microUsdPerUsd,
    });
    return {
      limits: {
        steps: limits.steps,
        tokens: limits.tokens,
        usd: limits.microUsd === null ? null : limits.microUsd / microUsdPerUsd,
      },
      used: amounts(used),
      held: amounts(held),
      until: until?.toISOString() ?? null,
    };
  };
  return { day: of("day"), month: of("month"), total: of("total") };
}
