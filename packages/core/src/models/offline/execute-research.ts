/**
 * A research task: search, read around what was found, note the best lines, say them. Each turn is decided from the
 * turns before it, so a crashed task goes on where it stopped.
 */
import type { ModelRequest } from "../../domain/model.ts";
import { criterionOf } from "./criteria.ts";
import { judgeCriterion } from "./execute-comparison.ts";
import { judgeExcerpts } from "./findings.ts";
import type { WordCounts } from "./match.ts";
import { isTable, type Excerpt } from "./passages.ts";
import { readPrompt, turnsOf, type CallAndResult } from "./prompt.ts";
import { facetsOf, queryOf, readQuestion, type Question } from "./question.ts";
import { fullEffort, isInScope, readResearchTask, scopePrefix, type ResearchTask } from "./research-task.ts";
import { renderResult, type FacetResult, type Unread } from "./result.ts";
import { readExcerpt, readSearchText, type Hit, type SearchText } from "./tool-texts.ts";
import type { Turn } from "./turn.ts";
import { chooseWindows, type Window } from "./windows.ts";

/** Hits asked of one search; as many as the tool gives where those out of scope are left out afterwards. */
const hitsAsked = 50;
const hitsAskedOfKinds = 100;
/** Below this confidence the best lines found are only the nearest ones; a second attempt is content with less. */
const minConfidence = 0.55;
const minLaterConfidence = 0.5;
/** Nearest lines shown where none is good enough. */
const nearestShown = 4;
/** What write_note takes. */
const maxNoteChars = 4000;
/** A document is too long if it has more lines than one task can read, and matches in at least this many unread places. */
const longDocumentLines = 1000;
const minUnreadPlaces = 6;

export function researchTurn(request: ModelRequest): Turn {
  const prompt = readPrompt(request);
  const task = readResearchTask(prompt.body("task"));
  const attempt = Number(prompt.first("task")?.attributes["attempt"] ?? 1);
  const offered = new Set(request.tools.map((tool) => tool.name));
  const calls = turnsOf(request).flat();
  const facets = facetsOf(task.question).map(readQuestion);

  const searches = calls.filter(({ call }) => call.name === "search_files");
  if (searches.length === 0) {
    if (!offered.has("search_files"))
      return { text: "This task was offered no tool to search files with, so nothing was looked up." };
    return { calls: searchCalls(facets, task, attempt) };
  }
  const found = searches.filter(({ result }) => result.ok).map(({ result }) => readSearchText(result.text));
  const hits = found.map((search) => search.hits.filter((hit) => isWanted(hit, task)));
  const { reads: mostReads } = task.effort ?? fullEffort;
  const windows = chooseWindows(hits, task.effort && attempt > 1 ? mostReads - 1 : mostReads);
  const reads = calls.filter(({ call }) => call.name === "read_file");
  const wanted = task.criteria ? windows.chosen.map(withOpening) : windows.chosen;
  if (reads.length === 0 && wanted.length > 0 && offered.has("read_file"))
    return {
      calls: [...wanted, ...headerOf(wanted)].map(({ path, from, to }) => ({
        name: "read_file",
        args: { path, from, to },
      })),
    };

  const text = resultText(task, facets, found, excerptsOf(reads, hits), windows.left, attempt);
  const hasNoted = calls.some(({ call }) => call.name === "write_note");
  if (!hasNoted && offered.has("write_note"))
    return { calls: [{ name: "write_note", args: { text: text.slice(0, maxNoteChars) } }] };
  return { text };
}

function searchCalls(facets: readonly Question[], task: ResearchTask, attempt: number) {
  const prefix = scopePrefix(task.scope);
  const queries = task.criteria
    ? task.criteria.map((name) => (attempt === 1 ? criterionOf(name).query : name))
    : attempt === 1
      ? facets.map(queryOf)
      : facets.flatMap((facet) => [queryOf(facet), broadened(facet)]);
  const distinct = [...new Set(queries)];
  const { searches } = task.effort ?? fullEffort;
  // What is over is asked for together with the last one, as long as that stays one search.
  const asked = [
    ...distinct.slice(0, searches - 1),
    ...(task.effort ? [distinct.slice(searches - 1).join(" ")] : distinct.slice(searches - 1, searches)),
  ].filter((query) => query !== "");
  return asked.map((query) => ({
    name: "search_files",
    args: {
      query,
      limit: prefix === "" && task.scope.length > 0 ? hitsAskedOfKinds : hitsAsked,
      ...(prefix ? { path: prefix } : {}),
    },
  }));
}

