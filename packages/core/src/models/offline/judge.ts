/** The reflector: a retry only where another attempt looks elsewhere, a split only where a document is too long. */
import { findCitations } from "../../domain/citation.ts";
import type { Verdict } from "../../domain/plan.ts";
import type { ModelRequest } from "../../domain/model.ts";
import { looksLike } from "./answer-kind.ts";
import { renderLesson } from "./lesson.ts";
import { lessonOfReport, lessonOfResearch } from "./lesson-of-task.ts";
import { reportPathOf } from "./execute-report.ts";
import { readPrompt } from "./prompt.ts";
import { readQuestion, type AnswerKind } from "./question.ts";
import { fullEffort, readResearchTask, renderResearchTask } from "./research-task.ts";
import { readResult, type ResearchResult, type Unread } from "./result.ts";

/** Kinds of answers whose absence can be seen. */
const visibleKinds: readonly (readonly [AnswerKind, string])[] = [
  ["figure", "a figure"],
  ["date", "a date"],
];
/** Lines of each subtask of a split at least: each costs a dozen steps of the goal's budget. */
const minPartLines = 1000;

export function judge(request: ModelRequest): Verdict {
  const prompt = readPrompt(request);
  const task = prompt.first("task");
  const attempt = Number(task?.attributes["attempt"] ?? 1);
  const evidence = prompt.first("evidence");
  const result = prompt.body("result");
  const verdict = (status: Verdict["status"], reason: string, more: Partial<Verdict> = {}): Verdict => ({
    status,
    reason,
    new_tasks: [],
    lesson: "",
    ...more,
  });

  if (evidence?.attributes["met"] === "false") {
    const unmet = evidence.body.split("\n").filter((line) => line.startsWith("unmet:"));
    return verdict("retry", `Not done yet: ${unmet.map((line) => line.slice("unmet:".length).trim()).join("; ")}`);
  }
  if (reportPathOf(task?.body ?? "") !== undefined)
    return verdict("done", "The report is written.", { lesson: reportLesson(prompt.body("goal"), result) });

  const research = readResult(result);
  if (research === undefined) return verdict("done", "The task gave a result.");
  const researchTask = readResearchTask(task?.body ?? "");
  const { criteria, lines, except, effort } = researchTask;
  const isBroad = attempt > 1 || research.isBroad === true;
  const learned = lessonOfResearch(researchTask, research, prompt.body("trace"), isBroad);
  const done = (reason: string) => verdict("done", reason, { lesson: renderLesson(learned) });
  // A task among others is split at once or not at all: what both cost is more than its share.
  const maySplit = effort === undefined || (effort.parts > 0 && attempt === 1);
  const isPart = lines !== undefined || except !== undefined;
  if (research.unread && task?.attributes["may_split"] === "true" && maySplit && !isPart)
    return verdict("split", `${research.unread.path} is too long for one task.`, {
      new_tasks: partsOf(task.body, research.unread),
    });

  if (isBroad)
    return done(
      isFound(research)
        ? "The broadened search found it."
        : "The broadened search found nothing that speaks to the question either.",
    );
  // A part of a split was searched twice already: as a part of the whole, and by itself.
  if (isPart)
    return done(
      isFound(research) ? "Lines that speak to the question are cited." : "These lines do not speak to the question.",
    );
  const missing = criteria ? missingCriteria(research) : missingEvidence(research);
  if (missing) return verdict("retry", missing);
  return done("Lines that speak to the question are cited.");
}

function isFound(research: ResearchResult): boolean {
  return research.facets.some((facet) => facet.isFound);
}

function missingCriteria(research: ResearchResult): string | undefined {
  if (isFound(research)) return undefined;
  return `No line was found that speaks to any of: ${research.facets.map((facet) => facet.question).join(", ")}. Search for each word alone.`;
}

/** What a broader search may still find; undefined where nothing is missing. */
function missingEvidence(research: ResearchResult): string | undefined {
  const silent = research.facets.find((facet) => !facet.isFound);
  if (silent) return `No line was found that speaks to: ${silent.question} Search with fewer words.`;
  for (const facet of research.facets) {
    const { kinds } = readQuestion(facet.question);
    const quotes = facet.findings.flatMap((finding) =>
      findCitations(finding.citations).map((citation) => citation.quote),
    );
    for (const [kind, name] of visibleKinds)
      if (asksFirstFor(facet.question, kind) && kinds.has(kind) && !quotes.some((quote) => looksLike(quote, kind)))
        return `The question asks for ${name}, and no cited line holds one. Search with fewer words.`;
  }
  return undefined;
}

/** Whether the question is put for this kind of answer, and does not only mention it. */
function asksFirstFor(question: string, kind: AnswerKind): boolean {
  return kind === "date"
    ? /\bwhen (?:was|were|did)\b|\b(?:what|which) (?:date|year)\b/i.test(question)
    : /\bhow (?:many|much|large|big|long|fast|often|old)\b/i.test(question);
}

function partsOf(taskText: string, unread: Unread): string[] {
  const { question, criteria, scope, effort } = readResearchTask(taskText);
  const comparing = { ...(criteria ? { criteria } : {}), ...(effort ? { effort } : {}) };
  const parts = Math.max(2, Math.min((effort ?? fullEffort).parts, Math.floor(unread.lines / minPartLines)));
  const size = Math.ceil(unread.lines / parts);
  const ranges = Array.from({ length: parts }, (_, at) => {
    const lines = { from: at * size + 1, to: Math.min(unread.lines, (at + 1) * size) };
    return renderResearchTask(`Find what lines ${lines.from}-${lines.to} of ${unread.path} say to the question.`, {
      question,
      scope: [unread.path],
      lines,
      ...comparing,
    });
  });
  // What else the task was to look through is not lost.
  const isAlone = scope.length === 1 && scope[0] === unread.path;
  return isAlone
    ? ranges
    : [
        ...ranges,
        renderResearchTask("Find what the other documents say to the question.", {
          question,
          scope,
          except: unread.path,
          ...comparing,
        }),
      ];
}

/** Empty where nothing was cited. */
function reportLesson(goal: string, result: string): string {
  const lesson = lessonOfReport(goal, result);
  return lesson.fruitful.length > 0 ? renderLesson(lesson) : "";
}
