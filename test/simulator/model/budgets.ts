/** Reservations: what may be spent is held before it is spent (DESIGN §6). */
import type { BudgetReason, Held } from "@outerloop/core";
import type { GoalBook, ModelGoal, ModelTask } from "./rows.ts";
import { appendEvents, type Tables } from "./tables.ts";

export interface Wanted {
  readonly steps: number;
  readonly needTokens: number;
  readonly wantTokens: number;
  readonly needMicroUsd: number;
  readonly wantMicroUsd: number;
}
export interface Own {
  readonly steps: number;
  readonly tokens: number;
  readonly microUsd: number;
}
export interface Got {
  readonly spent: BudgetReason | "wait" | null;
  readonly tokens: number;
  readonly microUsd: number;
}

/** On top of what the caller holds; steps are needed all, of tokens and money the rest where it is free. */
export function reserveBudget(tables: Tables, { goal }: GoalBook, isPlanner: boolean, wanted: Wanted, own: Own): Got {
  const tokens = Math.max(wanted.needTokens - own.tokens, 0);
  const microUsd = Math.max(wanted.needMicroUsd - own.microUsd, 0);
  const limit = goal.budget_micro_usd;
  const spent = whatIsSpent();
  if (spent !== null) {
    if (spent !== "wait" && goal.exhausted === null) {
      goal.exhausted = spent;
      goal.exhausted_period = null;
      goal.plan_wanted += 1;
      goal.due_at = tables.now();
    } else if (spent === "wait" && isPlanner) {
      goal.plan_tokens_needed = wanted.needTokens;
      goal.plan_cost_needed = wanted.needMicroUsd;
    }
    return { spent, tokens: 0, microUsd: 0 };
  }
  const got = {
    spent,
    tokens: Math.max(
      tokens,
      Math.min(wanted.wantTokens - own.tokens, goal.budget_tokens - goal.tokens_used - goal.tokens_reserved),
    ),
    microUsd: Math.max(
      microUsd,
      Math.min(
        wanted.wantMicroUsd - own.microUsd,
        limit === null ? Infinity : limit - goal.cost_micro_usd - goal.cost_reserved,
      ),
    ),
  };
  goal.steps_reserved += wanted.steps;
  goal.tokens_reserved += got.tokens;
  goal.cost_reserved += got.microUsd;
  if (isPlanner) {
    goal.plan_reserved += wanted.steps;
    goal.plan_tokens_reserved += got.tokens;
    goal.plan_cost_reserved += got.microUsd;
    goal.plan_tokens_needed = 0;
    goal.plan_cost_needed = 0;
  }
  return got;

  function whatIsSpent(): Got["spent"] {
    if (goal.exhausted !== null) return goal.exhausted as BudgetReason;
    if (tables.now() >= goal.deadline_at) return "wall_budget";
    if (goal.tokens_used >= goal.budget_tokens) return "token_budget";
    if (limit !== null && (goal.cost_unknown || goal.cost_micro_usd >= limit)) return "cost_budget";
    if (goal.steps_used + own.steps + wanted.steps > goal.budget_steps) return "step_budget";
    if (goal.tokens_used + own.tokens + tokens > goal.budget_tokens) return "token_budget";
    if (limit !== null && goal.cost_micro_usd + own.microUsd + microUsd > limit) return "cost_budget";
    if (goal.steps_used + goal.steps_reserved + wanted.steps > goal.budget_steps) return "wait";
    if (tokens > 0 && goal.tokens_used + goal.tokens_reserved + tokens > goal.budget_tokens) return "wait";
    if (microUsd > 0 && limit !== null && goal.cost_micro_usd + goal.cost_reserved + microUsd > limit) return "wait";
    return null;
  }
}

/** What a claim takes before anybody knows its request: at most a sixteenth of what is left. */
export const claimTokens = (goal: ModelGoal) =>
  Math.min(40_000, Math.floor(Math.max(goal.budget_tokens - goal.tokens_used - goal.tokens_reserved, 0) / 16));
export const claimMicroUsd = (goal: ModelGoal) =>
  goal.budget_micro_usd === null
    ? 0
    : Math.floor(Math.max(goal.budget_micro_usd - goal.cost_micro_usd - goal.cost_reserved, 0) / 16);

export function heldBy(goal: ModelGoal, task: ModelTask | undefined): Held {
  return {
    steps: task === undefined ? goal.plan_reserved : task.steps_reserved,
    tokens: task === undefined ? goal.plan_tokens_reserved : task.tokens_reserved,
    microUsd: task === undefined ? goal.plan_cost_reserved : task.cost_reserved,
    money: goal.budget_micro_usd !== null || goal.lent_micro_usd !== null,
  };
}

/** The warning that 80 % of a budget is used, once. */
export function warnOfBudgets(book: GoalBook): void {
  const { goal } = book;
  const usd = goal.budget_micro_usd === null ? null : goal.budget_micro_usd / 1e6;
  const figures = [
    ["steps", goal.steps_used, goal.budget_steps],
    ["tokens", goal.tokens_used, goal.budget_tokens],
    ["usd", goal.cost_micro_usd / 1e6, usd],
  ] as const;
  for (const [budget, used, limit] of figures) {
    if (limit === null || limit <= 0 || used < limit * 0.8 || goal.warned.includes(budget)) continue;
    goal.warned = [...goal.warned, budget];
    appendEvents(book, [{ type: "budget.warning", data: { budget, used, limit } }]);
  }
}
