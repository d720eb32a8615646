/** Which parts of which files to read, from what a search found: around the lines where good hits gather. */
import type { Hit } from "./tool-texts.ts";

export interface Window {
  readonly path: string;
  readonly from: number;
  readonly to: number;
  readonly worth: number;
}

/** Lines read before and after a hit: enough for the heading above and the end of the paragraph. */
const linesBefore = 14;
const linesAfter = 12;
/** Lines of one window: what read_file gives at once. */
const maxWindowLines = 180;

/** What a further hit in the same place adds: many weak hits are not one good one. */
const gatheredShare = 0.25;

/** @param hits best first; each list is one search */
export function chooseWindows(
  searches: readonly (readonly Hit[])[],
  count: number,
): { readonly chosen: readonly Window[]; readonly left: readonly Window[] } {
  const windows: { path: string; from: number; to: number; worth: number }[] = [];
  for (const hits of searches) {
    hits.forEach((hit, rank) => {
      const worth = 1 / (2 + rank);
      const [from, to] = [Math.max(1, hit.line - linesBefore), hit.line + linesAfter];
      const joined = windows.find(
        (window) =>
          window.path === hit.path &&
          from <= window.to &&
          to >= window.from &&
          Math.max(to, window.to) - Math.min(from, window.from) < maxWindowLines,
      );
      if (joined) {
        joined.from = Math.min(joined.from, from);
        joined.to = Math.max(joined.to, to);
        joined.worth = Math.max(joined.worth, worth) + Math.min(joined.worth, worth) * gatheredShare;
      } else windows.push({ path: hit.path, from, to, worth });
    });
  }
  const ordered = windows.toSorted((a, b) => b.worth - a.worth);
  return { chosen: ordered.slice(0, count), left: ordered.slice(count) };
}
