/** What people do to a goal, as ingress lets them: each holds the goal's row first (W1). */
import {
  approvalHash,
  canonicalJson,
  hasGoalEnded,
  isBudgetReason,
  type Decision,
  type JsonObject,
  type MoreBudget,
  type Resolution,
} from "@outerloop/core";
import { endTasks } from "./commit.ts";
import { newGoal, type GoalBook, type ModelGoal } from "./rows.ts";
import { appendEvents, hold, isLive, moveGoalTo, settleSleep, type Tables } from "./tables.ts";
import { answerOpenQuestion, withdrawQuestions } from "./questions.ts";
import { matchSignals, resolveByDeadline, wakeTasks } from "./waits.ts";

/** What the people of the simulator see of an answer; the product's own says more. */
export type Answer = "moved" | "unchanged" | "refused" | "gone" | "too_small";

export interface NewGoalInput {
  readonly id: string;
  readonly tenant: string;
  readonly text: string;
  readonly session: string | null;
  readonly planning: { readonly cadence: "adaptive" | "every-step" | "every-n"; readonly every: number };
  readonly budget: {
    readonly steps: number;
    readonly wallMs: number;
    readonly tokens: number;
    readonly microUsd: number | null;
  };
  /** null: nobody is asked. */
  readonly questionsWaitMs: number | null;
}

export function submitGoal(tables: Tables, input: NewGoalInput): void {
  const { id, tenant, text, session, planning, budget, questionsWaitMs } = input;
  const goal = newGoal({
    id,
    tenant,
    text,
    session,
    ...budget,
    questionsWaitMs,
    planning: planning.cadence,
    every: planning.cadence === "every-n" ? planning.every : 1,
    priority: 0,
    now: tables.now(),
  });
  const book: GoalBook = {
    goal,
    tasks: [],
    needs: new Map(),
    steps: [],
    events: [],
    waits: [],
    questions: [],
    signals: [],
    effects: new Map(),
    artifacts: [],
    blobs: new Map(),
  };
  tables.books.set(id, book);
  tables.touched.add(id);
  appendEvents(book, [{ type: "goal.created", data: { text, session, attachments: 0 } }]);
}

export function cancelGoal(tables: Tables, id: string): Answer {
  const book = hold(tables, id);
  if (book === undefined) return "gone";
  const { goal } = book;
  if (goal.status === "cancelled") return "unchanged";
  if (hasGoalEnded(goal.status)) return "refused";
  endTasks(tables, book, "goal_cancelled");
  moveGoalTo(goal, "cancelled");
  goal.detail = null;
  goal.lease_id = null;
  goal.dispatched_at = null;
  goal.live_tasks = goal.plan_wanted = 0;
  goal.steps_reserved = goal.tokens_reserved = goal.cost_reserved = 0;
  goal.plan_reserved = goal.plan_tokens_reserved = goal.plan_cost_reserved = 0;
  goal.fence += 1;
  goal.ended_at = tables.now();
  withdrawQuestions(tables, book);
  appendEvents(book, [{ type: "goal.cancelled", data: { reason: null } }]);
  return "moved";
}

export function pauseGoal(tables: Tables, id: string): Answer {
  const book = hold(tables, id);
  if (book === undefined) return "gone";
  const { goal } = book;
  if (goal.status === "paused") return "unchanged";
  if (hasGoalEnded(goal.status)) return "refused";
  for (const task of book.tasks.filter(isLive)) {
    task.due_at = Infinity;
    if (task.lease_id === null) task.dispatched_at = null;
  }
  goal.paused_from = goal.status;
  moveGoalTo(goal, "paused");
  goal.paused_at = tables.now();
  goal.due_at = Infinity;
  settleSleep(tables, book);
  appendEvents(book, [{ type: "goal.paused", data: {} }]);
  return "moved";
}

/** What of the wall budget is gone, for a goal that has ended. */
const workedMs = (goal: ModelGoal) =>
  Math.max(0, goal.budget_wall_ms - (goal.deadline_at - (goal.ended_at ?? goal.paused_at ?? 0)));

interface Figures {
  readonly field: "steps" | "tokens" | "wall_ms" | "usd";
  readonly given: number | null | undefined;
  readonly has: number | null;
  readonly spent: number;
}

function figuresOf(goal: ModelGoal, more: MoreBudget): readonly Figures[] {
  return [
    { field: "steps", given: more.steps, has: goal.budget_steps, spent: goal.steps_used },
    { field: "tokens", given: more.tokens, has: goal.budget_tokens, spent: goal.tokens_used },
    { field: "wall_ms", given: more.wallMs, has: goal.budget_wall_ms, spent: workedMs(goal) },
    { field: "usd", given: more.microUsd, has: goal.budget_micro_usd, spent: goal.cost_micro_usd },
  ];
}

