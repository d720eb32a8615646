/**
 * Cuts lines that were read into units that can answer: sentences of prose, list items, rows, lines of code. Each knows
 * its lines, the heading above it and its neighbours' words, for context.
 */
import { codeFile, headingLevel, outlineOf, wordsOf } from "./language/index.ts";

/** Consecutive lines of one file. */
export interface Excerpt {
  readonly path: string;
  /** Number of the first line, counted from 1. */
  readonly from: number;
  readonly lines: readonly string[];
  /** Lines of the whole file. */
  readonly total: number;
}

export interface Unit {
  readonly path: string;
  /** First and last line, counted from 1. */
  readonly from: number;
  readonly to: number;
  readonly text: string;
  readonly stems: ReadonlySet<string>;
  /** Words of the headings above. */
  readonly headingStems: ReadonlySet<string>;
  readonly isHeading: boolean;
  /** Number of its paragraph within the excerpt. */
  readonly block: number;
}

/** Where a Markdown link leads: made of words that say nothing here. */
const linkTarget = /\]\((?:https?:|mailto:)[^)\s]*\)/g;

/** Lines of one sentence that are kept together; more is a wall of text and is cut. */
const maxUnitLines = 4;

/** @param header the first line of a table, where the excerpt does not begin with it */
export function unitsOf(excerpt: Excerpt, header?: string): Unit[] {
  const { path, lines } = excerpt;
  const { blocks, headings } = outlineOf(path, lines);
  const fenced = fencedLines(lines);
  const isRows = codeFile.test(path) || isTable(path);
  const units: Unit[] = [];
  for (let start = 0; start < lines.length;) {
    let end = start + 1;
    while (end < lines.length && blocks[end] === blocks[start]) end += 1;
    const context =
      header === undefined ? headingWords(lines, headings, start) : new Set(wordsOf(header).map((word) => word.stem));
    const isCode = isRows || fenced.has(start) || looksLikeCode(lines, start, end);
    const spans = isCode ? lineSpans(start, end) : sentenceSpans(lines, start, end);
    for (const [from, to, text] of spans) {
      const said = text ?? lines.slice(from, to).join(" ");
      if (said.trim() === "") continue;
      units.push({
        path,
        from: excerpt.from + from,
        to: excerpt.from + to - 1,
        text: said.trim(),
        stems: new Set(wordsOf(said.replaceAll(linkTarget, "]")).map((word) => word.stem)),
        headingStems: context,
        isHeading: !isRows && headingLevel(lines, from) > 0,
        block: blocks[start]!,
      });
    }
    start = end;
  }
  return units;
}

export function isTable(path: string): boolean {
  return /\.(?:csv|tsv)$/i.test(path);
}

type Span = readonly [from: number, to: number, text?: string];

function lineSpans(start: number, end: number): Span[] {
  return Array.from({ length: end - start }, (_, at) => [start + at, start + at + 1]);
}

/** Lines between fences. An excerpt may begin within one; then the parity is wrong, and prose is only cut at its line ends. */
function fencedLines(lines: readonly string[]): ReadonlySet<number> {
  const inside = new Set<number>();
  let open = false;
  lines.forEach((line, at) => {
    if (/^\s*(?:```|~~~)/.test(line)) open = !open;
    else if (open) inside.add(at);
  });
  return inside;
}

/** Blocks with more marks than words. */
function looksLikeCode(lines: readonly string[], start: number, end: number): boolean {
  const text = lines.slice(start, end).join("\n");
  const marks = text.match(/[{}();=<>|[\]]|=>/g)?.length ?? 0;
  return end - start > 1 && marks * 12 > text.length;
}

/** `> [!NOTE]` says what kind of paragraph follows, and is no part of its first sentence. */
const noticeMark = /^>\s*\[!\w+\]\s*$/;

/** Sentence ends within a paragraph; a sentence may begin and end within a line, and then shares it. */
function sentenceSpans(lines: readonly string[], start: number, end: number): Span[] {
  const spans: Span[] = [];
  let text = "";
  let from = start;
  const close = (to: number) => {
    if (text.trim() !== "") spans.push([from, to, text]);
    text = "";
  };
  for (let at = start; at < end; at += 1) {
    const line = lines[at]!;
    if (noticeMark.test(line)) {
      close(at);
      continue;
    }
    const pieces = line.split(/(?<=[.!?](?:["')\]*_`]*))\s+(?=["'([*_`“]*[\p{Lu}\d])/u);
    pieces.forEach((piece, nth) => {
      if (nth > 0) close(at + 1);
      if (text === "") from = at;
      text += `${text === "" ? "" : " "}${piece}`;
    });
    if (/[.!?:]["')\]*_`]*\s*$/.test(line) || at - from + 1 >= maxUnitLines) close(at + 1);
  }
  close(end);
  return spans;
}

/** Ends: each heading's parent stands above it. */
function headingWords(lines: readonly string[], headings: Int32Array, line: number): ReadonlySet<string> {
  const stems = new Set<string>();
  for (let at = headings[line]!; at >= 0; at = headings[at]!)
    for (const word of wordsOf(lines[at]!)) stems.add(word.stem);
  return stems;
}
