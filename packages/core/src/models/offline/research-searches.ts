/** What a research task searches for. */
import { criterionOf } from "./criteria.ts";
import { queryOf, type Question } from "./question.ts";
import type { Research } from "./research.ts";
import { fullEffort, scopePrefix, type ResearchTask } from "./research-task.ts";
import type { Calls } from "./turn.ts";

/** Hits asked of one search; as many as the tool gives where those out of scope are left out afterwards, or for several in one. */
const hitsAsked = 50;
const mostHitsAsked = 100;
/** What search_files takes. */
const maxQueryChars = 1000;

/** The searches of a task that knows nothing. */
export function queriesOf({ task, facets, isBroad, attempt }: Research): string[] {
  const queries = task.criteria
    ? criteriaQueries(task.criteria, isBroad, attempt === 1)
    : facetQueries(facets, isBroad);
  const distinct = [...new Set(queries)];
  const { searches } = task.effort ?? fullEffort;
  // What is over is asked for together with the last one, as long as that stays one search.
  return [
    ...distinct.slice(0, searches - 1),
    ...(task.effort ? [joined(distinct.slice(searches - 1))] : distinct.slice(searches - 1, searches)),
  ].filter((query) => query !== "");
}

/** All of them in one, for a task that knows where to look: the search only has to say whether that still holds. */
export function joined(queries: readonly string[]): string {
  return queries.join(" ").slice(0, maxQueryChars).trim();
}

export function searchCalls(queries: readonly string[], task: ResearchTask, isJoined: boolean): Calls {
  const prefix = scopePrefix(task.scope);
  return {
    calls: queries.map((query) => ({
      name: "search_files",
      args: {
        query,
        limit: isJoined || (prefix === "" && task.scope.length > 0) ? mostHitsAsked : hitsAsked,
        ...(prefix ? { path: prefix } : {}),
      },
    })),
  };
}

function facetQueries(facets: readonly Question[], isBroad: boolean): string[] {
  return isBroad ? facets.flatMap((facet) => [queryOf(facet), broadened(facet)]) : facets.map(queryOf);
}

/** A second attempt has made the long searches already; one that begins with fewer words makes both. */
function criteriaQueries(criteria: readonly string[], isBroad: boolean, isFirst: boolean): string[] {
  const long = criteria.map((name) => criterionOf(name).query);
  if (!isBroad) return long;
  return isFirst ? [...long, ...criteria] : [...criteria];
}

/** Only the words that say most, so that a line with few of them comes up too. */
function broadened(question: Question): string {
  const strong = question.terms.toSorted((a, b) => b.weight - a.weight || b.text.length - a.text.length).slice(0, 2);
  return strong.map((term) => term.text).join(" ");
}
