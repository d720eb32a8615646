/** The report task: reads what the research tasks found, writes the report, says the answer. */
import type { ModelRequest } from "../../domain/model.ts";
import { createAnswer, renderAnswer, renderReport } from "./answer.ts";
import { readPrompt, turnsOf } from "./prompt.ts";
import { readResult } from "./result.ts";
import type { Turn } from "./turn.ts";

const reportPattern = /^Write `([^`]+)`/;
const comparesPattern = /\bcompare what was found\b/i;

export function renderReportTask(path: string, isComparison: boolean): string {
  return isComparison
    ? `Write \`${path}\`: compare what was found in each place, answer first, every claim cited.`
    : `Write \`${path}\`: the answer first, then the findings, every claim cited.`;
}

/** The file that a report task is to write; undefined for another task. */
export function reportPathOf(taskText: string): string | undefined {
  return reportPattern.exec(taskText)?.[1];
}

export function isComparisonReport(taskText: string): boolean {
  return comparesPattern.test(taskText);
}

export function reportTurn(request: ModelRequest, path: string): Turn {
  const prompt = readPrompt(request);
  const results = prompt.all("dependency").flatMap((section) => readResult(section.body) ?? []);
  const answer = createAnswer(prompt.body("goal"), results);
  const isComparison = isComparisonReport(prompt.body("task"));
  const written = turnsOf(request)
    .flat()
    .find(({ call }) => call.name === "write_file");
  if (!written && request.tools.some((tool) => tool.name === "write_file"))
    return { calls: [{ name: "write_file", args: { path, text: renderReport(answer, isComparison) } }] };
  const where = written?.result.ok
    ? `Report: ${path}`
    : `${path} was not written${written ? `: ${written.result.text.slice(0, 200)}` : ""}`;
  return { text: `${renderAnswer(answer, isComparison)}\n\n${where}` };
}
