/**
 * The goal's state machine (DESIGN §5): which moves are legal, and what a goal is to the functions that think about it.
 * The store holds the same table in SQL and refuses every other move; a test holds the two equal.
 */
import type { GuardCounts } from "./guard.ts";
import type { GoalId, TenantId } from "./ids.ts";
import type { Intake } from "./intake.ts";
import type { Clarification } from "./question.ts";

export const goalStatuses = [
  "queued",
  "planning",
  "running",
  "waiting",
  "paused",
  "succeeded",
  "failed",
  "abandoned",
  "cancelled",
] as const;
export type GoalStatus = (typeof goalStatuses)[number];

export const goalReasons = [
  "step_budget",
  "wall_budget",
  "token_budget",
  "cost_budget",
  "unsupported",
  "drift",
  "thrash",
  "stalled",
  "no_evidence",
  "error",
] as const;
export type GoalReason = (typeof goalReasons)[number];

export const budgetReasons = ["step_budget", "wall_budget", "token_budget", "cost_budget"] as const;
export type BudgetReason = (typeof budgetReasons)[number];

export function isBudgetReason(reason: string | null): reason is BudgetReason {
  return (budgetReasons as readonly (string | null)[]).includes(reason);
}

/** From a status to those that it may become. A failed goal moves again only when it failed on a budget and is given more. */
export const goalMoves: Readonly<Record<GoalStatus, readonly GoalStatus[]>> = {
  queued: ["planning", "paused", "cancelled"],
  planning: ["running", "waiting", "paused", "succeeded", "failed", "abandoned", "cancelled"],
  running: ["planning", "waiting", "paused", "cancelled"],
  waiting: ["planning", "running", "paused", "cancelled"],
  paused: ["queued", "planning", "running", "waiting", "cancelled"],
  succeeded: [],
  failed: ["running"],
  abandoned: [],
  cancelled: [],
};

export function mayGoalMove(from: GoalStatus, to: GoalStatus, reason: string | null): boolean {
  if (from === "failed" && !isBudgetReason(reason)) return false;
  return goalMoves[from].includes(to);
}

export function hasGoalEnded(status: GoalStatus): boolean {
  return status === "succeeded" || status === "failed" || status === "abandoned" || status === "cancelled";
}

/** How often the planner looks again while tasks are left. */
export type Planning =
  | { readonly cadence: "adaptive" | "every-step" }
  | { readonly cadence: "every-n"; readonly every: number };

export interface Budget {
  /** Model and tool steps together. */
  readonly steps: number;
  readonly wallMs: number;
  /** Input and output tokens together. */
  readonly tokens: number;
  /** null: no limit on money. */
  readonly microUsd: number | null;
}

/** DESIGN §6. */
export const defaultBudget: Budget = { steps: 200, wallMs: 3_600_000, tokens: 1_000_000, microUsd: null };

export interface Goal {
  readonly id: GoalId;
  readonly tenantId: TenantId;
  readonly sessionId: string | null;
  readonly text: string;
  readonly status: GoalStatus;
  readonly createdAt: Date;
  readonly planRound: number;
  /** null before it was taken, and where it is switched off. */
  readonly intake: Intake | null;
  readonly clarifications: readonly Clarification[];
  /** How long its submitter is waited for; null where nobody is asked. */
  readonly questionsWaitMs: number | null;
  readonly guards: GuardCounts;
}
