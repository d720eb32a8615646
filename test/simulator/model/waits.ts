/** What tasks sleep on, and what wakes them (W5). */
import type { FiredWaits } from "@outerloop/core";
import type { GoalBook, ModelTask, ModelWait } from "./rows.ts";
import { answerOpenQuestion } from "./questions.ts";
import { appendEvents, dueUnlessPaused, hold, isLive, moveTaskTo, settleSleep, type Tables } from "./tables.ts";

export const openWaits = (book: GoalBook, taskId: string, attempt: number) =>
  book.waits.filter((wait) => wait.task_id === taskId && wait.attempt === attempt && wait.status === "open");

/** Gives open waits their signals, each the first that its attempt has not read; returns the tasks whose waits ended. */
export function matchSignals(tables: Tables, book: GoalBook): readonly string[] {
  const woken: string[] = [];
  const open = book.waits
    .filter((wait) => wait.status === "open" && wait.kind === "signal")
    .toSorted((a, b) => a.created_at - b.created_at || a.seq - b.seq);
  for (const wait of open) {
    const read = Math.max(
      0,
      ...book.waits
        .filter((each) => each.task_id === wait.task_id && each.attempt === wait.attempt && each.name === wait.name)
        .map((each) => each.signal_number ?? 0),
    );
    const signal = book.signals.find(
      (each) =>
        each.name === wait.name && each.number > read && (each.task_id === null || each.task_id === wait.task_id),
    );
    if (signal === undefined) continue;
    wait.status = "resolved";
    wait.signal_number = signal.number;
    wait.resolved_at = tables.now();
    wait.resolution = { by: "signal", payload: signal.payload, at: new Date(signal.at).toISOString() };
    woken.push(wait.task_id);
  }
  return woken;
}

/** Counted in any live status; who sleeps goes on. Returns how many woke. */
export function wakeTasks(tables: Tables, book: GoalBook, ids: readonly string[]): number {
  const named = book.tasks.filter((task) => ids.includes(task.id));
  for (const task of named.filter(isLive)) task.wakes += 1;
  const asleep = named.filter((task) => task.status === "waiting");
  for (const task of asleep) wake(tables, book, task);
  settleSleep(tables, book);
  return asleep.length;
}

function wake(tables: Tables, book: GoalBook, task: ModelTask): void {
  moveTaskTo(tables, book, task, "running");
  task.wait = null;
  task.dispatched_at = null;
  task.due_at = dueUnlessPaused(task.due_at, tables.now());
}

export function fireDueWaits(tables: Tables, limit: number): FiredWaits {
  const now = tables.now();
  const open = () => [...tables.books.values()].flatMap((book) => book.waits.filter((wait) => wait.status === "open"));
  const asked = () =>
    [...tables.books.values()].flatMap((book) => book.questions.filter((question) => question.status === "open"));
  const firstDue = <Row extends { readonly deadline_at: number }>(rows: readonly Row[]) =>
    rows
      .filter((row) => row.deadline_at <= now)
      .toSorted((a, b) => a.deadline_at - b.deadline_at)
      .slice(0, limit);
  const due = [...firstDue(open()), ...firstDue(asked())];
  let fired = 0;
  const events: Record<string, number> = {};
  for (const goalId of new Set(due.map((each) => each.goal_id))) {
    if (tables.busy.has(goalId)) continue;
    const book = hold(tables, goalId)!;
    const ended = book.waits
      .filter((wait) => wait.status === "open" && wait.deadline_at <= now)
      .toSorted((a, b) => a.seq - b.seq);
    for (const wait of ended) resolveByDeadline(tables, wait);
    const late = book.questions.filter((question) => question.status === "open" && question.deadline_at <= now);
    fired += ended.length + late.length;
    for (const question of late) answerOpenQuestion(tables, book, question, question.default_answer, null);
    for (const wait of ended)
      if (wait.kind === "approval" || wait.kind === "outcome")
        appendEvents(book, [
          {
            type: "approval.decided",
            task: wait.task_id,
            data: { id: wait.id, tool: wait.name, decision: "expired" },
          },
        ]);
    wakeTasks(
      tables,
      book,
      ended.map((wait) => wait.task_id),
    );
    events[goalId] = book.goal.event_seq;
  }
  const next = Math.min(...[...open(), ...asked()].map((each) => each.deadline_at));
  return { fired, events, nextMs: next === Infinity ? null : next - now };
}

export function resolveByDeadline(tables: Tables, wait: ModelWait): void {
  wait.status = "resolved";
  wait.resolved_at = tables.now();
  wait.resolution = { by: "deadline" };
}
