/** Writes citations that hold: the quoted words are a piece of the line, character by character but for white space. */
import { citationHolds, findCitations, type Citation } from "../../domain/citation.ts";

/** Half of what a citation can carry: a longer line is quoted by its most telling part. */
export const maxQuoteChars = 300;

/** How much a piece of a line says to what is asked; pieces that say as much are told apart by their length. */
export type Telling = (piece: string) => number;

/** Tags that only lay out a line. */
const outerTags =
  /^\s*(?:<\/?(?:br|p|h[1-6]|div|li|td|tr|center)\b[^>]*>\s*)+|(?:\s*<\/?(?:br|p|h[1-6]|div|li|td|tr|center)\b[^>]*>)+\s*$/gi;

/** Undefined for a line without words. */
function quoteOf(line: string, telling: Telling): string | undefined {
  return best(
    undelimited(line)
      .map((piece) => shorten(piece.replaceAll(/\s+/g, " ").replaceAll(outerTags, "").trim(), telling))
      .filter((piece) => /[\p{L}\p{N}]/u.test(piece)),
    telling,
  );
}

/** What can stand between delimiters as a whole. Only a line with both kinds of closing quotes has to be taken apart. */
function undelimited(line: string): string[] {
  return line.split("\0").flatMap((piece) => (piece.includes('"') && piece.includes("”") ? piece.split("”") : [piece]));
}

const wordCount = (piece: string) => piece.split(" ").filter((word) => /\p{L}/u.test(word)).length;

/** Inner straight quotes stand between typographic ones. */
export function renderCitation({ path, line, quote }: Citation): string {
  const place = /[\s`()[\]<>"“”]/.test(path) ? `\`${path}:${line}\`` : `${path}:${line}`;
  return quote.includes('"') ? `${place} “${quote}”` : `${place} "${quote}"`;
}

/** A citation that the checker reads back as meant, or nothing: odd paths and lines are left out rather than cited wrongly. */
export function checkedCitation(
  path: string,
  line: number,
  text: string,
  telling: Telling = () => 0,
): string | undefined {
  const quote = quoteOf(text, telling);
  if (quote === undefined) return undefined;
  const written = renderCitation({ path, line, quote });
  const [read, ...others] = findCitations(written);
  const isMeant = read !== undefined && others.length === 0 && read.path === path && read.line === line;
  const lines: string[] = [];
  lines[line - 1] = text;
  return isMeant && read.quote === quote && citationHolds(read satisfies Citation, lines) ? written : undefined;
}

const sentenceStart = /(?<=[.!?](?:["')\]*_`]*))\s+(?=["'([*_`“]*[\p{Lu}\d])/gu;
const clauseStart = /(?<=[,;:–—)])\s+|\s+(?=\()/gu;

/** The most telling part of a long text: whole sentences where one fits, else from a clause to the end of a word. */
function shorten(text: string, telling: Telling): string {
  if (text.length <= maxQuoteChars) return text;
  const starts = (pattern: RegExp, within: string, from: number) => [
    from,
    ...[...within.matchAll(pattern)].map((match) => from + match.index + match[0].length),
  ];
  const sentences = starts(sentenceStart, text, 0);
  const parts = sentences.flatMap((from, at) => {
    const sentence = text.slice(from, sentences[at + 1] ?? text.length).trim();
    if (sentence.length > maxQuoteChars)
      return starts(clauseStart, sentence, from).map((start) => cutAtWord(text.slice(start, from + sentence.length)));
    // Ends: each round takes one sentence more.
    let end = at + 1;
    while (end < sentences.length && (sentences[end + 1] ?? text.length) - from <= maxQuoteChars) end += 1;
    return [text.slice(from, sentences[end] ?? text.length).trim(), sentence];
  });
  return best(parts, telling)!;
}

/** The first of the most telling pieces, the one with the most words among those. */
function best(pieces: readonly string[], telling: Telling): string | undefined {
  return pieces
    .map((piece) => ({ piece, worth: telling(piece), words: wordCount(piece) }))
    .toSorted((a, b) => b.worth - a.worth || b.words - a.words || b.piece.length - a.piece.length)[0]?.piece;
}

function cutAtWord(text: string): string {
  if (text.length <= maxQuoteChars) return text.trim();
  const cut = text.slice(0, maxQuoteChars).toWellFormed();
  const end = /\s/.test(text[maxQuoteChars] ?? "") ? cut.length : cut.lastIndexOf(" ");
  return (end > maxQuoteChars / 2 ? cut.slice(0, end) : cut).replace(/\uFFFD$/, "").trim();
}
