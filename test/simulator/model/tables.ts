/**
 * The model store's tables and what every operation on them shares: the goal's row as the lock, legal moves, events' numbers,
 * sleep. Each operation runs whole at one instant; what two sessions do to one another is for tests on real Postgres.
 */
import { mayGoalMove, taskMoves, type GoalStatus, type NewEvent, type TaskStatus } from "@outerloop/core";
import { liveStatuses, type GoalBook, type ModelGoal, type ModelMemory, type ModelTask } from "./rows.ts";

export interface Tables {
  /** The database's clock, in milliseconds. */
  now(): number;
  readonly books: Map<string, GoalBook>;
  readonly taskGoals: Map<string, string>;
  readonly leases: Map<string, number>;
  readonly loneRuns: Set<string>;
  readonly prompts: Map<string, string>;
  readonly memories: ModelMemory[];
  /** Goals that another session holds in this moment: passed over by who skips what is locked. */
  busy: ReadonlySet<string>;
  /** Goals that the operation under way has changed or may have. */
  readonly touched: Set<string>;
}

export function createTables(now: () => number): Tables {
  return {
    now,
    books: new Map(),
    taskGoals: new Map(),
    leases: new Map(),
    loneRuns: new Set(),
    prompts: new Map(),
    memories: [],
    busy: new Set(),
    touched: new Set(),
  };
}

/** What Postgres raises where the product's own functions must never ask for it. */
export class StoreFault extends Error {}

/** The goal's book, held for change. */
export function hold(tables: Tables, goalId: string): GoalBook | undefined {
  const book = tables.books.get(goalId);
  if (book !== undefined) tables.touched.add(goalId);
  return book;
}

export function findTask(tables: Tables, taskId: string): { book: GoalBook; task: ModelTask } | undefined {
  const book = tables.books.get(tables.taskGoals.get(taskId) ?? "");
  const task = book?.tasks.find((each) => each.id === taskId);
  return book === undefined || task === undefined ? undefined : { book, task };
}

export const leaseLives = (tables: Tables, lease: string | null) =>
  lease !== null && (tables.leases.get(lease) ?? -Infinity) > tables.now();

export function moveGoalTo(goal: ModelGoal, to: GoalStatus): void {
  if (goal.status !== to && !mayGoalMove(goal.status, to, goal.reason))
    throw new StoreFault(`goal ${goal.id}: no move from ${goal.status} to ${to}`);
  goal.status = to;
}

/** With what follows a task's status wherever it is changed: sleepers are counted, what nobody waits for any more is withdrawn. */
export function moveTaskTo(tables: Tables, book: GoalBook, task: ModelTask, to: TaskStatus): void {
  const from = task.status;
  if (from === to) return;
  if (!taskMoves[from].includes(to)) throw new StoreFault(`task ${task.id}: no move from ${from} to ${to}`);
  task.status = to;
  if (to === "waiting") book.goal.waiting_tasks += 1;
  else if (from === "waiting") book.goal.waiting_tasks -= 1;
  if (to === "reflecting" || to === "failed" || to === "cancelled")
    for (const wait of book.waits)
      if (wait.task_id === task.id && wait.status === "open") {
        wait.status = "withdrawn";
        wait.resolved_at = tables.now();
      }
}

export function appendEvents(book: GoalBook, events: readonly NewEvent[]): void {
  for (const event of events) {
    book.goal.event_seq += 1;
    book.events.push({
      seq: book.goal.event_seq,
      type: event.type,
      task_id: event.task ?? null,
      data: event.data ?? {},
    });
  }
}

/** Stops the wall clock of a goal while all its work waits or its submitter is asked, and lets it go on after. */
export function settleSleep(tables: Tables, { goal, tasks, questions }: GoalBook): void {
  if (goal.waiting_tasks === 0 && goal.asleep_at === null && goal.status !== "waiting") return;
  if (goal.status === "waiting" && goal.exhausted !== null) {
    // What was under way has used its budget up: nobody is asked any more, and the planner ends it.
    for (const question of questions)
      if (question.status === "open") Object.assign(question, { status: "withdrawn", answered_at: tables.now() });
    moveGoalTo(goal, "running");
    goal.plan_wanted = Math.max(goal.plan_wanted, 1);
    goal.due_at = tables.now();
    goal.dispatched_at = null;
  }
  const waits =
    goal.waiting_tasks > 0 &&
    goal.status === "running" &&
    goal.plan_wanted === 0 &&
    !tasks.some((task) => task.status === "ready" || task.status === "running" || task.status === "reflecting");
  const asleep = goal.status === "waiting" || (goal.exhausted === null && waits);
  const now = tables.now();
  if (asleep && goal.asleep_at === null) goal.asleep_at = now;
  else if (!asleep && goal.asleep_at !== null) {
    goal.deadline_at += now - goal.asleep_at;
    if (goal.wall_warn_at !== null) goal.wall_warn_at += now - goal.asleep_at;
    goal.asleep_at = null;
  }
}

export const isLive = (task: ModelTask) => liveStatuses.has(task.status);

/** Work that was paused stays so, whatever makes it due. */
export const dueUnlessPaused = (dueAt: number, at: number) => (dueAt === Infinity ? dueAt : at);
