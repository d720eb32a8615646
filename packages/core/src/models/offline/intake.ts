/** The goal as it stands, and what in it looks like a name. Invents nothing. */
import type { Intake } from "../../domain/intake.ts";
import type { ModelRequest } from "../../domain/model.ts";
import { readPrompt } from "./prompt.ts";
import { readQuestion } from "./question.ts";

const maxEntities = 10;
const maxIntentChars = 300;

export function intake(request: ModelRequest): Intake {
  const prompt = readPrompt(request);
  const goal = prompt.body("goal").replaceAll(/\s+/g, " ").trim();
  const { terms } = readQuestion(goal);
  return {
    intent: goal.slice(0, maxIntentChars) || "nothing was asked",
    entities: terms
      .filter((term) => term.isName)
      .slice(0, maxEntities)
      .map((term) => ({ type: "name", value: term.text })),
    constraints: [],
    deliverable:
      Number(prompt.first("workspace")?.attributes["files"] ?? 0) > 0
        ? "an answer with citations, and report.md"
        : "an answer",
    risk: "none",
    evidence: [],
    questions: [],
  };
}
