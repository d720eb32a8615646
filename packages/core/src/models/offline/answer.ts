/** Puts the results of all research tasks together: one answer, the report around it, and what was not found. */
import { findCitations } from "../../domain/citation.ts";
import { comparisonSections, rankCandidates, renderComparison, silentLines } from "./comparison.ts";
import { distinctFindings, mergeNeighbours, notInDocuments, type Finding, type ResearchResult } from "./result.ts";

export interface Answer {
  readonly goal: string;
  readonly parts: readonly AnswerPart[];
  readonly results: readonly ResearchResult[];
}

/** The answer to one question of the goal. */
export interface AnswerPart {
  readonly question: string;
  readonly isFound: boolean;
  /** Best first, with where each was looked for. */
  readonly findings: readonly (Finding & { readonly scope: string })[];
  readonly unknownWords: readonly string[];
}

/** Findings of the short answer, and of one place in the report. */
const maxAnswerFindings = 5;
const maxNearest = 4;
/** What is clearly weaker than the best finding is left to the report. */
const keptShare = 0.62;
/** Characters of the short answer: later stages clip a task's result at 4,000. */
const maxAnswerChars = 3600;

export function createAnswer(goal: string, results: readonly ResearchResult[]): Answer {
  const questions = [...new Set(results.flatMap((result) => result.facets.map((facet) => facet.question)))];
  const parts = questions.map((question): AnswerPart => {
    const facets = results.flatMap((result) =>
      result.facets.filter((facet) => facet.question === question).map((facet) => ({ ...facet, scope: result.scope })),
    );
    const isFound = facets.some((facet) => facet.isFound);
    const pool = facets
      .filter((facet) => facet.isFound || !isFound)
      .flatMap((facet) => facet.findings.map((finding) => ({ ...finding, scope: facet.scope })))
      .toSorted((a, b) => b.match - a.match);
    return {
      question,
      isFound,
      findings: distinctFindings(pool),
      unknownWords: [...new Set(facets.flatMap((facet) => facet.unknownWords))],
    };
  });
  return { goal, parts, results };
}

/** The answer in a few lines, every one a quotation. @param isComparison whether the places looked in are what is compared */
export function renderAnswer(answer: Answer, isComparison: boolean): string {
  if (isComparison) return fit([renderComparison(rankCandidates(answer.results), answer.goal.replaceAll(/\s+/g, " "))]);
  const shown = new Set<string>();
  const blocks = answer.parts.map((part) => {
    const heading = answer.parts.length > 1 ? [`${part.question}`] : [];
    return [...heading, ...(part.isFound ? foundLines(part, shown) : missingLines(part, shown))];
  });
  return fit(blocks);
}

/** @param shown places that the answer cited so far: none is cited twice */
function foundLines(part: AnswerPart, shown: Set<string>): string[] {
  const best = bestFindings(part);
  const [first] = findCitations(best[0]?.citations ?? "");
  const isAbove = first !== undefined && shown.has(`${first.path}:${first.line}`);
  const lines = [
    ...(isAbove ? [`See above: ${first.path}, line ${first.line}.`] : []),
    ...mergeNeighbours(distinctFindings(best, shown)).map((finding) => `- ${finding.citations}`),
  ];
  const unknown =
    part.unknownWords.length > 0
      ? [
          `${notInDocuments}: ${part.unknownWords.join(", ")} (no line holds ${part.unknownWords.length > 1 ? "these words" : "this word"}).`,
        ]
      : [];
  return [...lines, ...unknown];
}

function missingLines(part: AnswerPart, shown: Set<string>): string[] {
  const words = part.unknownWords.length > 0 ? ` No line holds: ${part.unknownWords.join(", ")}.` : "";
  const nearest = mergeNeighbours(distinctFindings(part.findings.slice(0, maxNearest), shown));
  return [
    `${notInDocuments}: ${sentenceOf(part.question)}${words}`,
    ...(nearest.length > 0
      ? [
          "The nearest lines, which do not answer it as far as their words show:",
          ...nearest.map((finding) => `- ${finding.citations}`),
        ]
      : []),
  ];
}

