/** A research task as its request tells it: what is asked, what was called so far, what is remembered of the like. */
import type { ModelRequest } from "../../domain/model.ts";
import { isTable } from "./passages.ts";
import { readPrompt, turnsOf, type CallAndResult } from "./prompt.ts";
import { facetsOf, readQuestion, type Question } from "./question.ts";
import { rememberedFor, type Remembered } from "./remembered.ts";
import { fullEffort, isInScope, readResearchTask, scopeText, type ResearchTask } from "./research-task.ts";
import { readSearchText, type Hit, type SearchText } from "./tool-texts.ts";
import type { Window } from "./windows.ts";

export interface Research {
  readonly task: ResearchTask;
  readonly attempt: number;
  readonly facets: readonly Question[];
  readonly offered: ReadonlySet<string>;
  readonly calls: readonly CallAndResult[];
  readonly remembered: Remembered | undefined;
  /** Whether it searches with fewer words: a second attempt, or one that knows that nothing else helps. */
  readonly isBroad: boolean;
}

/** Calls of an attempt. */
const maxCalls = 10;

export function readResearch(request: ModelRequest): Research {
  const prompt = readPrompt(request);
  const task = readResearchTask(prompt.body("task"));
  const attempt = Number(prompt.first("task")?.attributes["attempt"] ?? 1);
  // A second attempt is the ordinary one: what was remembered did not help the first.
  const remembered =
    attempt === 1 ? rememberedFor(prompt, task, scopeText(task), (place) => isWanted(place, task)) : undefined;
  return {
    task,
    attempt,
    facets: facetsOf(task.question).map(readQuestion),
    offered: new Set(request.tools.map((tool) => tool.name)),
    calls: turnsOf(request).flat(),
    remembered,
    isBroad: attempt > 1,
  };
}

/** Calls that are left, one kept for the note. */
export function callsLeft({ calls }: Research): number {
  return Math.max(0, maxCalls - 1 - calls.length);
}

export function mostReads({ task, isBroad }: Research): number {
  const { reads } = task.effort ?? fullEffort;
  return task.effort && isBroad ? reads - 1 : reads;
}

export function unsearched({ calls }: Research, queries: readonly string[]): string[] {
  return queries.filter(
    (query) => !calls.some(({ call }) => call.name === "search_files" && call.args["query"] === query),
  );
}

/** What searches for these found, in the order in which they were made. */
export function searchesFor({ calls }: Research, queries: readonly string[]): SearchText[] {
  return calls
    .filter(
      ({ call, result }) =>
        call.name === "search_files" && result.ok && queries.some((query) => call.args["query"] === query),
    )
    .map(({ result }) => readSearchText(result.text));
}

/** Those that the task may use, of each search. */
export function hitsOf({ task }: Research, searches: readonly SearchText[]): Hit[][] {
  return searches.map((search) => search.hits.filter((hit) => isWanted(hit, task)));
}

type Stretch = Pick<Window, "path" | "from" | "to">;

/** The parts of files to read for these windows that were not asked for yet. */
export function unread({ task, calls, offered }: Research, windows: readonly Window[]): Stretch[] {
  if (!offered.has("read_file")) return [];
  const wanted = task.criteria ? windows.map(withOpening) : windows;
  return [...wanted, ...headerOf(wanted)].filter(
    ({ path, from, to }) =>
      !calls.some(
        ({ call: { name, args } }) =>
          name === "read_file" && args["path"] === path && Number(args["from"]) <= from && Number(args["to"]) >= to,
      ),
  );
}

/** What a document is about stands at its top: a part that begins near it takes it along. */
const openingLines = 40;
const withOpening = (window: Window): Window => (window.from <= openingLines ? { ...window, from: 1 } : window);

/** Rows mean nothing without the names of their columns. */
function headerOf(windows: readonly Window[]): Stretch[] {
  const table = windows.find(
    ({ path, from }) => isTable(path) && from > 1 && !windows.some((other) => other.path === path && other.from === 1),
  );
  return table ? [{ path: table.path, from: 1, to: 1 }] : [];
}

function isWanted(place: { readonly path: string; readonly line: number }, task: ResearchTask): boolean {
  const isInRange = task.lines === undefined || (place.line >= task.lines.from && place.line <= task.lines.to);
  return isInRange && place.path !== task.except && isInScope(place.path, task.scope);
}
