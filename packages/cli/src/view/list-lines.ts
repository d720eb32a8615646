/** Goals as a table: one line each. */
import type { GoalStatus, GoalSummary } from "@outerloop/core/domain";
import { shortIds } from "../short-id.ts";
import { formatDuration, plural } from "../text/quantities.ts";
import { printableLine } from "../text/printable.ts";
import type { Style } from "../text/style.ts";
import { padEnd, truncate, widthOf } from "../text/width.ts";
import { taskTitle } from "./task-words.ts";

export interface ListSize {
  /** Milliseconds since 1970: ages are counted from it. */
  readonly now: number;
  readonly width: number;
}

export function listLines(goals: readonly GoalSummary[], { now, width }: ListSize, style: Style): string[] {
  if (goals.length === 0) return ['No goals yet. Run one: npx outerloop run "…"'];
  const ids = shortIds(goals.map((goal) => goal.id));
  const rows = goals.map((goal) => ({
    goal,
    id: printableLine(ids.get(goal.id) ?? goal.id),
    status: goal.reason === null ? goal.status : `${goal.status} (${printableLine(goal.reason)})`,
    age: `${formatDuration(Math.max(0, now - Date.parse(goal.created_at))).replace(/^(\d+ \w+) .*/, "$1")} ago`,
    steps: plural(goal.usage.steps, "step"),
  }));
  const widest = (of: (row: (typeof rows)[number]) => string) => Math.max(...rows.map((row) => widthOf(of(row))));
  const [idWidth, statusWidth, ageWidth, stepsWidth] = [
    widest((row) => row.id),
    widest((row) => row.status),
    widest((row) => row.age),
    widest((row) => row.steps),
  ];
  return rows.map((row) => {
    const room = Math.max(20, width - idWidth - statusWidth - ageWidth - stepsWidth - 8);
    return [
      style.strong(padEnd(row.id, idWidth)),
      paintStatus(row.goal.status, padEnd(row.status, statusWidth), style),
      style.faint(padEnd(row.age, ageWidth)),
      style.faint(padEnd(row.steps, stepsWidth)),
      truncate(taskTitle(row.goal.text), room),
    ].join("  ");
  });
}

export function paintStatus(status: GoalStatus, text: string, style: Style): string {
  switch (status) {
    case "succeeded":
      return style.good(text);
    case "failed":
    case "abandoned":
    case "cancelled":
      return style.bad(text);
    case "queued":
    case "planning":
    case "running":
    case "waiting":
    case "paused":
      return style.busy(text);
  }
}
