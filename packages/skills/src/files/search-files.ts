import { z } from "zod";
import { wordsOf } from "@outerloop/core/language";
import type { Workspace } from "@outerloop/core/domain";
import { defineTool } from "../tool.ts";
import { prefixSchema } from "./path.ts";
import { termsOf, type QueryTerm } from "./search/query.ts";
import { rankLines, type RankedLine, type Ranking } from "./search/rank.ts";
import type { SearchIndexes } from "./search/search-indexes.ts";
import { linesOf } from "./text.ts";

export const defaultHits = 20;
export const maxHits = 100;
export const maxSearchChars = 1000;
/** Characters shown of a line: the part around its first match. */
export const maxHitChars = 400;

/** Characters of all hits together; the summary after them always has room. */
export const maxHitsChars = 16_000;

export function createSearchFiles(indexes: SearchIndexes) {
  return defineTool({
    name: "search_files",
    version: "1",
    description: `Find the lines of the workspace's text files that best answer a question or hold some words, best first: path:line: text.\nquery: plain words, no pattern; inflections, close synonyms and small misspellings match too. path: only files whose path begins with this. limit: lines to show, ${defaultHits} without it, at most ${maxHits}. The last line counts, for each word, the lines that hold it.`,
    effect: "pure",
    timeoutMs: 120_000,
    input: z.object({
      query: z
        .string()
        .trim()
        .min(1, "say what to look for")
        .max(maxSearchChars, `at most ${maxSearchChars} characters`),
      path: prefixSchema.describe("a file or folder"),
      limit: z.int().min(1).max(maxHits).nullish().describe("how many lines to show"),
    }),
    async run({ query, path, limit }, context) {
      const index = await indexes.of(context);
      const terms = termsOf(query, index.dictionary);
      if (terms.length === 0) return { ok: false, text: `The query "${query}" has no words to search for.` };
      const ranking = await rankLines(index, terms, path, limit ?? defaultHits, context.signal);
      const searched = index.files.filter((file) => !file.isBinary && file.path.startsWith(path)).length;
      const texts = await hitTexts(ranking.best, terms, context.workspace);
      let chars = 0;
      const shown = texts.filter((text, at) => (chars += text.length + 1) <= maxHitsChars || at === 0);
      return { ok: true, text: [...shown, summary(query, ranking, terms, searched, shown.length)].join("\n") };
    },
  });
}

function summary(
  query: string,
  ranking: Ranking,
  terms: readonly QueryTerm[],
  searched: number,
  shown: number,
): string {
  const found = shown === 0 ? `no line matches "${query}"` : `${shown} best of ${ranking.matching} lines that match`;
  const counts = terms.map((term, at) => `${term.text} ${ranking.counts[at]}`).join(", ");
  return `(${found}; ${searched} files searched; of ${ranking.lines} lines in the workspace hold: ${counts})`;
}

async function hitTexts(
  hits: readonly RankedLine[],
  terms: readonly QueryTerm[],
  workspace: Workspace,
): Promise<string[]> {
  const texts = new Map<string, readonly string[]>();
  for (const { file } of hits) {
    if (texts.has(file.path)) continue;
    const bytes = await workspace.read(file.path);
    texts.set(file.path, bytes === undefined ? [] : linesOf(bytes));
  }
  return hits.map(
    ({ file, line }) => `${file.path}:${line + 1}: ${excerpt(texts.get(file.path)?.[line] ?? "", terms)}`,
  );
}

function excerpt(text: string, terms: readonly QueryTerm[]): string {
  if (text.length <= maxHitChars) return text;
  const wanted = new Set(terms.map((term) => term.text));
  const first = wordsOf(text.slice(0, 20_000)).find((word) => wanted.has(word.text))?.start ?? 0;
  const from = Math.max(0, Math.min(first - maxHitChars / 4, text.length - maxHitChars));
  return `${from > 0 ? "… " : ""}${text.slice(from, from + maxHitChars)}${from + maxHitChars < text.length ? " …" : ""}`;
}
