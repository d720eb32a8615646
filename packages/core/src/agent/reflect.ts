/** Reflection as pure functions: what the reviewer is shown. The verdict's bounds are in `domain/task.ts`. */
import { outputSpecs, type Verdict } from "../domain/plan.ts";
import { section } from "../domain/section.ts";
import type { Goal } from "../domain/goal.ts";
import type { ModelRequest } from "../domain/model.ts";
import type { ToolStep } from "../domain/step.ts";
import { maxSplitDepth, type Task } from "../domain/task.ts";
import { unmetText, type EvidenceCheck } from "./evidence.ts";
import { clip, goalParts } from "./prompt-parts.ts";
import { reflectPrompt } from "./reflect.prompt.ts";

export interface ReflectState {
  readonly goal: Goal;
  readonly task: Task;
  readonly result: string;
  readonly trace: readonly ToolStep[];
  readonly evidence: EvidenceCheck;
}

export function reflectRequest(state: ReflectState): ModelRequest {
  const { task } = state;
  return {
    stage: "reflect",
    system: reflectPrompt,
    messages: [
      {
        role: "user",
        parts: [
          ...goalParts(state.goal),
          section(
            "evidence",
            { met: String(state.evidence.met) },
            state.evidence.lines.map((line) => `${line.met ? "met" : "unmet"}: ${line.text}`).join("\n"),
          ),
          section("trace", {}, state.trace.map(traceLine).join("\n")),
          section("result", {}, clip(state.result, 16_000)),
          ...(task.hint === null ? [] : [section("hint", { attempt: task.attempt }, task.hint)]),
          section(
            "task",
            { id: task.key, attempt: task.attempt, depth: task.depth, may_split: String(task.depth < maxSplitDepth) },
            task.text,
          ),
          section("request", {}, "Give your verdict on this task."),
        ],
      },
    ],
    tools: [],
    output: outputSpecs.verdict,
    maxOutputTokens: 4000,
  };
}

function traceLine(step: ToolStep): string {
  const folded = step.output.text.replaceAll(/\s+/g, " ");
  return `${step.name}(${clip(JSON.stringify(step.args), 300)}) -> ${step.ok ? "ok" : "error"}: ${folded.slice(0, 500)}`;
}

/** The verdict of the program itself, given without asking a model: the hint names what is missing. */
export function verdictOnMissingEvidence(evidence: EvidenceCheck): Verdict {
  return {
    status: "retry",
    reason: `Not done yet. What must hold and does not: ${unmetText(evidence)}.`,
    new_tasks: [],
    lesson: "",
  };
}
