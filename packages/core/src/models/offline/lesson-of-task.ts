/** What a task that is done teaches: read off its result and the trace of its calls. */
import { findCitations } from "../../domain/citation.ts";
import { maxPlaces, type Account, type Lesson, type Place, type Stretch } from "./lesson.ts";
import type { ResearchTask } from "./research-task.ts";
import type { FacetResult, ResearchResult } from "./result.ts";

export function lessonOfResearch(
  task: ResearchTask,
  result: ResearchResult,
  trace: string,
  isBroad: boolean,
): Lesson & Account {
  const calls = readTrace(trace);
  const fruitful = placesOf(result.facets, task.criteria !== undefined);
  const spoken = citedPlaces(result.facets);
  return {
    question: task.question,
    scope: result.scope,
    criteria: task.criteria ?? [],
    queries: calls.queries,
    fruitful,
    fruitless: calls.stretches.filter(
      ({ path, from, to }) => !spoken.some((place) => place.path === path && place.line >= from && place.line <= to),
    ),
    isBroad,
  };
}

/** The places that the answer of a goal was put together from. */
export function lessonOfReport(goal: string, result: string): Lesson & Account {
  const places = findCitations(result).map(({ path, line }): Place => ({ path, line }));
  return {
    question: goal,
    scope: "the whole folder",
    criteria: [],
    queries: [],
    fruitful: places.slice(0, maxPlaces),
    fruitless: [],
    isReport: true,
    isBroad: false,
  };
}

/** A further finding is worth a read of its own if its match is at least this share of the best one's. */
const keptShare = 0.85;

/** The best place of each question, then the next ones; of a comparison the best for and the best against each criterion. */
function placesOf(facets: readonly FacetResult[], isComparison: boolean): Place[] {
  const found = facets.filter((facet) => facet.isFound);
  const ranks = found.map((facet) => {
    if (!isComparison) {
      const least = (facet.findings[0]?.match ?? 0) * keptShare;
      return facet.findings.filter((finding) => finding.match >= least);
    }
    const side = (isAgainst: boolean) =>
      facet.findings.filter((finding) => (finding.speaksAgainst ?? false) === isAgainst).slice(0, 1);
    return [...side(false), ...side(true)];
  });
  const places: Place[] = [];
  for (let rank = 0; rank < Math.max(0, ...ranks.map((each) => each.length)); rank += 1)
    found.forEach((facet, at) => {
      const citation = findCitations(ranks[at]?.[rank]?.citations ?? "")[0];
      if (citation)
        places.push({ path: citation.path, line: citation.line, ...(isComparison ? { about: facet.question } : {}) });
    });
  return places;
}

function citedPlaces(facets: readonly FacetResult[]): Place[] {
  return facets
    .filter((facet) => facet.isFound)
    .flatMap((facet) => facet.findings.flatMap((finding) => findCitations(finding.citations)))
    .map(({ path, line }) => ({ path, line }));
}

const searchLine = /^search_files\(\{"query":"((?:[^"\\]|\\.)*)/;
const readLine = /^read_file\(.*?\) -> ok: (.+?) lines (\d+)-(\d+) of \d+ /;

function readTrace(trace: string): { readonly queries: readonly string[]; readonly stretches: readonly Stretch[] } {
  const lines = trace.split("\n");
  return {
    queries: lines.flatMap((line) => searchLine.exec(line)?.[1]?.replaceAll("\\", "") ?? []),
    stretches: lines.flatMap((line): Stretch[] => {
      const [, path, from, to] = readLine.exec(line) ?? [];
      return path === undefined ? [] : [{ path, from: Number(from), to: Number(to) }];
    }),
  };
}