/** What a document is about stands at its top: a part that begins near it takes it along. */
const openingLines = 40;
const withOpening = (window: Window): Window => (window.from <= openingLines ? { ...window, from: 1 } : window);

/** Rows mean nothing without the names of their columns. */
function headerOf(windows: readonly Window[]): Pick<Window, "path" | "from" | "to">[] {
  const table = windows.find(
    ({ path, from }) => isTable(path) && from > 1 && !windows.some((other) => other.path === path && other.from === 1),
  );
  return table ? [{ path: table.path, from: 1, to: 1 }] : [];
}

/** Only the words that say most, so that a line with few of them comes up too. */
function broadened(question: Question): string {
  const strong = question.terms.toSorted((a, b) => b.weight - a.weight || b.text.length - a.text.length).slice(0, 2);
  return strong.map((term) => term.text).join(" ");
}

function isWanted(hit: Hit, task: ResearchTask): boolean {
  const isInRange = task.lines === undefined || (hit.line >= task.lines.from && hit.line <= task.lines.to);
  return isInRange && hit.path !== task.except && isInScope(hit.path, task.scope);
}

function countsOf(searches: readonly SearchText[]): WordCounts {
  const holding = new Map(searches.flatMap((search) => [...search.counts.holding]));
  return { lines: Math.max(0, ...searches.map((search) => search.counts.lines)), holding };
}

/** What was read; where reading was not offered or failed, the hits themselves. */
function excerptsOf(reads: readonly CallAndResult[], hits: readonly (readonly Hit[])[]): Excerpt[] {
  const read = reads.flatMap(({ result }) => (result.ok ? (readExcerpt(result.text) ?? []) : []));
  if (read.length > 0) return read;
  return hits
    .flat()
    .map((hit) => ({ path: hit.path, from: hit.line, lines: [hit.text.replace(/^… | …$/g, "")], total: hit.line }));
}

function resultText(
  task: ResearchTask,
  facets: readonly Question[],
  searches: readonly SearchText[],
  excerpts: readonly Excerpt[],
  left: readonly Window[],
  attempt: number,
): string {
  const counts = countsOf(searches);
  if (task.criteria) {
    const judged = task.criteria.map((name) => judgeCriterion(name, excerpts));
    const unread = judged.every((facet) => !facet.isFound) ? unreadDocument(excerpts, left) : undefined;
    return renderResult({ scope: scopeText(task), facets: judged, ...(unread ? { unread } : {}) });
  }
  const needed = attempt === 1 ? minConfidence : minLaterConfidence;
  const results = facets.map((facet): FacetResult => {
    const { findings, confidence } = judgeExcerpts(facet, counts, excerpts);
    const isFound = confidence >= needed;
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
  });
  const unread = results.some((facet) => !facet.isFound) ? unreadDocument(excerpts, left) : undefined;
  return renderResult({ scope: scopeText(task), facets: results, ...(unread ? { unread } : {}) });
}

function scopeText(task: ResearchTask): string {
  const scope = task.scope.length > 0 ? task.scope.join(", ") : "all files";
  if (task.except) return `${scope} without ${task.except}`;
  return task.lines ? `${scope} lines ${task.lines.from}-${task.lines.to}` : scope;
}

function unreadDocument(excerpts: readonly Excerpt[], left: readonly Window[]): Unread | undefined {
  for (const { path, total } of excerpts) {
    const places = left.filter((window) => window.path === path).length;
    if (total > longDocumentLines && places >= minUnreadPlaces) return { path, lines: total, places };
  }
  return undefined;
}
