/** Intake as pure functions: what a goal's text asks for, before anything is planned. */
import type { Intake } from "../domain/intake.ts";
import type { GoalEvidence } from "../domain/evidence.ts";
import type { Goal } from "../domain/goal.ts";
import type { ModelRequest, ToolSpec } from "../domain/model.ts";
import { outputSpecs } from "../domain/plan.ts";
import { section } from "../domain/section.ts";
import type { WorkspaceFile } from "../domain/tool.ts";
import { intakePrompt } from "./intake.prompt.ts";
import { goalTextPart, sessionParts, toolsPart, workspacePart, type SessionTurn } from "./prompt-parts.ts";

export interface IntakeState {
  readonly goal: Goal;
  readonly files: readonly WorkspaceFile[];
  readonly tools: readonly ToolSpec[];
  readonly session: readonly SessionTurn[];
}

const maxIntakeTokens = 4000;
const maxIntentChars = 300;

export function intakeRequest(state: IntakeState): ModelRequest {
  return {
    stage: "intake",
    system: intakePrompt,
    messages: [
      {
        role: "user",
        parts: [
          goalTextPart(state.goal),
          workspacePart(state.files),
          toolsPart(state.tools),
          ...sessionParts(state.session),
          section("request", {}, "Say what this goal asks for."),
        ],
      },
    ],
    tools: [],
    output: outputSpecs.intake,
    maxOutputTokens: maxIntakeTokens,
  };
}

/** What stands where no model could say: the text itself. */
export function plainIntake(goal: Pick<Goal, "text">): Intake {
  const intent = goal.text.replaceAll(/\s+/g, " ").trim().slice(0, maxIntentChars).toWellFormed();
  return { intent, entities: [], constraints: [], deliverable: "", risk: "", evidence: [], questions: [] };
}

/** Without what can never be met: a tool that does not exist, a path that leads out of the workspace. */
export function feasibleIntake(intake: Intake, tools: ReadonlySet<string>): Intake {
  const isFeasible = (item: GoalEvidence) =>
    "tool" in item ? tools.has(item.tool) : "artifact" in item ? isWorkspacePath(item.artifact) : true;
  return { ...intake, evidence: intake.evidence.filter(isFeasible) };
}

/** Relative, `/` between folders, no `.` or `..`. */
export function isWorkspacePath(path: string): boolean {
  return path.length <= 512 && !path.includes("\\") && !path.split("/").some((part) => ["", ".", ".."].includes(part));
}
