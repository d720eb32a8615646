/**
 * A research task: search, read around what was found, note the best lines, say them. Each turn is decided from the
 * turns before it, so a crashed task goes on where it stopped.
 */
import type { ModelRequest } from "../../domain/model.ts";
import { narrowToCriteria, narrowToPlaces } from "./narrow.ts";
import {
  callsLeft,
  hitsOf,
  mostReads,
  readResearch,
  searchesFor,
  unread,
  unsearched,
  type Research,
} from "./research.ts";
import { resultOf } from "./research-result.ts";
import { joined, queriesOf, searchCalls } from "./research-searches.ts";
import { renderResult, type ResearchResult } from "./result.ts";
import type { Calls, Turn } from "./turn.ts";
import { chooseWindows } from "./windows.ts";

/** What write_note takes. */
const maxNoteChars = 4000;

export function researchTurn(request: ModelRequest): Turn {
  const research = readResearch(request);
  if (!research.offered.has("search_files"))
    return { text: "This task was offered no tool to search files with, so nothing was looked up." };
  return rememberedWay(research) ?? ordinaryWay(research);
}

/** Where it is remembered that a second attempt found nothing either, the first one does what that did, and is the last. */
function ordinaryWay(research: Research): Turn {
  const gathered = gather(research);
  if ("calls" in gathered || isFound(gathered) || research.remembered?.isBroad !== true)
    return "calls" in gathered ? gathered : noteAndSay(research, gathered);
  const broad = gather({ ...research, isBroad: true });
  return "calls" in broad ? broad : noteAndSay(research, broad);
}

const isFound = (result: ResearchResult) => result.facets.every((facet) => facet.isFound);

/** The calls to make next, or what they came to. */
function gather(research: Research): Calls | ResearchResult {
  const queries = queriesOf(research);
  const missing = unsearched(research, queries).slice(0, callsLeft(research));
  if (missing.length > 0) return searchCalls(missing, research.task, false);
  const found = searchesFor(research, queries);
  const windows = chooseWindows(hitsOf(research, found), mostReads(research));
  const next = unread(research, windows.chosen).slice(0, callsLeft(research));
  return next.length > 0 ? readCalls(next) : resultOf(research, found, windows.left);
}

/**
 * The shorter way of a task that knows where to look: one search, and of what that proposes only what is remembered.
 * Undefined where nothing is remembered, where the search no longer finds it, or where it does not speak to the question
 * any more: then all goes the ordinary way.
 */
function rememberedWay(ordinary: Research): Turn | undefined {
  const { remembered, task, facets } = ordinary;
  if (remembered === undefined || (remembered.places.length === 0 && task.criteria === undefined)) return undefined;
  const most = mostReads(ordinary);
  const research = { ...ordinary, isBroad: remembered.isBroad };
  const queries = queriesOf(research);
  const query = joined(queries);
  if (unsearched(research, [query]).length > 0) return searchCalls([query], task, queries.length > 1);
  const found = searchesFor(research, [query]);
  const hits = hitsOf(research, found);
  const windows = chooseWindows(hits, Infinity).chosen;
  const few = task.criteria
    ? narrowToCriteria(windows, hits.flat(), remembered, task.criteria, most)
    : narrowToPlaces(windows, hits.flat(), remembered, Math.max(Math.floor(most / 2), Math.min(facets.length, most)));
  if (few === undefined) return undefined;
  const next = unread(research, few);
  if (next.length > 0) return readCalls(next);
  const result = resultOf(research, found, []);
  const isOwed = (name: string) => remembered.places.some((place) => place.about === name);
  const speaks = result.facets.every((facet) => facet.isFound || (task.criteria && !isOwed(facet.question)));
  return speaks ? noteAndSay(research, result) : undefined;
}

function readCalls(stretches: readonly { readonly path: string; readonly from: number; readonly to: number }[]): Calls {
  return { calls: stretches.map(({ path, from, to }) => ({ name: "read_file", args: { path, from, to } })) };
}

function noteAndSay({ calls, offered }: Research, result: ResearchResult): Turn {
  const text = renderResult(result);
  const hasNoted = calls.some(({ call }) => call.name === "write_note");
  if (!hasNoted && offered.has("write_note"))
    return { calls: [{ name: "write_note", args: { text: text.slice(0, maxNoteChars) } }] };
  return { text };
}
