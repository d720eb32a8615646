/**
 * Citations are `path:line "quoted words"`. Parsing and checking are pure, so the reflector, the end of a goal and a
 * reader's own script agree on which ones hold.
 */
export interface Citation {
  readonly path: string;
  /** Counted from 1. */
  readonly line: number;
  readonly quote: string;
}

/** path:line (in backticks where the path has spaces), at most a bracket, comma or dash, then quoted words. Typographic quotes count. */
const citationPattern =
  /(?:`([^`\n]+):(\d{1,7})`|(?<![^\s"“”`()[\]<>])([^\s"“”`()[\]<>]{0,511}[^\s"“”`()[\]<>:]):(\d{1,7}))[)\]]?\s{0,8}[,:–—-]?\s{0,8}(?:"([^"\n]{1,600})"|“([^”\n]{1,600})”)/g;

/** Every citation in a text, in order, repeated ones once. */
export function findCitations(text: string): Citation[] {
  const found = new Map<string, Citation>();
  for (const [, tickedPath, tickedLine, barePath, bareLine, straight, curly] of text.matchAll(citationPattern)) {
    const path = tickedPath ?? barePath ?? "";
    const line = tickedLine ?? bareLine ?? "";
    const quote = (straight ?? curly ?? "").trim();
    if (quote) found.set(`${path}:${line} ${quote}`, { path, line: Number(line), quote });
  }
  return [...found.values()];
}

/** White space folded: a quotation may re-wrap a line but not reword it. */
const folded = (text: string) => text.replaceAll(/\s+/g, " ").trim();

/** The same words as a citation can carry them: no line ends, and no double quotes, since those delimit it. */
export function quotable(line: string): string {
  return folded(line.replaceAll(/["“”]/g, "'"));
}

/** Whether the quoted words stand at the cited line. `lines` is the file, undefined where there is none. */
export function citationHolds(citation: Citation, lines: readonly string[] | undefined): boolean {
  const line = lines?.[citation.line - 1];
  if (line === undefined) return false;
  return folded(line).includes(folded(citation.quote)) || quotable(line).includes(quotable(citation.quote));
}
