/** Which parts of files a task reads that knows where to look. */
import { judgeCriterion } from "./execute-comparison.ts";
import { findCitations } from "../../domain/citation.ts";
import type { Remembered } from "./remembered.ts";
import type { Hit } from "./tool-texts.ts";
import type { Window } from "./windows.ts";

interface Spot {
  readonly path: string;
  readonly line: number;
}

/** Where none of so many best hits lies in a remembered place, the search of now is asked for its own best place too. */
const bestHits = 5;

/**
 * Of the windows that a search of now proposes those that hold what is remembered. Undefined where no hit lies there any
 * more.
 * @param windows best first
 * @param hits best first
 * @param most windows wanted
 */
export function narrowToPlaces(
  windows: readonly Window[],
  hits: readonly Hit[],
  { places }: Remembered,
  most: number,
): readonly Window[] | undefined {
  const known = covering(windows, places);
  if (known.length === 0) return undefined;
  const isBorneOut = hits.slice(0, bestHits).some((hit) => known.some((window) => isWithin(hit, window)));
  return [...(isBorneOut ? [] : windows.slice(0, 1)), ...known].slice(0, most);
}

/**
 * The same for a comparison. A line that a search shows can be judged by itself: what speaks against a criterion now, and
 * what speaks to one of which no place is remembered, is read besides.
 */
export function narrowToCriteria(
  windows: readonly Window[],
  hits: readonly Hit[],
  { places }: Remembered,
  criteria: readonly string[],
  most: number,
): readonly Window[] | undefined {
  const known = places.filter((place) => windows.some((window) => isWithin(place, window)));
  if (known.length === 0 && places.length > 0) return undefined;
  const shown = hits.map((hit) => ({ path: hit.path, from: hit.line, lines: [hit.text], total: hit.line }));
  const told = criteria.flatMap((name) => {
    const isKnown = known.some((place) => place.about === name);
    const { findings } = judgeCriterion(name, shown);
    const best = isKnown ? findings.find((finding) => finding.speaksAgainst) : findings[0];
    return findCitations(best?.citations ?? "").slice(0, 1);
  });
  const chosen = covering(windows, [...known, ...told]);
  // Where nothing is known and no line tells anything, a look at the best place makes sure.
  return (chosen.length > 0 ? chosen : windows.slice(0, 1)).slice(0, most);
}

/** One window for each place, and none twice. */
function covering(windows: readonly Window[], spots: readonly Spot[]): Window[] {
  const chosen: Window[] = [];
  for (const spot of spots) {
    if (chosen.some((window) => isWithin(spot, window))) continue;
    const window = windows.find((each) => isWithin(spot, each));
    if (window) chosen.push(window);
  }
  return chosen;
}

const isWithin = (spot: Spot, window: Window) =>
  spot.path === window.path && spot.line >= window.from && spot.line <= window.to;
