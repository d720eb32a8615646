/** The plain log of a run: what to print when an event comes and nothing can be redrawn. */
import type { EventResource } from "@outerloop/core/domain";
import { printableLine } from "../text/printable.ts";
import { formatCount, formatDuration, formatUsd, plural } from "../text/quantities.ts";
import { truncate } from "../text/width.ts";
import { awayWords, guardWords, questionWords, readEventData, waitWords, type GoalView } from "./goal-view.ts";
import { afterKeys, taskTitle } from "./task-words.ts";

const maxTextChars = 100;

/** @param view as it is with the event seen */
export function eventLines(view: GoalView, event: EventResource): readonly string[] {
  const data = readEventData(event);
  const key = printableLine(data.key || view.tasks.find((task) => task.id === event.task)?.key || "");
  const reason = truncate(printableLine(data.reason), maxTextChars);
  switch (event.type) {
    case "goal.planned": {
      const number = view.rounds.length;
      return data.tasks.length === 0
        ? []
        : [`plan${number > 1 ? ` ${number}` : ""}  ${plural(data.tasks.length, "task")}`];
    }
    case "task.created":
      return [
        `  ${key} ${truncate(taskTitle(data.text), maxTextChars)}${data.depends_on.length > 0 ? ` (after ${afterKeys(data.depends_on)})` : ""}`,
      ];
    case "task.started":
      return [`${key} started${data.attempt > 1 ? ` (attempt ${data.attempt})` : ""}`];
    case "step.tool":
      return [
        `${key} ${printableLine(`${data.tool} ${data.about}`)}  ${data.ok ? "" : "error, "}${formatDuration(data.ms)}`,
      ];
    case "task.waiting":
      return data.on.length === 0 && data.reason !== ""
        ? [`${key} waits: ${printableLine(awayWords(data))}`]
        : [`${key} waits ${truncate(printableLine(waitWords(data.on)), maxTextChars)}`.trim()];
    case "task.done":
      return [`${key} done`];
    case "task.retried":
      return [`${key} retry: ${truncate(printableLine(data.hint), maxTextChars)}`];
    case "task.split":
      return [`${key} split → ${data.into.map(printableLine).join(", ")}`];
    case "task.failed":
      return [`${key} failed: ${reason}`];
    case "task.abandoned":
      return [`${key} abandoned: ${reason}`];
    case "goal.understood":
      return [
        `understood: ${truncate(printableLine(data.intent), maxTextChars)}`,
        ...(data.deliverable === ""
          ? []
          : [`  deliverable: ${truncate(printableLine(data.deliverable), maxTextChars)}`]),
      ];
    case "goal.asked":
      return view.question === null
        ? []
        : ["it asks you:", ...questionWords(view.question).map((line) => `  ${printableLine(line)}`)];
    case "goal.answered":
      return [
        `${data.by === "" ? "nobody answered, taken" : `answered by ${printableLine(data.by)}`}: ${truncate(printableLine(data.answer), maxTextChars)}`,
      ];
    case "goal.guarded":
      return [`guard: ${printableLine(guardWords(data))}`];
    case "goal.paused":
      return ["paused"];
    case "goal.resumed":
      return ["resumed"];
    case "budget.warning":
      return [`budget: ${budgetLine(event)}`];
    case "approval.requested":
      return [
        `${key} asks for your ${data.kind === "outcome" ? "word on" : "approval of"} ${truncate(printableLine(`${data.tool} ${data.about}`.trim()), maxTextChars)}  (${printableLine(data.id)})`,
      ];
    case "approval.decided":
      return [`${key} ${printableLine(`${data.tool}: ${data.decision}${data.by === "" ? "" : ` by ${data.by}`}`)}`];
    // The end is told with the answer; model steps and verdicts show in what follows from them.
    case "goal.created":
    case "goal.succeeded":
    case "goal.failed":
    case "goal.abandoned":
    case "goal.cancelled":
    case "task.reflected":
    case "step.model":
    case "memory.written":
      return [];
  }
}

/** `80 of 100 steps used` */
function budgetLine(event: EventResource): string {
  const { budget, used, limit } = event.data;
  if (typeof budget !== "string" || typeof used !== "number" || typeof limit !== "number") return "nearly spent";
  switch (budget) {
    case "wall_ms":
      return `${formatDuration(used)} of ${formatDuration(limit)} used`;
    case "usd":
      return `${formatUsd(used)} of ${formatUsd(limit)} used`;
    default:
      return `${formatCount(used)} of ${formatCount(limit)} ${printableLine(budget)} used`;
  }
}
