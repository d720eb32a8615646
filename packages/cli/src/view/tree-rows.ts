/** The live tree as rows of cells: what it says, not yet how wide. */
import { printableLine } from "../text/printable.ts";
import { plural } from "../text/quantities.ts";
import {
  shownStatus,
  subtasksOf,
  type AttemptView,
  type GoalView,
  type TaskView,
  type TaskViewStatus,
} from "./goal-view.ts";
import { afterKeys, callWords, retryWords, statusWord, taskTitle } from "./task-words.ts";

export interface TreeRow {
  /** Branches of the tree, ` │  ├ `. */
  readonly branch: string;
  /** The task's key; empty on rows that only go on. */
  readonly key: string;
  readonly text: string;
  /** Kept when `text` is cut: `(after t1–t4)`. */
  readonly after: string;
  /** Tools, or what became of the attempt. */
  readonly middle: string;
  readonly status: TaskViewStatus | null;
  /** Nothing will change here any more. */
  readonly isSettled: boolean;
}

export interface TreeRound {
  readonly title: string;
  readonly rows: readonly TreeRow[];
}

export function treeRounds(view: GoalView): readonly TreeRound[] {
  return view.rounds
    .filter((round) => round.taskIds.length > 0)
    .map((round, index) => {
      const tasks = round.taskIds.flatMap((id) => view.tasks.find((task) => task.id === id) ?? []);
      return {
        title: `plan${index === 0 ? "" : ` ${index + 1}`}  ${plural(tasks.length, "task")}`,
        rows: rowsOf(view, tasks, " "),
      };
    });
}

function rowsOf(view: GoalView, tasks: readonly TaskView[], stem: string): TreeRow[] {
  return tasks.flatMap((task, index) => {
    const isLast = index === tasks.length - 1;
    const deeper = `${stem}${isLast ? " " : "│"}  `;
    return [
      ...taskRows(view, task, `${stem}${isLast ? "└" : "├"} `, deeper),
      ...rowsOf(view, subtasksOf(view, task), deeper),
    ];
  });
}

function taskRows(view: GoalView, task: TaskView, branch: string, deeper: string): TreeRow[] {
  const status = shownStatus(view, task);
  const isSettled = status === "done" || status === "failed" || status === "abandoned";
  const attempts: readonly (AttemptView | null)[] = task.attempts.length === 0 ? [null] : task.attempts;
  return attempts.map((attempt, index): TreeRow => {
    const isFirst = index === 0;
    const isLast = index === attempts.length - 1;
    return {
      branch: isFirst ? branch : `${deeper}  `,
      key: isFirst ? printableLine(task.key) : "",
      text: isFirst ? taskTitle(task.text) : `attempt ${attempt?.attempt ?? ""}`,
      after: isFirst && task.dependsOn.length > 0 ? `(after ${afterKeys(task.dependsOn)})` : "",
      middle: isLast ? lastWords(task, attempt) : attempt === null ? "" : retryWords(task, attempt),
      status: isLast ? status : null,
      isSettled,
    };
  });
}

function lastWords(task: TaskView, attempt: AttemptView | null): string {
  if (task.status === "split") return `split → ${task.into.map(printableLine).join(", ")}`;
  if (task.status === "failed" || task.status === "abandoned") return printableLine(task.reason ?? "");
  if (task.status === "waiting" && task.reason !== null) return printableLine(task.reason);
  return attempt === null ? "" : callWords(attempt);
}

/** Whether a status has its word in the last column. */
export function statusText(row: TreeRow): string {
  return row.status === null ? "" : statusWord(row.status);
}
