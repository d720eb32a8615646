/** What model calls took and cost, counted from the journal: of a goal by task, of a tenant by model. */
import { sql, type RawBuilder } from "kysely";
import type { GoalId } from "../domain/ids.ts";
import type { UsageAmounts } from "../domain/model-api.ts";
import type { Principal } from "../domain/principal.ts";
import { asPrincipal, type Db } from "./database.ts";

export interface UsageRow extends UsageAmounts {
  readonly model: string;
  readonly stage: string;
  /** Its key; null for a planner's calls, and where usage is not by task. */
  readonly task: string | null;
}

interface Amounts {
  readonly stage: string | null;
  readonly model: string | null;
  readonly task: string | null;
  readonly calls: string;
  readonly input: string;
  readonly cached: string;
  readonly output: string;
  readonly reasoning: string;
  readonly cost: string | null;
  readonly unpriced: string;
  readonly ms: number | null;
  readonly first_ms: number | null;
}

export interface CountedUsage {
  readonly total: UsageAmounts;
  readonly rows: readonly UsageRow[];
}

const microUsdPerUsd = 1_000_000;
/** Combinations of task, stage and model that are shown; the total counts all. */
const maxRows = 1000;

const sums = sql`
  count(*) AS calls, coalesce(sum(s.input_tokens), 0) AS input, coalesce(sum(s.cached_input_tokens), 0) AS cached,
  coalesce(sum(s.output_tokens), 0) AS output, coalesce(sum(s.reasoning_tokens), 0) AS reasoning, sum(s.cost_micro_usd) AS cost,
  count(*) FILTER (WHERE s.cost_micro_usd IS NULL) AS unpriced,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY s.duration_ms) AS ms`;
/** Stands in the answer itself: too dear to read for the goals of a month. */
const firstTokenMs = sql`percentile_cont(0.5) WITHIN GROUP (ORDER BY (s.output ->> 'firstTokenMs')::integer)`;

/** @returns undefined where the tenant has no such goal */
export async function goalUsage(db: Db, principal: Principal, id: GoalId): Promise<CountedUsage | undefined> {
  return asPrincipal(db, principal, async (trx) => {
    const goal = await trx
      .selectFrom("goals")
      .select("id")
      .where("id", "=", id)
      .where("tenant_id", "=", principal.tenantId)
      .executeTakeFirst();
    if (goal === undefined) return undefined;
    return read(
      trx,
      sql`
      SELECT s.stage, s.name AS model, t.key AS task, ${sums}, ${firstTokenMs} AS first_ms
      FROM steps s LEFT JOIN tasks t ON t.id = s.subject_id
      WHERE s.goal_id = ${id} AND s.tenant_id = ${principal.tenantId} AND s.kind = 'model'
      GROUP BY GROUPING SETS ((), (s.stage, s.name, t.key, t.number))
      ORDER BY grouping(s.stage) DESC, t.number NULLS FIRST, s.stage, s.name LIMIT ${maxRows + 1}`,
    );
  });
}

/** @param from first day, @param to last day, `YYYY-MM-DD` of UTC: of goals that were created in them */
export async function tenantUsage(db: Db, principal: Principal, from: string, to: string): Promise<CountedUsage> {
  return asPrincipal(db, principal, (trx) =>
    read(
      trx,
      sql`
      SELECT s.stage, s.name AS model, NULL AS task, ${sums}, NULL::integer AS first_ms
      FROM goals g JOIN steps s ON s.retention = g.retention AND s.goal_day = g.goal_day AND s.goal_id = g.id
      WHERE g.tenant_id = ${principal.tenantId} AND g.created_at >= ${from}::date AT TIME ZONE 'UTC'
        AND g.created_at < (${to}::date + 1) AT TIME ZONE 'UTC' AND s.kind = 'model' AND s.tenant_id = g.tenant_id
        AND s.goal_day BETWEEN ${from}::date - 1 AND ${to}::date + 1
      GROUP BY GROUPING SETS ((), (s.stage, s.name))
      ORDER BY grouping(s.stage) DESC, sum(s.cost_micro_usd) DESC NULLS LAST, s.name, s.stage LIMIT ${maxRows + 1}`,
    ),
  );
}

async function read(db: Db, query: RawBuilder<unknown>): Promise<CountedUsage> {
  const { rows } = await (query as RawBuilder<Amounts>).execute(db);
  const [total, ...parts] = rows;
  return {
    total: toAmounts(total!),
    rows: parts.map((row) => ({ stage: row.stage ?? "", model: row.model ?? "", task: row.task, ...toAmounts(row) })),
  };
}

function toAmounts(row: Amounts): UsageAmounts {
  return {
    calls: Number(row.calls),
    input_tokens: Number(row.input),
    cached_input_tokens: Number(row.cached),
    output_tokens: Number(row.output),
    reasoning_tokens: Number(row.reasoning),
    usd: Number(row.cost ?? 0) / microUsdPerUsd,
    unpriced_calls: Number(row.unpriced),
    ms: Math.round(row.ms ?? 0),
    first_token_ms: row.first_ms === null ? null : Math.round(row.first_ms),
  };
}
