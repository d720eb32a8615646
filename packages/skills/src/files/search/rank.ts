/**
 * Ranks lines for a query: BM25 over lines, where a word that the line itself lacks may stand, for less, in its
 * paragraph, in the headings above it or in the path of its file; more for lines that hold more of the query's weight,
 * and for query words that stand together.
 */
import { setImmediate as pause } from "node:timers/promises";
import { codeFile, wordsOf } from "@outerloop/core/language";
import type { FileIndex } from "./file-index.ts";
import type { QueryTerm } from "./query.ts";
import type { WorkspaceIndex } from "./search-indexes.ts";

export interface RankedLine {
  readonly file: FileIndex;
  /** Counted from 0. */
  readonly line: number;
  readonly score: number;
}

export interface Ranking {
  readonly best: readonly RankedLine[];
  /** Lines that hold any of the words. */
  readonly matching: number;
  readonly lines: number;
  /** Per term the lines of the whole workspace that hold the word itself. */
  readonly counts: readonly number[];
}

/** BM25: how soon repetition stops counting, and how much long lines lose. */
const saturation = 0.6;
const lengthShare = 0.35;
/** Lines are no shorter than this for the length norm, so that a bare word does not beat a sentence. */
const minNormWords = 6;
/** Worth of a word by where it stands instead of in the line. */
const nearWorth = 0.5;
const nearDecay = 0.82;
const headingWorth = 0.45;
const pathWorth = 0.3;
/** Lines to either side that count as near. */
const nearLines = 4;
/** Across the end of a paragraph near lines count for less. */
const otherBlock = 0.55;
/** What a line keeps of its score when nothing of the query's other words is around. */
const coverageFloor = 0.45;
/** What two neighbouring words of the query add when they stand side by side. */
const pairWorth = 0.35;

/** Lines looked at for each one shown, so that there is something to show instead of near copies. */
const candidatesPerHit = 4;
const sameShare = 0.65;
/** Lines of code and data hold words by chance, as parts of names. */
const codeShare = 0.87;
/** A heading names what the lines under it say. */
const headingShare = 0.8;

export async function rankLines(
  index: WorkspaceIndex,
  terms: readonly QueryTerm[],
  prefix: string,
  limit: number,
  signal: AbortSignal,
): Promise<Ranking> {
  const marks = markTable(index, terms);
  const { counts, lines, words } = await countLines(index, terms, signal);
  const weights = counts.map((count) => Math.log(1 + (lines - count + 0.5) / (count + 0.5)));
  const averageWords = words / Math.max(1, lines);
  const best: RankedLine[] = [];
  let matching = 0;
  for (const file of index.files) {
    if (!file.path.startsWith(prefix)) continue;
    signal.throwIfAborted();
    const lineScores = scoreFile(file, terms, weights, marks, averageWords);
    matching += lineScores.length;
    best.push(...topOf(lineScores, limit * candidatesPerHit));
    if (file.lineCount > 5000) await pause();
  }
  return { best: spread(topOf(best, limit * candidatesPerHit)).slice(0, limit), matching, lines, counts };
}

function topOf(lines: RankedLine[], limit: number): RankedLine[] {
  return lines
    .sort(
      (a, b) => b.score - a.score || (a.file.path < b.file.path ? -1 : a.file.path > b.file.path ? 1 : a.line - b.line),
    )
    .slice(0, limit);
}

/** Lines that share most of their words with a better one come after all others: twenty copies of a header are one hit. */
function spread(lines: readonly RankedLine[]): RankedLine[] {
  const first: { line: RankedLine; words: ReadonlySet<number> }[] = [];
  const alike: RankedLine[] = [];
  for (const line of lines) {
    const words = new Set(line.file.words.subarray(line.file.starts[line.line]!, line.file.starts[line.line + 1]!));
    const isAlike = first.some((other) => {
      let both = 0;
      for (const word of words) if (other.words.has(word)) both += 1;
      return both >= sameShare * (words.size + other.words.size - both);
    });
    if (isAlike) alike.push(line);
    else first.push({ line, words });
  }
  return [...first.map(({ line }) => line), ...alike];
}

/** Per word of the dictionary which term it counts for (0: none) and its worth. */
interface Marks {
  readonly term: Uint8Array;
  readonly worth: Float32Array;
}

function markTable(index: WorkspaceIndex, terms: readonly QueryTerm[]): Marks {
  const size = index.dictionary.numbers.size;
  const marks = { term: new Uint8Array(size), worth: new Float32Array(size) };
  terms.forEach((term, at) => {
    for (const [number, worth] of term.matches) {
      if (worth <= marks.worth[number]!) continue;
      marks.term[number] = at + 1;
      marks.worth[number] = worth;
    }
  });
  return marks;
}

async function countLines(index: WorkspaceIndex, terms: readonly QueryTerm[], signal: AbortSignal) {
  const termOf = new Map(terms.flatMap((term, at) => (term.exact === undefined ? [] : [[term.exact, at] as const])));
  const isExact = new Uint8Array(index.dictionary.numbers.size);
  for (const number of termOf.keys()) isExact[number] = 1;
  const counts = terms.map(() => 0);
  let lines = 0;
  let words = 0;
  for (const file of index.files) {
    signal.throwIfAborted();
    const seen = terms.map(() => -1);
    let line = 0;
    for (let at = 0; at < file.words.length; at += 1) {
      const number = file.words[at]!;
      if (isExact[number] === 0) continue;
      while (file.starts[line + 1]! <= at) line += 1;
      const term = termOf.get(number)!;
      if (seen[term] === line) continue;
      seen[term] = line;
      counts[term]! += 1;
    }
    for (let at = 0; at < file.lineCount; at += 1) if (file.starts[at + 1]! > file.starts[at]!) lines += 1;
    words += file.words.length;
    if (file.lineCount > 20_000) await pause();
  }
  return { counts, lines, words };
}

