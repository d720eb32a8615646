/** How well a unit answers a question, by its words and by what kind of answer it looks like. */
import { codeFile, instancesOf, synonymsOf, synonymWeight, wordsOf } from "./language/index.ts";
import { kindShare } from "./answer-kind.ts";
import { confidenceOf, pairsIn } from "./confidence.ts";
import { isTable, type Unit } from "./passages.ts";
import type { Question, Term } from "./question.ts";

/** What a search told of the workspace: how many lines there are, and how many hold each word. */
export interface WordCounts {
  readonly lines: number;
  readonly holding: ReadonlyMap<string, number>;
}

export interface Match {
  readonly unit: Unit;
  /** For ranking. */
  readonly score: number;
  /** 0–1: the share of the question's weight that stands in the unit or its context. */
  readonly coverage: number;
  /** 0–1: how sure it is that this is about the question at all. */
  readonly confidence: number;
  /** Terms of the question that the unit itself holds. */
  readonly held: readonly Term[];
}

/** Worth of a word by where it stands instead of in the unit itself. */
const previousWorth = 0.5;
const nextWorth = 0.35;
const headingWorth = 0.55;
/** A question or a heading right above: what follows is its answer. */
const introducedWorth = 0.8;
const pathWorth = 0.35;
const prefixWorth = 0.6;
const minPrefix = 4;
/** "version 3" and 3.0.0 */
const versionWorth = 0.8;

/** 0–1 per term: rare words say more. A word that no line holds weighs as much as the rarest. */
export function weighTerms(question: Question, counts: WordCounts): Map<Term, number> {
  const scale = Math.log(2 + counts.lines);
  return new Map(
    question.terms.map((term) => {
      const holding = counts.holding.get(term.text) ?? 0;
      return [term, (term.weight * Math.log(1 + (counts.lines + 1) / (holding + 1))) / scale];
    }),
  );
}

/** @param units of one excerpt, in order */
export function matchUnits(
  question: Question,
  weights: ReadonlyMap<Term, number>,
  units: readonly Unit[],
  counts: WordCounts,
): Match[] {
  const missingNames = question.terms.filter(
    (term) => term.isName && (counts.holding.get(term.text) ?? 0) === 0,
  ).length;
  const rarest = [...weights].toSorted((a, b) => b[1] - a[1])[0]?.[0];
  const total = [...weights.values()].reduce((sum, weight) => sum + weight, 0) || 1;
  const own = units.map((unit) => question.terms.map((term) => worthIn(term, unit.stems)));
  return units.map((unit, at) => {
    const previous = units[at - 1];
    const introduced = previous !== undefined && introduces(previous);
    const inPath = new Set(wordsOf(unit.path).map((word) => word.stem));
    let covered = 0;
    let ownCovered = 0;
    const held: Term[] = [];
    question.terms.forEach((term, nth) => {
      const weight = weights.get(term) ?? 0;
      const here = own[at]![nth]!;
      const around = Math.max(
        (own[at - 1]?.[nth] ?? 0) * (introduced ? introducedWorth : near(previous, unit) * previousWorth),
        (own[at + 1]?.[nth] ?? 0) * near(units[at + 1], unit) * nextWorth,
        worthIn(term, unit.headingStems) * headingWorth,
        worthIn(term, inPath) * pathWorth,
      );
      covered += weight * Math.max(here, around);
      ownCovered += weight * here;
      if (here > 0) held.push(term);
    });
    const coverage = covered / total;
    const answer = introduces(unit) ? answerAfter(units, at) : undefined;
    const kind = kindShare(answer ? `${unit.text} ${answer.text}` : unit.text, question.kinds);
    const together = [unit, previous, units[at + 1]]
      .flatMap((each) => (each ? [each.stems] : []))
      .concat(unit.headingStems, inPath);
    const confidence = confidenceOf({
      coverage,
      // A row says what it says only with the names of its columns and of its table.
      exactWords: question.terms.filter(
        (term) =>
          holds(unit.stems, term.stem) ||
          (isTable(unit.path) && (unit.headingStems.has(term.stem) || inPath.has(term.stem))),
      ).length,
      rarest: rarest ? Math.max(...together.map((stems) => worthIn(rarest, stems))) : 0,
      pairs: pairsIn(unit, question),
      missingNames,
      kind,
      lines: counts.lines,
    });
    const score =
      coverage +
      0.25 * (ownCovered / total) +
      0.22 * kind +
      literalWorth(unit, question) +
      shapeWorth(unit, question, answer !== undefined);
    return { unit, score, coverage, confidence, held };
  });
}

/** What each option or quotation of the question is worth that the unit holds as written. */
const eachLiteral = 0.2;

function literalWorth(unit: Unit, question: Question): number {
  if (question.literals.length === 0) return 0;
  const plain = ` ${unit.text.replaceAll(/\\f(?:[A-Z0-9]|\([A-Z]{2})|\\/g, "")} `;
  return (
    eachLiteral *
    question.literals.filter((literal) => new RegExp(`(?<![\\w-])${RegExp.escape(literal)}(?![\\w-])`).test(plain))
      .length
  );
}

function near(other: Unit | undefined, unit: Unit): number {
  if (other === undefined) return 0;
  return other.block === unit.block ? 1 : Math.abs(other.from - unit.from) <= 3 ? 0.7 : 0.3;
}

