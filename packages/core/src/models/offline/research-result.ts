/** From what a research task read to its result. */
import { judgeCriterion } from "./execute-comparison.ts";
import { judgeExcerpts } from "./findings.ts";
import type { WordCounts } from "./match.ts";
import type { Excerpt } from "./passages.ts";
import type { Question } from "./question.ts";
import { hitsOf, type Research } from "./research.ts";
import { scopeText } from "./research-task.ts";
import type { FacetResult, ResearchResult, Unread } from "./result.ts";
import { readExcerpt, type SearchText } from "./tool-texts.ts";
import type { Window } from "./windows.ts";

/** Below this confidence the best lines found are only the nearest ones; a broader search is content with less. */
const minConfidence = 0.55;
const minBroadConfidence = 0.5;
/** Nearest lines shown where none is good enough. */
const nearestShown = 4;
/** A document is too long if it has more lines than one task can read, and matches in at least this many unread places. */
const longDocumentLines = 1000;
const minUnreadPlaces = 6;

/** @param left windows that were not read */
export function resultOf(research: Research, searches: readonly SearchText[], left: readonly Window[]): ResearchResult {
  const { task, facets, attempt, isBroad } = research;
  const excerpts = excerptsOf(research, searches);
  const results = task.criteria
    ? task.criteria.map((name) => judgeCriterion(name, excerpts))
    : facets.map((facet) => facetResult(facet, countsOf(searches), excerpts, isBroad));
  const isIncomplete = task.criteria
    ? results.every((facet) => !facet.isFound)
    : results.some((facet) => !facet.isFound);
  const long = isIncomplete ? unreadDocument(excerpts, left) : undefined;
  return {
    scope: scopeText(task),
    facets: results,
    ...(long ? { unread: long } : {}),
    ...(isBroad && attempt === 1 ? { isBroad } : {}),
  };
}

function facetResult(facet: Question, counts: WordCounts, excerpts: readonly Excerpt[], isBroad: boolean): FacetResult {
  const { findings, confidence } = judgeExcerpts(facet, counts, excerpts);
  const isFound = confidence >= (isBroad ? minBroadConfidence : minConfidence);
  // A word is not missed where an answer says it by a synonym.
  const said = new Set(isFound ? findings.flatMap((finding) => finding.words) : []);
  const unknownWords = facet.terms
    .filter((term) => counts.holding.get(term.text) === 0 && !said.has(term.text))
    .map((term) => term.text);
  return {
    question: facet.text.replaceAll(/\s+/g, " "),
    isFound,
    findings: isFound ? findings : findings.slice(0, nearestShown),
    unknownWords,
  };
}

function countsOf(searches: readonly SearchText[]): WordCounts {
  const holding = new Map(searches.flatMap((search) => [...search.counts.holding]));
  return { lines: Math.max(0, ...searches.map((search) => search.counts.lines)), holding };
}

/** What was read; where reading was not offered or failed, the hits themselves. */
function excerptsOf(research: Research, searches: readonly SearchText[]): Excerpt[] {
  const read = research.calls.flatMap(({ call, result }) =>
    call.name === "read_file" && result.ok ? (readExcerpt(result.text) ?? []) : [],
  );
  if (read.length > 0) return read;
  return hitsOf(research, searches)
    .flat()
    .map((hit) => ({ path: hit.path, from: hit.line, lines: [hit.text.replace(/^… | …$/g, "")], total: hit.line }));
}

function unreadDocument(excerpts: readonly Excerpt[], left: readonly Window[]): Unread | undefined {
  for (const { path, total } of excerpts) {
    const places = left.filter((window) => window.path === path).length;
    if (total > longDocumentLines && places >= minUnreadPlaces) return { path, lines: total, places };
  }
  return undefined;
}