export function resumeGoal(tables: Tables, id: string, more: MoreBudget = {}): Answer {
  const book = hold(tables, id);
  if (book === undefined) return "gone";
  const { goal } = book;
  const raises = Object.values(more).some((value) => value !== undefined);
  const figures = figuresOf(goal, more);
  if (goal.status === "failed" && isBudgetReason(goal.reason)) return reopen(tables, book, more, figures);
  if (hasGoalEnded(goal.status)) return "refused";
  if (goal.status !== "paused" && !raises) return "unchanged";
  if (raises) {
    const isTooSmall = ({ given, has }: Figures) => typeof given === "number" && (has === null || given < has);
    if (figures.some(isTooSmall)) return "too_small";
    raise(goal, more, figures);
  }
  if (goal.status === "paused") unpause(tables, book);
  settleSleep(tables, book);
  appendEvents(book, [{ type: "goal.resumed", data: raises ? { budget: budgetOf(figures) } : {} }]);
  return "moved";
}

function reopen(tables: Tables, book: GoalBook, more: MoreBudget, figures: readonly Figures[]): Answer {
  const { goal } = book;
  const totalOf = ({ given, has }: Figures) => (given === undefined ? has : given);
  const limitsMoney = more.microUsd === undefined ? goal.budget_micro_usd !== null : more.microUsd !== null;
  const isSpent = (each: Figures) => totalOf(each) !== null && totalOf(each)! <= each.spent;
  if (figures.some(isSpent) || (goal.cost_unknown && limitsMoney)) return "too_small";
  const now = tables.now();
  const stoodMs = now - goal.ended_at!;
  goal.deadline_at += stoodMs;
  if (goal.wall_warn_at !== null) goal.wall_warn_at += stoodMs;
  moveGoalTo(goal, "running");
  goal.reason = goal.detail = goal.answer = goal.citations = null;
  goal.ended_at = null;
  goal.exhausted = goal.exhausted_period = null;
  goal.plan_wanted = 1;
  goal.due_at = now;
  goal.dispatched_at = null;
  raise(goal, more, figures);
  appendEvents(book, [{ type: "goal.resumed", data: { budget: budgetOf(figures) } }]);
  return "moved";
}

function raise(goal: ModelGoal, more: MoreBudget, figures: readonly Figures[]): void {
  if (Object.values(more).every((value) => value === undefined)) return;
  const raised = figures
    .filter(({ given, has }) => given !== undefined && (has === null || given === null || given > has))
    .map(({ field }) => field as string);
  const wallMs = more.wallMs ?? goal.budget_wall_ms;
  const addedMs = wallMs - goal.budget_wall_ms;
  goal.budget_steps = more.steps ?? goal.budget_steps;
  goal.budget_tokens = more.tokens ?? goal.budget_tokens;
  goal.budget_wall_ms = wallMs;
  if (more.microUsd !== undefined) goal.budget_micro_usd = more.microUsd;
  if (addedMs !== 0) goal.wall_warn_at = goal.deadline_at + addedMs - wallMs * 0.2;
  goal.deadline_at += addedMs;
  goal.warned = goal.warned.filter((field) => !raised.includes(field));
  goal.exhausted = goal.exhausted_period = null;
}

function unpause(tables: Tables, { goal, tasks }: GoalBook): void {
  const now = tables.now();
  for (const task of tasks.filter(isLive)) {
    task.due_at = now;
    if (task.lease_id === null) task.dispatched_at = null;
  }
  const stoodMs = now - (goal.paused_at ?? now);
  moveGoalTo(goal, goal.paused_from ?? "running");
  goal.paused_from = null;
  goal.deadline_at += stoodMs;
  if (goal.wall_warn_at !== null) goal.wall_warn_at += stoodMs;
  goal.paused_at = null;
  goal.due_at = now;
  if (goal.lease_id === null) goal.dispatched_at = null;
}

/** As the request names it: money in dollars. */
const budgetOf = (figures: readonly Figures[]) =>
  Object.fromEntries(
    figures.map(({ field, given, has }) => {
      const total = given === undefined ? has : given;
      return [field, field === "usd" && total !== null ? total / 1e6 : total];
    }),
  );

