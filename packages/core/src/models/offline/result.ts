/**
 * A research task's result: text for people whose shape later stages read back. Findings are lines `- citations (match
 * 0.81: words)`, under the question that they are for.
 */
import { findCitations, type Citation } from "../../domain/citation.ts";
import { renderCitation } from "./citation-text.ts";

export interface Finding {
  /** Citations of neighbouring lines. */
  readonly citations: string;
  /** 0–1, comparable between tasks of one goal. */
  readonly match: number;
  /** Words of the question that it holds. */
  readonly words: readonly string[];
  /** It denies what was looked for. */
  readonly speaksAgainst?: boolean;
}

/** What a task found for one question. */
export interface FacetResult {
  readonly question: string;
  /** Whether the findings speak to the question; else they are only the nearest lines. */
  readonly isFound: boolean;
  readonly findings: readonly Finding[];
  /** Words of the question that no line of the workspace holds. */
  readonly unknownWords: readonly string[];
}

/** A document that was not read as far as it should be: its cause to split a task. */
export interface Unread {
  readonly path: string;
  readonly lines: number;
  readonly places: number;
}

export interface ResearchResult {
  readonly scope: string;
  readonly facets: readonly FacetResult[];
  readonly unread?: Unread;
  /** It was searched for with fewer words in the first attempt already, so a second one has nothing else to try. */
  readonly isBroad?: true;
}

export const notInDocuments = "Not in these documents";
export const speaksAgainst = "speaks against:";
const broadLine = "Searched with fewer words too.";
const findingPattern = /^- (speaks against: )?(.+) \(match (\d\.\d\d)(?:: (.*))?\)$/;
const unreadPattern = /^Too long for one task: `(.+)` has (\d+) lines; (\d+) places that match were not read\.$/;

export function renderResult(result: ResearchResult): string {
  const lines = [`Looked in: ${result.scope}`];
  for (const facet of result.facets) {
    lines.push("", `Question: ${facet.question}`);
    if (!facet.isFound)
      lines.push(
        `${notInDocuments}: an answer that the words of the question lead to.${facet.findings.length > 0 ? " Nearest lines:" : ""}`,
      );
    lines.push(...facet.findings.map(renderFinding));
    if (facet.unknownWords.length > 0) lines.push(`No line holds: ${facet.unknownWords.join(", ")}`);
  }
  if (result.isBroad) lines.push("", broadLine);
  if (result.unread)
    lines.push(
      "",
      `Too long for one task: \`${result.unread.path}\` has ${result.unread.lines} lines; ${result.unread.places} places that match were not read.`,
    );
  return lines.join("\n");
}

function renderFinding(finding: Finding): string {
  return `- ${finding.speaksAgainst ? `${speaksAgainst} ` : ""}${finding.citations} (match ${finding.match.toFixed(2)}${finding.words.length > 0 ? `: ${finding.words.join(", ")}` : ""})`;
}

/** Undefined for a text of another shape. */
export function readResult(text: string): ResearchResult | undefined {
  const scope = /^Looked in: (.*)$/m.exec(text)?.[1];
  if (scope === undefined) return undefined;
  const facets: { question: string; isFound: boolean; findings: Finding[]; unknownWords: string[] }[] = [];
  let unread: Unread | undefined;
  for (const line of text.split("\n")) {
    const facet = facets.at(-1);
    if (line.startsWith("Question: "))
      facets.push({ question: line.slice("Question: ".length), isFound: true, findings: [], unknownWords: [] });
    else if (facet && line.startsWith(`${notInDocuments}:`)) facet.isFound = false;
    else if (facet && line.startsWith("No line holds: "))
      facet.unknownWords.push(...line.slice("No line holds: ".length).split(", "));
    else if (facet && line.startsWith("- ")) facet.findings.push(...readFinding(line));
    const tooLong = unreadPattern.exec(line);
    if (tooLong) unread = { path: tooLong[1]!, lines: Number(tooLong[2]), places: Number(tooLong[3]) };
  }
  const isBroad = text.split("\n").includes(broadLine);
  return { scope, facets, ...(unread ? { unread } : {}), ...(isBroad ? { isBroad } : {}) };
}

function readFinding(line: string): Finding[] {
  const [, against, citations, match, words] = findingPattern.exec(line) ?? [];
  if (citations === undefined || findCitations(citations).length === 0) return [];
  return [
    {
      citations,
      match: Number(match),
      words: words ? words.split(", ") : [],
      ...(against ? { speaksAgainst: true } : {}),
    },
  ];
}

/** Places of the same words that are named besides the first. */
const maxCopies = 2;

/**
 * One of each: no line is cited by two findings, and the same words elsewhere are cited with the first that says them.
 * @param shown places that were cited before; those cited now are added
 */
export function distinctFindings<Each extends Finding>(findings: readonly Each[], shown = new Set<string>()): Each[] {
  const kept: { finding: Each; copies: number }[] = [];
  const said = new Map<string, number>();
  for (const finding of findings) {
    const citations = findCitations(finding.citations).filter((citation) => !shown.has(placeOf(citation)));
    if (citations.length === 0) continue;
    for (const citation of citations) shown.add(placeOf(citation));
    const words = citations.map((citation) => citation.quote.toLowerCase()).join(" ");
    const text = citations.map(renderCitation).join(" ");
    const copied = kept[said.get(words) ?? -1];
    if (copied) {
      if (copied.copies < maxCopies)
        copied.finding = { ...copied.finding, citations: `${copied.finding.citations} ${text}` };
      copied.copies += 1;
    } else said.set(words, kept.push({ finding: { ...finding, citations: text }, copies: 0 }) - 1);
  }
  return kept.map(({ finding }) => finding);
}

/** Findings of one file whose lines follow one another become one, in the order of the lines, at the place of the better. */
export function mergeNeighbours<Each extends Finding>(findings: readonly Each[]): Each[] {
  const merged: Each[] = [];
  for (const finding of findings) {
    const at = merged.findIndex((other) => areNeighbours(other, finding));
    if (at < 0) merged.push(finding);
    else {
      const [other] = merged.splice(at, 1);
      const citations = findCitations(`${other!.citations} ${finding.citations}`).toSorted((a, b) => a.line - b.line);
      const whole = { ...other!, citations: citations.map(renderCitation).join(" ") };
      // What lay between two that are apart joins all three.
      const next = merged.findIndex((each) => areNeighbours(each, whole));
      if (next < 0) merged.splice(at, 0, whole);
      else merged.splice(0, merged.length, ...mergeNeighbours([...merged.slice(0, at), whole, ...merged.slice(at)]));
    }
  }
  return merged;
}

function areNeighbours(a: Finding, b: Finding): boolean {
  const [own, others] = [findCitations(a.citations), findCitations(b.citations)];
  const [path] = own.map((citation) => citation.path);
  if ([...own, ...others].some((citation) => citation.path !== path)) return false;
  return own.some((one) => others.some((other) => Math.abs(one.line - other.line) <= 1));
}

const placeOf = (citation: Citation) => `${citation.path}:${citation.line}`;
