/** The planner: research first, then the report, then the answer; round what failed. */
import type { Plan } from "../../domain/plan.ts";
import type { ModelRequest } from "../../domain/model.ts";
import { createAnswer, renderAnswer } from "./answer.ts";
import { isComparisonReport, reportPathOf } from "./execute-report.ts";
import { planReport, planResearch, researchTask } from "./plan-research.ts";
import { readPlanState, type PlanState, type PlanTask } from "./plan-state.ts";
import { readResult } from "./result.ts";
import { whyUnsupported } from "./unsupported.ts";

const nothing: Plan = { tasks: [], done: false, final_answer: "" };

const dead = new Set(["failed", "abandoned", "cancelled"]);
const live = new Set(["pending", "ready", "running", "waiting", "reflecting"]);
/** Reports planned for one goal; when as many failed, the answer is given without one. */
const maxReports = 2;

export function plan(request: ModelRequest): Plan {
  const state = readPlanState(request);
  if (state.tasks.length === 0) {
    const why = whyUnsupported(state);
    return why === undefined
      ? { ...nothing, tasks: planResearch(state) }
      : { ...nothing, final_answer: `unsupported: ${why}` };
  }
  const reports = state.tasks.filter((task) => reportPathOf(task.text) !== undefined && !task.isCutOff);
  const written = reports.findLast((task) => task.status === "done");
  if (written) return { ...nothing, done: true, final_answer: written.result };

  const isBlocked = blockedTasks(state.tasks);
  if (state.tasks.some((task) => live.has(task.status) && !isBlocked.has(task.id))) return nothing;

  const again = cutOffResearch(state.tasks);
  if (again.length > 0) {
    const first = nextNumber(state);
    return { ...nothing, tasks: again.map((text, at) => researchTask(state, `t${first + at}`, text)) };
  }
  const research = state.tasks.filter((task) => task.status === "done" && readResult(task.result) !== undefined);
  if (research.length === 0)
    return { ...nothing, final_answer: `No task of research came to a result. ${failures(state)}` };
  const isComparison = state.tasks.some((task) => isComparisonReport(task.text));
  if (reports.length < maxReports && state.tools.has("write_file"))
    return {
      ...nothing,
      tasks: [
        planReport(
          state,
          `t${nextNumber(state)}`,
          research.map((task) => task.id),
          isComparison,
        ),
      ],
    };
  const answer = createAnswer(
    state.goal,
    research.flatMap((task) => readResult(task.result) ?? []),
  );
  return { ...nothing, done: true, final_answer: renderAnswer(answer, isComparison) };
}

/** Tasks that wait for one that will never be done, directly or through others. */
function blockedTasks(tasks: readonly PlanTask[]): ReadonlySet<string> {
  const blocked = new Set(tasks.filter((task) => dead.has(task.status)).map((task) => task.id));
  for (let before = -1; before !== blocked.size;) {
    before = blocked.size; // ends: the set only grows, and the tasks are finite
    for (const task of tasks)
      if (task.status === "pending" && task.dependsOn.some((id) => blocked.has(id))) blocked.add(task.id);
  }
  return blocked;
}

/** Texts of research that a budget cut off and that nobody has taken up since. */
function cutOffResearch(tasks: readonly PlanTask[]): readonly string[] {
  const taken = new Set(tasks.filter((task) => !task.isCutOff).map((task) => task.text));
  const texts = tasks
    .filter((task) => task.isCutOff && reportPathOf(task.text) === undefined && !taken.has(task.text))
    .map((task) => task.text);
  return [...new Set(texts)];
}

function nextNumber(state: PlanState): number {
  const numbers = state.tasks.map((task) => Number(/^t(\d+)/.exec(task.id)?.[1] ?? 0));
  return Math.max(0, ...numbers) + 1;
}

function failures(state: PlanState): string {
  return state.tasks
    .filter((task) => dead.has(task.status))
    .map((task) => `${task.id} ${task.status}${task.result ? `: ${task.result.slice(0, 200)}` : ""}`)
    .join("; ");
}