export function retryGoal(tables: Tables, id: string): Answer {
  const book = hold(tables, id);
  if (book === undefined) return "gone";
  const { goal, tasks } = book;
  if (hasGoalEnded(goal.status) || goal.status === "paused") return "refused";
  const now = tables.now();
  const backsOff = tasks.filter(
    (task) =>
      task.backoffs > 0 &&
      task.lease_id === null &&
      (task.status === "ready" || task.status === "running" || task.status === "reflecting") &&
      task.due_at > now,
  );
  for (const task of backsOff) Object.assign(task, { due_at: now, dispatched_at: null, backoffs: 0 });
  const plans = goal.plan_backoffs > 0 && goal.lease_id === null && goal.due_at > now;
  if (plans) Object.assign(goal, { due_at: now, dispatched_at: null, plan_backoffs: 0 });
  const slept = book.waits.filter((wait) => wait.status === "open" && wait.kind === "timer" && wait.name === "model");
  for (const wait of slept) resolveByDeadline(tables, wait);
  if (slept.length > 0)
    wakeTasks(
      tables,
      book,
      slept.map((wait) => wait.task_id),
    );
  return backsOff.length > 0 || plans || slept.length > 0 ? "moved" : "refused";
}

export interface GivenSignal {
  readonly name: string;
  readonly payload: unknown;
  readonly task: string | null;
  readonly key: string | null;
}

export function signalGoal(tables: Tables, id: string, signal: GivenSignal): Answer {
  const book = hold(tables, id);
  if (book === undefined) return "gone";
  const { goal } = book;
  const sent = signal.key === null ? undefined : book.signals.find((each) => each.key === signal.key);
  if (sent !== undefined) {
    const isSame =
      sent.name === signal.name &&
      sent.task_id === signal.task &&
      canonicalJson(sent.payload) === canonicalJson(signal.payload);
    return isSame ? "unchanged" : "refused";
  }
  if (hasGoalEnded(goal.status)) return "refused";
  goal.signal_seq += 1;
  book.signals.push({
    number: goal.signal_seq,
    name: signal.name,
    task_id: signal.task,
    payload: signal.payload,
    key: signal.key,
    at: tables.now(),
  });
  wakeTasks(tables, book, matchSignals(tables, book));
  // Whoever is about to wait for it has not said so yet.
  for (const task of book.tasks) if (task.status === "ready" || task.status === "running") task.wakes += 1;
  return "moved";
}

export function decideApproval(tables: Tables, waitId: string, decision: Decision): Answer {
  const goalId = [...tables.books.values()].find((each) => each.waits.some((wait) => wait.id === waitId))?.goal.id;
  const book = hold(tables, goalId ?? "");
  const wait = book?.waits.find((each) => each.id === waitId);
  if (book === undefined || wait === undefined) return "gone";
  const allowed = wait.kind === "approval" ? ["approve", "edit", "reject"] : ["happened", "run_again", "reject"];
  if (!allowed.includes(decision.decision)) return "refused";
  if (wait.status === "resolved") {
    const before = wait.resolution as Resolution;
    const args = decision.decision === "edit" ? decision.args : null;
    const isSame =
      before.by === "person" &&
      before.decision === decision.decision &&
      canonicalJson(before.args ?? null) === canonicalJson(args);
    return isSame ? "unchanged" : "refused";
  }
  if (wait.status === "withdrawn" || hasGoalEnded(book.goal.status)) return "refused";
  const subject = wait.subject as { tool: string; version: string; policy: string };
  const hash = decision.decision === "edit" ? approvalHash({ ...subject, args: decision.args }) : wait.hash;
  const now = tables.now();
  wait.status = "resolved";
  wait.resolution = { by: "person", ...decision, principal: "simulator", at: new Date(now).toISOString() };
  wait.hash = hash;
  wait.resolved_at = now;
  const task = book.tasks.find((each) => each.id === wait.task_id)!;
  const data: JsonObject = {
    id: waitId,
    key: task.key,
    tool: wait.name,
    decision: decision.decision,
    by: "simulator",
  };
  appendEvents(book, [{ type: "approval.decided", task: task.id, data }]);
  wakeTasks(tables, book, [task.id]);
  return "moved";
}

export interface GivenAnswer {
  /** Which question is meant; null for the open one. */
  readonly question: string | null;
  readonly text: string;
}

/** Answers once; the same answer to the same question again changes nothing. */
export function answerQuestion(tables: Tables, id: string, { question, text }: GivenAnswer): Answer {
  const book = hold(tables, id);
  if (book === undefined) return "gone";
  const open = book.questions.find((each) => each.status === "open");
  if (open !== undefined && (question === null || question === open.id)) {
    answerOpenQuestion(tables, book, open, text, "simulator");
    return "moved";
  }
  const asked = book.questions.find((each) => each.id === question);
  return asked?.status === "answered" && asked.answer === text ? "unchanged" : "refused";
}
