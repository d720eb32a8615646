/** Planning as pure functions: what to ask the model, and what its plan is worth. */
import { outputSpecs, type Plan, type PlannedTask } from "../domain/plan.ts";
import { defaultPayloadLimits } from "../domain/payload.ts";
import type { Trip } from "../domain/guard.ts";
import { section } from "../domain/section.ts";
import type { Goal } from "../domain/goal.ts";
import type { ModelRequest, ToolSpec } from "../domain/model.ts";
import type { RecalledMemory, WorkspaceFile } from "../domain/tool.ts";
import { askedFiles } from "./claims.ts";
import { isWorkspacePath } from "./intake.ts";
import {
  goalParts,
  guardPart,
  memoryParts,
  sessionParts,
  taskPart,
  toolsPart,
  workspacePart,
  type SessionTurn,
  type TaskLine,
} from "./prompt-parts.ts";
import { planPrompt } from "./plan.prompt.ts";

export interface PlanState {
  readonly goal: Goal;
  readonly files: readonly WorkspaceFile[];
  readonly tools: readonly ToolSpec[];
  readonly session: readonly SessionTurn[];
  readonly tasks: readonly TaskLine[];
  readonly memories: readonly RecalledMemory[];
  /** What a guard on plans has found since the last one. */
  readonly trip: Trip | null;
}

/** Tokens of a plan: seven tasks of a paragraph each, or an answer of two pages. */
const maxPlanTokens = 8000;

export function planRequest(state: PlanState): ModelRequest {
  const round = state.goal.planRound + 1;
  return {
    stage: "plan",
    system: planPrompt,
    messages: [
      {
        role: "user",
        parts: [
          ...goalParts(state.goal),
          workspacePart(state.files),
          toolsPart(state.tools),
          ...sessionParts(state.session),
          ...state.tasks.map(taskPart),
          ...memoryParts(state.memories),
          ...(state.trip === null ? [] : [guardPart(state.trip.guard, state.trip.why)]),
          section("request", { round }, round === 1 ? "Plan the first tasks." : "Plan what comes next, or finish."),
        ],
      },
    ],
    tools: [],
    output: outputSpecs.plan,
    maxOutputTokens: maxPlanTokens,
  };
}

export type CheckedPlan =
  | { readonly kind: "tasks"; readonly tasks: readonly PlannedTask[] }
  | { readonly kind: "done"; readonly answer: string }
  | { readonly kind: "unsupported"; readonly why: string }
  | { readonly kind: "nothing"; readonly why: string }
  | { readonly kind: "invalid"; readonly why: string };

/** What a plan may name. */
export interface KnownToPlan {
  readonly keys: ReadonlySet<string>;
  readonly tools: ReadonlySet<string>;
  readonly makesFiles: (tool: string) => boolean;
}

/** Rejects what could not run or could never be done: two tasks of one id, a dependency or tool that does not exist, a cycle. `why` goes back to the model. */
export function checkPlan(
  plan: Plan,
  known: KnownToPlan,
  maxTasks: number = defaultPayloadLimits.planTasks,
): CheckedPlan {
  if (plan.done) {
    if (!plan.final_answer.trim())
      return { kind: "invalid", why: "done is true but final_answer is empty: write the final answer." };
    return { kind: "done", answer: plan.final_answer.trim() };
  }
  if (plan.tasks.length === 0) {
    const unsupported = /^\s*unsupported:\s*(.*)$/is.exec(plan.final_answer);
    if (unsupported)
      return { kind: "unsupported", why: unsupported[1]?.trim() || "The goal is beyond this model and its tools." };
    return { kind: "nothing", why: plan.final_answer.trim() || "The planner sees nothing more to do." };
  }
  if (plan.tasks.length > maxTasks)
    return {
      kind: "invalid",
      why: `The plan has ${plan.tasks.length} tasks, more than the ${maxTasks} that it may have: plan the first of them, the rest comes later.`,
    };
  const ids = new Set<string>();
  for (const task of plan.tasks) {
    if (ids.has(task.id)) return { kind: "invalid", why: `Two tasks have the id "${task.id}".` };
    ids.add(task.id);
  }
  for (const task of plan.tasks) {
    for (const id of task.depends_on) {
      if (id === task.id) return { kind: "invalid", why: `Task "${id}" depends on itself.` };
      if (!ids.has(id) && !known.keys.has(id))
        return { kind: "invalid", why: `Task "${task.id}" depends on "${id}", which does not exist.` };
    }
    const stranger = task.tools.find((name) => !known.tools.has(name));
    if (stranger)
      return {
        kind: "invalid",
        why: `Task "${task.id}" asks for the tool "${stranger}", which does not exist. There are: ${[...known.tools].join(", ")}.`,
      };
  }
  for (const task of plan.tasks) {
    const why = whyNeverDone(task, known);
    if (why !== null) return { kind: "invalid", why };
  }
  const cycle = findCycle(plan.tasks);
  if (cycle) return { kind: "invalid", why: `Tasks depend on one another in a circle: ${cycle.join(" → ")}.` };
  return { kind: "tasks", tasks: plan.tasks };
}

/** Evidence that no attempt could give. */
function whyNeverDone(task: PlannedTask, known: KnownToPlan): string | null {
  for (const item of task.evidence) {
    if ("tool" in item && !(task.tools.length === 0 ? known.tools : new Set(task.tools)).has(item.tool))
      return `The evidence of task "${task.id}" names the tool "${item.tool}", which the task is not offered.`;
    if ("artifact" in item && !isWorkspacePath(item.artifact))
      return `The evidence of task "${task.id}" names the file "${item.artifact}": paths are relative, with / between folders and without . or ...`;
  }
  const file = askedFiles(task.text)[0];
  if (file !== undefined && task.tools.length > 0 && !task.tools.some(known.makesFiles))
    return `Task "${task.id}" is to write ${file}, but is offered no tool that writes files.`;
  return null;
}

/** Kahn's algorithm: what cannot be taken off is on a circle, or behind one. */
function findCycle(tasks: readonly PlannedTask[]): string[] | undefined {
  const own = new Set(tasks.map((task) => task.id));
  const waiting = new Map(tasks.map((task) => [task.id, new Set(task.depends_on.filter((id) => own.has(id)))]));
  for (;;) {
    const free = [...waiting].find(([, needs]) => needs.size === 0)?.[0];
    if (free === undefined) break; // ends: each round takes one task off
    waiting.delete(free);
    for (const needs of waiting.values()) needs.delete(free);
  }
  if (waiting.size === 0) return undefined;
  const path: string[] = [];
  let at = waiting.keys().next().value;
  while (at !== undefined && !path.includes(at)) {
    path.push(at);
    at = waiting.get(at)?.values().next().value;
  }
  return at === undefined ? path : [...path.slice(path.indexOf(at)), at];
}
