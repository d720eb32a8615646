/** What is kept of how a task went, for the next one like it: situation, what was tried, outcome, what to do next time. */
import type { Verdict } from "../domain/plan.ts";
import type { ToolStep } from "../domain/step.ts";
import type { ReflectionMove, Task } from "../domain/task.ts";

const maxTaskChars = 240;
const maxTriedChars = 320;
const maxWhyChars = 320;
const maxCalls = 8;

/**
 * Where something went wrong a lesson is written, whether the reviewer thought of one or not; where all went well only its own. Null
 * for none. One that has the four parts already is kept as it is.
 */
export function composeLesson(
  task: Pick<Task, "text" | "attempt" | "hint">,
  trace: readonly ToolStep[],
  verdict: Pick<Verdict, "reason" | "lesson">,
  move: ReflectionMove,
): string | null {
  const own = verdict.lesson.trim();
  if (/^situation:/i.test(own)) return own;
  const wentWell = move.to === "done" && task.attempt === 1;
  if (wentWell && own === "") return null;
  const next = own || nextTime(task, verdict.reason, move);
  return [
    `Situation: ${clip(firstParagraph(task.text), maxTaskChars)}`,
    `Tried: ${clip(triedOf(trace), maxTriedChars)}`,
    `Outcome: ${outcomeOf(task, verdict.reason, move)}`,
    `Next time: ${clip(next, maxWhyChars)}`,
  ].join("\n");
}

function outcomeOf(task: Pick<Task, "attempt">, reason: string, move: ReflectionMove): string {
  const why = clip(reason, maxWhyChars);
  switch (move.to) {
    case "done":
      return task.attempt === 1 ? "done" : `done at attempt ${task.attempt}`;
    case "ready":
      return `attempt ${task.attempt} was not accepted: ${why}`;
    case "split":
      return `too much for one task, split into ${move.subtasks.length}: ${why}`;
    case "abandoned":
      return `given up after ${task.attempt} attempt${task.attempt === 1 ? "" : "s"}: ${why}`;
  }
}

function nextTime(task: Pick<Task, "hint">, reason: string, move: ReflectionMove): string {
  switch (move.to) {
    case "done":
      return `do at once what the hint asked for: ${task.hint ?? reason}`;
    case "ready":
      return `see to this before answering: ${reason}`;
    case "split":
      return `plan it as smaller tasks from the start: ${move.subtasks.map((text) => clip(firstParagraph(text), 80)).join("; ")}`;
    case "abandoned":
      return `try another way than this, or leave it out: ${reason}`;
  }
}

function triedOf(trace: readonly ToolStep[]): string {
  if (trace.length === 0) return "no tool was called";
  const calls = trace
    .slice(0, maxCalls)
    .map((step) => `${step.name} ${JSON.stringify(step.args).slice(0, 60)}${step.ok ? "" : " (failed)"}`);
  const more = trace.length - calls.length;
  return `${calls.join(", ")}${more > 0 ? ` and ${more} more calls` : ""}`;
}

const firstParagraph = (text: string) => (text.split(/\n\s*\n/)[0] ?? "").replaceAll(/\s+/g, " ").trim();
const clip = (text: string, most: number) =>
  text.length <= most ? text : `${text.slice(0, most - 1).toWellFormed()}…`;
