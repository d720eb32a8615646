/** Reads what the file tools answered: their formats are the contract between the two. */
import type { WordCounts } from "./match.ts";
import type { Excerpt } from "./passages.ts";

export interface Hit {
  readonly path: string;
  readonly line: number;
  readonly text: string;
}

export interface SearchText {
  readonly hits: readonly Hit[];
  readonly counts: WordCounts;
  readonly files: number;
}

/** The path may hold colons; the first `:digits: ` ends it. */
const hitPattern = /^(.+?):(\d+): ?(.*)$/;
const summaryPattern = /; (\d+) files searched; of (\d+) lines in the workspace hold: (.*)\)$/;

export function readSearchText(text: string): SearchText {
  const lines = text.split("\n");
  const summary = summaryPattern.exec(lines.at(-1) ?? "");
  const holding = new Map<string, number>();
  for (const [, word = "", count = "0"] of (summary?.[3] ?? "").matchAll(/(\S+) (\d+)(?:, |$)/g))
    holding.set(word, Number(count));
  const hits = lines.slice(0, summary ? -1 : undefined).flatMap((line): Hit[] => {
    const [, path, number, said = ""] = hitPattern.exec(line) ?? [];
    return path === undefined ? [] : [{ path, line: Number(number), text: said }];
  });
  return { hits, counts: { lines: Number(summary?.[2] ?? 0), holding }, files: Number(summary?.[1] ?? 0) };
}

const readHeader = /^(.+) lines (\d+)-(\d+) of (\d+)$/;
const cutLine = / … \(\d+ more characters in this line\)$/;

/** Undefined where it is no reading: an error, or a result that was left out. */
export function readExcerpt(text: string): Excerpt | undefined {
  const [head = "", ...rest] = text.split("\n");
  const header = readHeader.exec(head);
  if (!header) return undefined;
  const lines = rest.flatMap((line) => {
    const numbered = /^\d+: (.*)$/s.exec(line);
    return numbered ? [numbered[1]!.replace(cutLine, "")] : [];
  });
  return { path: header[1]!, from: Number(header[2]), lines, total: Number(header[4]) };
}