const sentenceOf = (text: string) => (/[.?!…]["')\]]*$/.test(text) ? text : `${text}.`);

function bestFindings(part: AnswerPart): readonly Finding[] {
  const least = (part.findings[0]?.match ?? 0) * keptShare;
  return part.findings.filter((finding) => finding.match >= least).slice(0, maxAnswerFindings);
}

/** Places in order of how much they say to the question. */
function rankScopes(
  part: AnswerPart,
): { readonly scope: string; readonly findings: readonly Finding[]; readonly worth: number }[] {
  const scopes = [...new Set(part.findings.map((finding) => finding.scope))];
  return scopes
    .map((scope) => {
      const findings = part.findings.filter((finding) => finding.scope === scope);
      const [first = 0, second = 0, third = 0] = findings.map((finding) => finding.match);
      return { scope, findings, worth: first + second / 2 + third / 4 };
    })
    .toSorted((a, b) => b.worth - a.worth);
}

const name = (scope: string) => scope.replace(/\/(?= |$)/, "");

/** Whole lines as long as there is room; each question keeps its first ones. */
function fit(blocks: readonly (readonly string[])[]): string {
  const room = maxAnswerChars / Math.max(1, blocks.length);
  return blocks
    .map((lines) => {
      let chars = 0;
      return lines.filter((line, at) => (chars += line.length + 1) <= room || at === 0).join("\n");
    })
    .join("\n\n");
}

/** The report: the answer first, then all that was found by place, what was not, and the files cited. */
export function renderReport(answer: Answer, isComparison: boolean): string {
  const cited = new Map<string, number>();
  for (const citation of findCitations(
    answer.parts.flatMap((part) => part.findings.map((finding) => finding.citations)).join("\n"),
  ))
    cited.set(citation.path, (cited.get(citation.path) ?? 0) + 1);
  const missing = isComparison
    ? silentLines(rankCandidates(answer.results))
    : answer.parts.flatMap((part) => [
        ...(part.isFound ? [] : [`- ${part.question}`]),
        ...(part.unknownWords.length > 0 ? [`- any line that holds: ${part.unknownWords.join(", ")}`] : []),
      ]);
  const silent = answer.results
    .filter((result) => result.facets.every((facet) => !facet.isFound))
    .map((result) => result.scope);
  return [
    `# ${answer.goal.replaceAll(/\s+/g, " ").slice(0, 200)}`,
    "Made without a language model: lines found and ranked by their words, quoted as they stand. Nothing here is reasoned.",
    `## Answer\n\n${renderAnswer(answer, isComparison)}`,
    ...(isComparison ? comparisonSections(rankCandidates(answer.results)) : []),
    ...answer.parts
      .filter((part) => part.isFound && !isComparison)
      .map((part) => findingsSection(part, answer.parts.length > 1)),
    `## ${notInDocuments}\n\n${missing.length > 0 ? missing.join("\n") : "Every question above has lines that speak to it."}${silent.length > 0 ? `\n\nNothing that speaks to the question: ${silent.join("; ")}.` : ""}`,
    `## Sources\n\n${[...cited].map(([path, count]) => `- ${path} (${count} ${count === 1 ? "citation" : "citations"})`).join("\n") || "None."}`,
  ]
    .join("\n\n")
    .concat("\n");
}

const maxReportFindings = 8;

function findingsSection(part: AnswerPart, isOneOfMany: boolean): string {
  const places = rankScopes(part).map(
    ({ scope, findings }) =>
      `### ${name(scope)}\n\n${mergeNeighbours(findings.slice(0, maxReportFindings))
        .map((finding) => `- ${finding.citations}`)
        .join("\n")}`,
  );
  return [`## Findings${isOneOfMany ? `: ${part.question}` : ""}`, ...places].join("\n\n");
}