function scoreFile(
  file: FileIndex,
  terms: readonly QueryTerm[],
  weights: readonly number[],
  marks: Marks,
  averageWords: number,
): RankedLine[] {
  const held = collectLines(file, terms.length, marks);
  if (held.lines.length === 0) return [];
  const inPath = new Set(wordsOf(file.path).map((word) => word.text));
  const pathWorths = terms.map((term) => (inPath.has(term.text) ? pathWorth : 0));
  const total = weights.reduce((sum, weight) => sum + weight, 0) || 1;
  const values = new Float64Array(terms.length);
  const share = codeFile.test(file.path) ? codeShare : 1;
  return held.lines.map((line, slot) => {
    const length = file.starts[line + 1]! - file.starts[line]!;
    const norm =
      saturation *
      (1 - lengthShare + (lengthShare * Math.max(length, minNormWords)) / Math.max(averageWords, minNormWords));
    for (let term = 0; term < terms.length; term += 1) {
      const amount = held.amounts[slot * terms.length + term]!;
      values[term] = Math.max((amount * (1 + saturation)) / (amount + norm), pathWorths[term]!);
    }
    addNear(file, held, line, slot, values);
    addHeadings(file, held, line, values);
    let score = 0;
    let covered = 0;
    for (let term = 0; term < terms.length; term += 1) {
      score += weights[term]! * values[term]!;
      covered += weights[term]! * Math.min(1, values[term]!);
    }
    score += pairBonus(file, line, weights, marks);
    const shape = isHeading(file, line) ? headingShare : 1;
    return { file, line, score: score * share * shape * (coverageFloor + (1 - coverageFloor) * (covered / total)) };
  });
}

/** Whether one of the next lines stands under this one. */
function isHeading(file: FileIndex, line: number): boolean {
  return file.headings[line + 1] === line || file.headings[line + 2] === line;
}

/** The lines of a file that hold any term, with how much of each. */
interface HeldLines {
  readonly lines: number[];
  /** `lines.length` rows of one number a term. */
  readonly amounts: Float32Array;
  readonly terms: number;
  readonly slots: Map<number, number>;
}

function collectLines(file: FileIndex, terms: number, marks: Marks): HeldLines {
  const lines: number[] = [];
  const slots = new Map<number, number>();
  let amounts = new Float32Array(64 * terms);
  let line = 0;
  for (let at = 0; at < file.words.length; at += 1) {
    const term = marks.term[file.words[at]!]!;
    if (term === 0) continue;
    while (file.starts[line + 1]! <= at) line += 1;
    let slot = lines.length - 1;
    if (lines[slot] !== line) {
      slot = lines.push(line) - 1;
      slots.set(line, slot);
      if ((slot + 1) * terms > amounts.length) {
        const larger = new Float32Array(amounts.length * 2);
        larger.set(amounts);
        amounts = larger;
      }
    }
    const cell = slot * terms + term - 1;
    // Synonyms do not add up to more than the word itself.
    const worth = marks.worth[file.words[at]!]!;
    amounts[cell] =
      worth === 1
        ? Math.max(amounts[cell]!, 0.999) + (amounts[cell]! >= 0.999 ? 1 : 0.001)
        : Math.max(amounts[cell]!, worth);
  }
  return { lines, amounts, terms, slots };
}

function addNear(file: FileIndex, held: HeldLines, line: number, slot: number, values: Float64Array): void {
  for (const step of [-1, 1]) {
    for (let other = slot + step; other >= 0 && other < held.lines.length; other += step) {
      const far = Math.abs(held.lines[other]! - line);
      if (far > nearLines) break;
      const worth =
        nearWorth * nearDecay ** (far - 1) * (file.blocks[held.lines[other]!] === file.blocks[line] ? 1 : otherBlock);
      raise(values, held, other, worth);
    }
  }
}

/** Ends: each heading's parent stands above it. */
function addHeadings(file: FileIndex, held: HeldLines, line: number, values: Float64Array): void {
  let worth = headingWorth;
  for (let heading = file.headings[line]!; heading >= 0; heading = file.headings[heading]!) {
    const slot = held.slots.get(heading);
    if (slot !== undefined) raise(values, held, slot, worth);
    worth *= 0.85;
  }
}

function raise(values: Float64Array, held: HeldLines, slot: number, worth: number): void {
  for (let term = 0; term < held.terms; term += 1) {
    const value = Math.min(1, held.amounts[slot * held.terms + term]!) * worth;
    if (value > values[term]!) values[term] = value;
  }
}

function pairBonus(file: FileIndex, line: number, weights: readonly number[], marks: Marks): number {
  let bonus = 0;
  let previous = 0;
  let previousAt = -9;
  for (let at = file.starts[line]!; at < file.starts[line + 1]!; at += 1) {
    const term = marks.term[file.words[at]!]!;
    if (term === 0) continue;
    if (term === previous + 1 && at - previousAt <= 2)
      bonus += pairWorth * Math.min(weights[term - 1]!, weights[previous - 1] ?? 0) * marks.worth[file.words[at]!]!;
    previous = term;
    previousAt = at;
  }
  return bonus;
}
