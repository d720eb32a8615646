/** Renders what a stage is told, one section a part, so that each part is kept once however many requests carry it. */
import { memorySection } from "../domain/request-refs.ts";
import { section } from "../domain/section.ts";
import type { Goal } from "../domain/goal.ts";
import type { Task } from "../domain/task.ts";
import type { RecalledMemory, WorkspaceFile } from "../domain/tool.ts";
import type { ToolSpec } from "../domain/model.ts";

/** Characters of one task's result in a prompt; the whole of it is in the journal. */
const maxResultChars = 4000;
const maxNoteChars = 500;
/** Files named in a plan's prompt; list_files tells the rest. */
export const maxListedFiles = 400;

/** An earlier goal of the same session. */
export interface SessionTurn {
  readonly goalId: string;
  readonly text: string;
  readonly answer: string;
  /** What it wrote down on the way. */
  readonly notes: readonly string[];
}

export function clip(text: string, maxChars: number): string {
  return text.length <= maxChars
    ? text
    : `${text.slice(0, maxChars).toWellFormed()}\n… (${text.length - maxChars} more characters)`;
}

export function goalPart(goal: Pick<Goal, "id" | "text" | "createdAt">): string {
  return section("goal", { id: goal.id, at: goal.createdAt.toISOString().slice(0, 10) }, goal.text);
}

export function workspacePart(files: readonly WorkspaceFile[]): string {
  const lines = files.slice(0, maxListedFiles).map((file) => `${file.path}\t${file.size}`);
  if (files.length > maxListedFiles) lines.push(`… and ${files.length - maxListedFiles} more`);
  return section(
    "workspace",
    { files: files.length, bytes: files.reduce((sum, file) => sum + file.size, 0) },
    lines.join("\n"),
  );
}

export function toolsPart(tools: readonly ToolSpec[]): string {
  return section("tools", {}, tools.map((tool) => `${tool.name}: ${tool.description.split("\n")[0] ?? ""}`).join("\n"));
}

export function sessionParts(turns: readonly SessionTurn[]): string[] {
  return turns.map((turn) => {
    const notes = turn.notes.map((note) => `\nNote: ${clip(note, maxNoteChars)}`).join("");
    return section(
      "session",
      { goal: turn.goalId },
      `Question: ${turn.text}\nAnswer: ${clip(turn.answer, maxResultChars)}${notes}`,
    );
  });
}

const cutOffText =
  "(not done: a budget ended before it, and more was given since; plan it again, as a new task, where it is still needed)";

export interface TaskLine {
  readonly task: Task;
  readonly dependsOn: readonly string[];
  readonly parentKey: string | null;
}

export function taskPart({ task, dependsOn, parentKey }: TaskLine): string {
  // Its text alone would read like work that was given up.
  const cutOff = task.status === "cancelled" && task.reason === "goal_ended";
  const outcome = cutOff ? cutOffText : (task.result ?? task.reason);
  return section(
    "task",
    {
      id: task.key,
      status: task.status,
      attempt: task.attempt,
      depends_on: dependsOn.join(" "),
      parent: parentKey ?? "",
      ...(cutOff && { cut_off: "true" }),
    },
    outcome ? `${task.text}\n\nResult:\n${clip(outcome, maxResultChars)}` : task.text,
  );
}

export function dependencyPart(task: Task): string {
  return section("dependency", { id: task.key, status: task.status }, clip(task.result ?? "", 4 * maxResultChars));
}

export function memoryParts(memories: readonly RecalledMemory[]): string[] {
  return memories.map((memory) =>
    section(memorySection, { kind: memory.kind, at: memory.createdAt.slice(0, 10) }, clip(memory.text, 1000)),
  );
}