/** Says what the unit after it is about: a heading, a question, a label, an entry of a manual page, a signature. */
export function introduces(unit: Unit): boolean {
  return (
    unit.isHeading ||
    /[?:]\W*$/.test(unit.text) ||
    /^\s*(?:Q[.:]\s|\.(?:It|B|IP|BI|BR|TP)\b|\.\. )/.test(unit.text) ||
    /^\s*(?:--?[\w-]+(?:[ =,]+\S+){0,4}|[\w.]+\([^)]*\))\s*$/.test(unit.text)
  );
}

/** The word itself, or the name of one such. */
function holds(stems: ReadonlySet<string>, stem: string): boolean {
  if (stems.has(stem)) return true;
  for (const name of instancesOf(stem)) if (stems.has(name)) return true;
  return false;
}

function worthIn(term: Term, stems: ReadonlySet<string>): number {
  if (holds(stems, term.stem)) return 1;
  for (const synonym of synonymsOf(term.stem)) if (stems.has(synonym)) return synonymWeight;
  if (/^\d+$/.test(term.stem)) return [...stems].some((stem) => stem.startsWith(`${term.stem}.`)) ? versionWorth : 0;
  if (term.stem.length < minPrefix) return 0;
  for (const stem of stems)
    if (stem.length >= minPrefix && (stem.startsWith(term.stem) || term.stem.startsWith(stem))) return prefixWorth;
  return 0;
}

const contents =
  /^\s*(?:[-*+•]|\d+[.)])?\s*\[[^\]]*\]\(#[^)]*\)\s*$|^\s*(?:[-*+•?o]|\d+[.)])*\s*\d+(?:\.\d+)+\.?\s+[^.]*\??$/;
const boilerplate =
  /\b(?:WARRANT|LIABILITY|MERCHANTABILITY|COPYRIGHT HOLDERS|hereby granted|redistribut|GNU General Public)/i;
/** Entries that bots write into histories. */
const bumped = /\b(?:deps|dependabot|renovate)\b|\bupdate (?:dependency|\S+ action)\b/i;

/** What a unit introduces: the text right after it that is no heading or entry of a table of contents itself. */
export function answerAfter(units: readonly Unit[], at: number): Unit | undefined {
  const unit = units[at]!;
  if (/^\s*Q[.:]\s/.test(unit.text)) {
    const reply = units.slice(at + 1, at + 1 + maxUnitsToReply).find((each) => /^\s*A[.:]\s/.test(each.text));
    if (reply) return reply;
  }
  const next = units.slice(at + 1).find((each) => !isMarkup(each));
  if (next === undefined || next.from - unit.to > maxGap || next.isHeading || contents.test(next.text))
    return undefined;
  return next;
}

/** Lines between what introduces and what follows; units between a question and its reply. */
const maxGap = 3;
const maxUnitsToReply = 6;

/** Fences, rules and requests of manual pages say nothing. */
function isMarkup(unit: Unit): boolean {
  return /^(?:```.*|~~~.*|\W*|\.[A-Za-z]{1,2}(?:\s+\d+)?|<\/?\w+[^>]*>)$/.test(unit.text);
}

/** Headings, tables of contents and questions name what is asked; without a text after them they do not answer it. */
function shapeWorth(unit: Unit, question: Question, isFollowed: boolean): number {
  let worth = sourceWorth(unit, question);
  const hasFigure = question.kinds.size > 0 && kindShare(unit.text, question.kinds) === 1 && /\d/.test(unit.text);
  if (!isFollowed) {
    if (unit.isHeading && !hasFigure) worth -= 0.18;
    if (contents.test(unit.text)) worth -= 0.3;
    if (/\?\W*$/.test(unit.text)) worth -= 0.2;
  }
  if (boilerplate.test(unit.text) && !question.terms.some((term) => term.stem === "licens")) worth -= 0.3;
  if (bumped.test(unit.text)) worth -= 0.15;
  if (unit.stems.size < 3 && !/\d|`|=/.test(unit.text) && !isFollowed) worth -= 0.1;
  return worth;
}

const historyFile = /(?:^|\/)(?:change[sl]?|changelog|history|news|release)[^/]*$/i;
const legalFile = /(?:^|\/)(?:licen[cs]e|copying|copyright|notice)[^/]*$/i;
const machineFile = /(?:^|\/)(?:package(?:-lock)?|tsconfig|composer)\.json$|\.(?:lock|css|map|min\.js)$/i;
const wordsOfHistory = new Set([
  "releas",
  "chang",
  "introduc",
  "ad",
  "fix",
  "bug",
  "remov",
  "drop",
  "deprec",
  "new",
  "secur",
  "renam",
  "replac",
]);

/** What a document is for: guides explain; histories and code answer what is asked of them. */
function sourceWorth(unit: Unit, question: Question): number {
  const asksHistory =
    question.kinds.has("date") ||
    /\d/.test(question.text) ||
    question.terms.some((term) => wordsOfHistory.has(term.stem));
  if (historyFile.test(unit.path)) return asksHistory ? 0 : -0.1;
  if (legalFile.test(unit.path))
    return question.terms.some((term) => term.stem === "licens" || term.stem === "copyright") ? 0 : -0.25;
  if (machineFile.test(unit.path)) return -0.12;
  return codeFile.test(unit.path) ? -0.07 : 0;
}
