/** From matched units to findings: which ones to keep, and which of their lines to cite. */
import { withAnswer } from "./expand.ts";
import { checkedCitation, type Telling } from "./citation-text.ts";
import { synonymsOf, wordsOf } from "./language/index.ts";
import { matchUnits, weighTerms, type Match, type WordCounts } from "./match.ts";
import { isTable, unitsOf, type Excerpt, type Unit } from "./passages.ts";
import { distinctFindings, type Finding } from "./result.ts";
import type { Question } from "./question.ts";

/** Findings of one task for one question. */
const maxFindings = 7;
/** A finding is kept if its rank is at least this share of the best one's. */
const keptShare = 0.6;
/** Units that share this much of their words say the same. */
const sameShare = 0.6;
/** The highest score there is, so that a match reads as 0–1. */
const fullScore = 1.47;

export interface Judged {
  readonly findings: readonly Finding[];
  /** 0–1: how sure it is that the excerpts speak to the question at all. */
  readonly confidence: number;
}

export function judgeExcerpts(question: Question, counts: WordCounts, excerpts: readonly Excerpt[]): Judged {
  const weights = weighTerms(question, counts);
  const headers = new Map(
    excerpts.flatMap(({ path, from, lines }) => (isTable(path) && from === 1 ? [[path, lines[0] ?? ""]] : [])),
  );
  const matches = excerpts
    .flatMap((excerpt) => {
      const units = unitsOf(excerpt, headers.get(excerpt.path));
      return matchUnits(question, weights, units, counts).map((match) => ({ match, excerpt, units }));
    })
    .toSorted((a, b) => b.match.score - a.match.score);
  const least = (matches[0]?.match.score ?? 0) * keptShare;
  const kept = spread(matches.filter(({ match }) => match.score >= least && match.coverage > 0));
  const findings = distinctFindings(
    kept.flatMap(
      ({ match, excerpt, units }) =>
        findingOf(
          withAnswer(match, units, question),
          excerpt,
          match.score / fullScore,
          match.held.map((term) => term.text),
          (piece) => stemsHeld(piece, question),
        ) ?? [],
    ),
  );
  const shown = findings.slice(0, maxFindings);
  return {
    findings: shown,
    confidence: Math.max(0, ...kept.slice(0, maxFindings).map(({ match }) => match.confidence)),
  };
}

/** Undefined where no line of the units can be quoted. @param units the matched one, and what it introduces */
export function findingOf(
  units: readonly Unit[],
  excerpt: Excerpt,
  worth: number,
  words: readonly string[],
  telling: Telling,
): Finding | undefined {
  const citations = new Set(units.flatMap((unit) => citationsOf(unit, excerpt, telling)));
  if (citations.size === 0) return undefined;
  return { citations: [...citations].join(" "), match: Math.min(0.99, Math.max(0, worth)), words };
}

/** Lines without a word for a reader: bare requests of a manual page's source, fences, tags, notice marks. */
const withoutWords = /^(?:\.[A-Za-z]{1,2}(?:\s+\d+)?|\s*(?:```|~~~).*|\s*(?:<[^>]*>\s*)+|>\s*\[!\w+\]\s*|[\s|:-]*)$/;

/** A line up to this length is quoted whole; of a longer one only the sentence that is meant. */
const wholeLineChars = 160;

function citationsOf(unit: Unit, excerpt: Excerpt, telling: Telling): string[] {
  const citations: string[] = [];
  for (let line = unit.from; line <= unit.to; line += 1) {
    const text = excerpt.lines[line - excerpt.from] ?? "";
    if (withoutWords.test(text)) continue;
    const isPart = unit.from === unit.to && text.length > wholeLineChars && folded(text).includes(folded(unit.text));
    const citation =
      checkedCitation(unit.path, line, isPart ? unit.text : text, telling) ?? checkedCitation(unit.path, line, text);
    if (citation) citations.push(citation);
  }
  return citations;
}

/** Words of the question in a piece of a line. */
function stemsHeld(piece: string, question: Question): number {
  const stems = new Set(wordsOf(piece).map((word) => word.stem));
  return question.terms.filter(
    (term) => stems.has(term.stem) || [...synonymsOf(term.stem)].some((synonym) => stems.has(synonym)),
  ).length;
}

/** Best first, but what says nearly the same as one before it comes last. */
function spread<Each extends { readonly match: Match }>(matches: readonly Each[]): Each[] {
  const first: Each[] = [];
  const alike: Each[] = [];
  for (const each of matches.slice(0, maxFindings * 10))
    (first.some((other) => overlap(other.match, each.match) >= sameShare) ? alike : first).push(each);
  return [...first, ...alike].slice(0, maxFindings * 3);
}

function overlap(a: Match, b: Match): number {
  const both = [...a.unit.stems].filter((stem) => b.unit.stems.has(stem)).length;
  return both / Math.max(1, a.unit.stems.size + b.unit.stems.size - both);
}

const folded = (text: string) => text.replaceAll(/\s+/g, " ").trim();
