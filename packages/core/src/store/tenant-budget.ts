/**
 * A tenant's budgets: what all its goals together may spend in a day, a month or at all. Goals are lent slices of them
 * (`lend_to_goal`), so what is used is told together with what goals hold and have not used.
 */
import { sql } from "kysely";
import type { Principal } from "../domain/principal.ts";
import { budgetPeriods, type BudgetPeriod } from "../domain/budget.ts";
import { asPrincipal, type Db, type Trx } from "./database.ts";

/** null: no limit. */
export interface TenantLimits {
  readonly steps: number | null;
  readonly tokens: number | null;
  readonly microUsd: number | null;
}

export interface TenantBudget {
  readonly period: BudgetPeriod;
  readonly limits: TenantLimits;
  /** Spent, and held by goals that go on. Counted from when the first limit of this period was set. */
  readonly used: { readonly steps: number; readonly tokens: number; readonly microUsd: number };
  readonly held: { readonly steps: number; readonly tokens: number; readonly microUsd: number };
  /** When it begins anew; null for never. */
  readonly until: Date | null;
}

export async function listTenantBudgets(db: Db, principal: Principal): Promise<readonly TenantBudget[]> {
  return asPrincipal(db, principal, (trx) => read(trx, principal.tenantId));
}

/** Replaces all limits of the tenant. Goals that run are held to the new ones from their next step on. */
export async function replaceTenantBudgets(
  db: Db,
  principal: Principal,
  limits: ReadonlyMap<BudgetPeriod, TenantLimits>,
): Promise<readonly TenantBudget[]> {
  return asPrincipal(db, principal, async (trx) => {
    await trx.deleteFrom("tenant_budgets").where("tenant_id", "=", principal.tenantId).execute();
    const rows = [...limits].map(([period, { steps, tokens, microUsd }]) => ({
      tenant_id: principal.tenantId,
      period,
      steps,
      tokens,
      micro_usd: microUsd,
    }));
    if (rows.length > 0)
      await trx
        .insertInto("tenant_budgets")
        .values(rows)
        // Somebody else set them in this very moment: the later one stands.
        .onConflict((conflict) =>
          conflict.columns(["tenant_id", "period"]).doUpdateSet((eb) => ({
            steps: eb.ref("excluded.steps"),
            tokens: eb.ref("excluded.tokens"),
            micro_usd: eb.ref("excluded.micro_usd"),
            changed_at: sql<Date>`clock_timestamp()`,
          })),
        )
        .execute();
    return read(trx, principal.tenantId);
  });
}

interface Row {
  readonly period: BudgetPeriod;
  readonly steps: number | null;
  readonly tokens: number | null;
  readonly micro_usd: number | null;
  readonly taken_steps: number;
  readonly taken_tokens: number;
  readonly taken_micro_usd: number;
  readonly held_steps: number;
  readonly held_tokens: number;
  readonly held_micro_usd: number;
  readonly until: Date | null;
}

async function read(trx: Trx, tenantId: string): Promise<readonly TenantBudget[]> {
  const { rows } = await sql<Row>`
    SELECT l.period, l.steps, l.tokens, l.micro_usd, nullif(budget_period_end(l.period), 'infinity') AS until,
      coalesce(u.steps, 0) AS taken_steps, coalesce(u.tokens, 0) AS taken_tokens, coalesce(u.micro_usd, 0) AS taken_micro_usd,
      coalesce(h.steps, 0)::bigint AS held_steps, coalesce(h.tokens, 0)::bigint AS held_tokens, coalesce(h.micro_usd, 0)::bigint AS held_micro_usd
    FROM tenant_budgets l
    LEFT JOIN tenant_budget_use u ON u.tenant_id = l.tenant_id AND u.period = l.period AND u.since = budget_period_start(l.period)
    LEFT JOIN LATERAL (
      SELECT sum(greatest(g.lent_steps - g.steps_used, 0)) AS steps, sum(greatest(g.lent_tokens - g.tokens_used, 0)) AS tokens,
        sum(greatest(g.lent_micro_usd - g.cost_micro_usd, 0)) AS micro_usd
      FROM goals g WHERE g.tenant_id = l.tenant_id AND g.lent_until IS NOT NULL AND g.lent_at >= u.since
    ) h ON true
    WHERE l.tenant_id = ${tenantId}`.execute(trx);
  return rows
    .map((row) => ({
      period: row.period,
      limits: { steps: row.steps, tokens: row.tokens, microUsd: row.micro_usd },
      used: {
        steps: row.taken_steps - row.held_steps,
        tokens: row.taken_tokens - row.held_tokens,
        microUsd: row.taken_micro_usd - row.held_micro_usd,
      },
      held: { steps: row.held_steps, tokens: row.held_tokens, microUsd: row.held_micro_usd },
      until: row.until,
    }))
    .toSorted((a, b) => budgetPeriods.indexOf(a.period) - budgetPeriods.indexOf(b.period));
}
