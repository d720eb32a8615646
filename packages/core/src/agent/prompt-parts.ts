/** Renders what a stage is told, one section a part, so that each part is kept once however many requests carry it. */
import { memorySection } from "../domain/request-refs.ts";
import { section } from "../domain/section.ts";
import type { Goal } from "../domain/goal.ts";
import type { GuardName } from "../domain/guard.ts";
import type { Intake } from "../domain/intake.ts";
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

export function goalTextPart(goal: Pick<Goal, "id" | "text" | "createdAt">): string {
  return section("goal", { id: goal.id, at: goal.createdAt.toISOString().slice(0, 10) }, goal.text);
}

/** The goal as every stage after intake is told of it: its text, what was understood of it, and what its submitter answered. */
export function goalParts(goal: Goal): string[] {
  return [
    goalTextPart(goal),
    ...(goal.intake === null ? [] : [section("intake", {}, renderIntake(goal.intake))]),
    ...assumptionParts(goal),
    ...goal.clarifications.map(({ about, question, answer, by }) =>
      section("clarification", { about, by: by ?? "default" }, `Question: ${question}\nAnswer: ${answer}`),
    ),
  ];
}

function renderIntake(intake: Intake): string {
  const lines = [`Intent: ${intake.intent}`];
  if (intake.deliverable !== "") lines.push(`Deliverable: ${intake.deliverable}`);
  for (const constraint of intake.constraints) lines.push(`Constraint: ${constraint}`);
  if (intake.entities.length > 0)
    lines.push(`Entities: ${intake.entities.map(({ type, value }) => `${value} (${type})`).join(", ")}`);
  if (intake.risk !== "") lines.push(`Risk: ${intake.risk}`);
  for (const item of intake.evidence) lines.push(`Must hold at the end: ${JSON.stringify(item)}`);
  return lines.join("\n");
}

/** What the text leaves open, where nobody was asked about it. */
function assumptionParts(goal: Goal): string[] {
  const open = goal.clarifications.some(({ about }) => about === "intake") ? [] : (goal.intake?.questions ?? []);
  return open.map((each) =>
    section(
      "clarification",
      { about: "intake", by: "assumption" },
      `Question: ${each.question}\nAnswer: ${each.default}`,
    ),
  );
}

/** What the guards on plans have to say to the planner. */
export function guardPart(guard: GuardName, why: string): string {
  return section("guard", { name: guard }, why);
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
  const review = task.status === "done" && task.reason !== null ? `\n\n(${task.reason})` : "";
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
    outcome ? `${task.text}\n\nResult:\n${clip(outcome, maxResultChars)}${review}` : task.text,
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
