/** Rows of the model store: the same columns as in Postgres, with instants as milliseconds (Infinity is a pause). */
import type {
  CommitReply,
  DueJob,
  GoalRow,
  GoalStatus,
  NewEvent,
  QuestionRecord,
  StepRecord,
  TaskRecord,
  TaskStatus,
  WaitRecord,
} from "@outerloop/core";

type Instants<Row> = {
  -readonly [Name in keyof Row]: Date extends Row[Name] ? Exclude<Row[Name], Date> | number : Row[Name];
};

export type ModelGoal = Omit<Instants<GoalRow>, "status" | "paused_from"> & {
  status: GoalStatus;
  paused_from: GoalStatus | null;
};
export type ModelTask = Omit<Instants<TaskRecord>, "status" | "tools" | "evidence"> & {
  status: TaskStatus;
  tools: readonly string[];
  evidence: readonly unknown[];
};
export type ModelStep = Omit<Instants<StepRecord>, "retention" | "goal_day" | "tenant_id" | "at">;
export type ModelWait = Instants<WaitRecord>;
export type ModelQuestion = Instants<QuestionRecord>;

export interface ModelEvent {
  readonly seq: number;
  readonly type: NewEvent["type"];
  readonly task_id: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface ModelSignal {
  readonly number: number;
  readonly name: string;
  readonly task_id: string | null;
  readonly payload: unknown;
  readonly key: string | null;
  readonly at: number;
}

export interface ModelEffect {
  readonly key: string;
  send_key: string;
  readonly root_id: string;
  task_id: string;
  attempt: number;
  seq: number;
  readonly tool: string;
  version: string;
  args: Readonly<Record<string, unknown>>;
  status: "intended" | "done" | "failed" | "unknown";
  turn: number;
  result: { readonly text: string } | null;
  fence: number;
  intended_at: number;
  ended_at: number | null;
}

export interface ModelArtifact {
  readonly version: number;
  readonly path: string;
  readonly mode: string;
  readonly origin: string;
  readonly bytes: Uint8Array;
  readonly hash: string;
  readonly task_id: string | null;
  readonly at: number;
}

export interface ModelMemory {
  readonly id: string;
  readonly tenant_id: string;
  readonly goal_id: string;
  readonly task_id: string | null;
  readonly kind: string;
  readonly text: string;
  readonly created_at: number;
}

/** Everything that belongs to one goal; whoever holds the goal's row holds all of it. */
export interface GoalBook {
  readonly goal: ModelGoal;
  /** In the order of their numbers. */
  readonly tasks: ModelTask[];
  /** task → what it depends on. */
  readonly needs: Map<string, Set<string>>;
  readonly steps: ModelStep[];
  readonly events: ModelEvent[];
  readonly waits: ModelWait[];
  readonly questions: ModelQuestion[];
  readonly signals: ModelSignal[];
  readonly effects: Map<string, ModelEffect>;
  readonly artifacts: ModelArtifact[];
  readonly blobs: Map<string, string>;
}

export const liveStatuses: ReadonlySet<TaskStatus> = new Set(["pending", "ready", "running", "waiting", "reflecting"]);

/** What a write's part of a reply says. */
export type AppliedWrite = CommitReply["writes"][number];
export type { DueJob };

const asDate = (at: number | null) => (at === null ? null : new Date(at === Infinity ? 8.64e15 : at));

const goalInstants = [
  "paused_at",
  "wall_warn_at",
  "lent_at",
  "lent_until",
  "lent_under",
  "dispatched_at",
  "due_at",
  "deadline_at",
  "asleep_at",
  "created_at",
  "started_at",
  "ended_at",
] as const;
const taskInstants = ["dispatched_at", "due_at", "created_at", "started_at", "ended_at"] as const;

function withDates(row: object, names: readonly string[]): object {
  const copy: Record<string, unknown> = { ...row };
  for (const name of names) copy[name] = asDate(copy[name] as number | null);
  return copy;
}

/** As a driver would hand the row out: a copy, with dates. */
export const toGoalRow = (goal: ModelGoal) => withDates(goal, goalInstants) as GoalRow;
export const toTaskRecord = (task: ModelTask) => withDates(task, taskInstants) as TaskRecord;
export const toWaitRecord = (wait: ModelWait) =>
  withDates(wait, ["deadline_at", "created_at", "resolved_at"]) as WaitRecord;

export function newGoal(given: {
  readonly id: string;
  readonly tenant: string;
  readonly text: string;
  readonly session: string | null;
  readonly planning: string;
  readonly every: number;
  readonly priority: number;
  readonly steps: number;
  readonly wallMs: number;
  readonly tokens: number;
  readonly microUsd: number | null;
  readonly questionsWaitMs: number | null;
  readonly now: number;
}): ModelGoal {
  const { now, id } = given;
  return {
    id,
    tenant_id: given.tenant,
    session_id: given.session,
    retention: "standard",
    goal_day: "2026-01-01",
    text: given.text,
    status: "queued",
    paused_from: null,
    paused_at: null,
    reason: null,
    detail: null,
    answer: null,
    citations: null,
    planning: given.planning,
    planning_every: given.every,
    priority: given.priority,
    labels: {},
    created_by: "k_simulator",
    budget_steps: given.steps,
    budget_wall_ms: given.wallMs,
    budget_tokens: given.tokens,
    budget_micro_usd: given.microUsd,
    steps_used: 0,
    steps_reserved: 0,
    tokens_used: 0,
    cost_micro_usd: 0,
    cost_unknown: false,
    exhausted: null,
    exhausted_period: null,
    tokens_reserved: 0,
    cost_reserved: 0,
    plan_tokens_reserved: 0,
    plan_cost_reserved: 0,
    plan_tokens_needed: 0,
    plan_cost_needed: 0,
    plan_backoffs: 0,
    warned: [],
    wall_warn_at: now + given.wallMs * 0.8,
    lent_steps: null,
    lent_tokens: null,
    lent_micro_usd: null,
    lent_at: null,
    lent_until: null,
    lent_under: null,
    event_seq: 0,
    file_seq: 0,
    step_seq: 0,
    task_seq: 0,
    live_tasks: 0,
    plan_round: 0,
    plan_wanted: 1,
    done_since_plan: 0,
    fence: 0,
    lease_id: null,
    expired_claims: 0,
    plan_reserved: 0,
    last_write: null,
    dispatch: 1,
    dispatched_at: now,
    job_id: `${id}-p-1`,
    due_at: now,
    deadline_at: now + given.wallMs,
    waiting_tasks: 0,
    asleep_at: null,
    signal_seq: 0,
    intake: null,
    clarifications: [],
    questions_wait_ms: given.questionsWaitMs,
    models: null,
    guards: {},
    created_at: now,
    started_at: null,
    ended_at: null,
  };
}
