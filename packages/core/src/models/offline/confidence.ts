/**
 * How sure it is that a unit speaks to a question at all, 0–1. What tells an answer from a chance likeness is how many
 * of the question's words stand together, its rarest among them; and in a large folder chance brings more together.
 * A logistic function; its coefficients were fitted on 60 questions put to the documents of 24 projects, their own and
 * others', and rounded.
 */
import { wordsOf } from "./language/index.ts";
import type { Unit } from "./passages.ts";
import type { Question } from "./question.ts";

export interface ConfidenceFacts {
  /** 0–1: the share of the question's weight in the unit and around it. */
  readonly coverage: number;
  /** Words of the question that stand in the unit itself. */
  readonly exactWords: number;
  /** 0–1: how well the question's rarest word is matched in the unit or around it. */
  readonly rarest: number;
  /** Neighbouring words of the question that are neighbours in the unit too. */
  readonly pairs: number;
  /** Names in the question that stand in no document. */
  readonly missingNames: number;
  /** 0–1: whether it looks like the kind of answer that is asked for. */
  readonly kind: number;
  /** Lines of the workspace. */
  readonly lines: number;
}

/** The smallest folder that the function was fitted on; it says nothing of smaller ones. */
const fewestLines = 400;
const mostExactWords = 4;
const mostPairs = 2;

export function confidenceOf(facts: ConfidenceFacts): number {
  const logit =
    0.3 +
    0.7 * facts.kind +
    3 * facts.coverage +
    1.85 * Math.min(facts.exactWords, mostExactWords) +
    1.85 * facts.rarest +
    0.67 * Math.min(facts.pairs, mostPairs) -
    0.75 * facts.missingNames -
    2.15 * Math.log10(Math.max(facts.lines, fewestLines));
  return 1 / (1 + Math.exp(-logit));
}

/** Words between two that still count as neighbours. */
const pairReach = 2;

export function pairsIn(unit: Unit, question: Question): number {
  const stems = wordsOf(unit.text).map((word) => word.stem);
  return question.terms.slice(1).filter((term, nth) => {
    const before = question.terms[nth]!.stem;
    return stems.some(
      (stem, at) =>
        stem === before && (stems[at - 1] === term.stem || stems.slice(at + 1, at + 1 + pairReach).includes(term.stem)),
    );
  }).length;
}
