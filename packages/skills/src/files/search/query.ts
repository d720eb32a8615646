/** From a question in plain words to what counts as a match for each of its words in this workspace. */
import { distance } from "fastest-levenshtein";
import { stopWords, synonymsOf, synonymWeight, wordsOf } from "@outerloop/core/language";
import type { Dictionary } from "./file-index.ts";

export interface QueryTerm {
  /** As asked, lower case. */
  readonly text: string;
  /** The word itself in the dictionary; undefined where no file holds it. */
  readonly exact: number | undefined;
  /** Numbers in the dictionary that count for it, with their worth, 0–1. */
  readonly matches: ReadonlyMap<number, number>;
}

/** Terms of one query; what comes after them is not searched for. */
export const maxQueryTerms = 24;
/** Worth of a word that differs by spelling, and of one that begins with it or is written apart. */
const misspeltWeight = 0.7;
const relatedWeight = 0.75;
const minPrefixChars = 4;

export function termsOf(query: string, dictionary: Dictionary): QueryTerm[] {
  const all = wordsOf(query);
  const content = all.filter((word) => !stopWords.has(word.text));
  const words = (content.length > 0 ? content : all).filter(
    (word, index, list) => list.findIndex((other) => other.stem === word.stem) === index,
  );
  return words.slice(0, maxQueryTerms).map((word, index, list) => {
    const matches = new Map<number, number>();
    const add = (stem: string, weight: number) => {
      const number = dictionary.numbers.get(stem);
      if (number !== undefined && (matches.get(number) ?? 0) < weight) matches.set(number, weight);
    };
    add(word.stem, 1);
    for (const synonym of synonymsOf(word.stem)) add(synonym, synonymWeight);
    // "time out" and "timeout", "file name" and "filename".
    const next = list[index + 1];
    if (next) add(word.stem + next.stem, relatedWeight);
    const previous = list[index - 1];
    if (previous) add(previous.stem + word.stem, relatedWeight);
    const exact = dictionary.numbers.get(word.stem);
    if (exact === undefined) addLookalikes(word.stem, dictionary, add);
    return { text: word.text, exact, matches };
  });
}

/** For a word that no file holds: what it may be a misspelling, a beginning or a compound of. */
function addLookalikes(stem: string, dictionary: Dictionary, add: (stem: string, weight: number) => void): void {
  for (let cut = 3; cut <= stem.length - 3; cut += 1) {
    const [left, right] = [stem.slice(0, cut), stem.slice(cut)];
    if (!dictionary.numbers.has(left) || !dictionary.numbers.has(right)) continue;
    add(left, relatedWeight / 2);
    add(right, relatedWeight / 2);
  }
  if (stem.length < minPrefixChars || /\d/.test(stem)) return;
  const tolerance = stem.length >= 8 ? 2 : stem.length >= 5 ? 1 : 0;
  for (const candidate of dictionary.numbers.keys()) {
    if (candidate.length > stem.length + 8 || candidate.length < stem.length - 2 || candidate[0] !== stem[0]) continue;
    if (candidate.startsWith(stem)) add(candidate, relatedWeight);
    else if (tolerance > 0 && candidate.length >= 4 && stem.startsWith(candidate)) add(candidate, relatedWeight);
    else if (
      tolerance > 0 &&
      Math.abs(candidate.length - stem.length) <= tolerance &&
      distance(candidate, stem) <= tolerance
    )
      add(candidate, misspeltWeight);
  }
}
