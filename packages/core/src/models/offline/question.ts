/** What a question asks: the words that matter, and what an answer to it looks like. */
import { commonRank, stopWords, wordsOf, type Word } from "./language/index.ts";

export type AnswerKind = "figure" | "date" | "version" | "place" | "command" | "reason" | "default" | "name";

export interface Term {
  /** Lower case, as asked. */
  readonly text: string;
  readonly stem: string;
  /** 0–1: how much of the question it carries before anything is known of the documents. */
  readonly weight: number;
  /** A word that ordinary documentation does not use: most likely a name, which other words do not replace. */
  readonly isName: boolean;
}

export interface Question {
  readonly text: string;
  readonly kinds: ReadonlySet<AnswerKind>;
  readonly terms: readonly Term[];
  /** Found as written or not at all. */
  readonly literals: readonly string[];
}

/** Terms of one question; a longer one is a text, and its first words say what it is about. */
const maxTerms = 20;
/** Content words that questions are made with, and that documents seldom answer with. */
const weakWords = new Set(
  "work works happen happens mean means need needs want wants possible possibly kind kinds type types available different difference differences come comes take takes best good better call called long big large fast often old tall new put else instead give given gives go goes make makes made actually currently engine suit suits suitable name names project projects package library tool program application word words line lines supposed".split(
    " ",
  ),
);
const weakWeight = 0.45;
const digitsWeight = 0.6;
/** Identifiers are matched whole; their parts are only a hint. */
const partWeight = 0.3;
/** Weight of a word by how many others are more common in documentation. */
const commonWeights: readonly (readonly [rank: number, weight: number])[] = [
  [300, 0.6],
  [1000, 0.8],
  [2800, 0.95],
];
/** Says that nothing else was said; what is said not to be there (`no adapter`) stays in the question. */
const defaultPhrases =
  /\bout of the box\b|\b(?:if|when|where|with)(?: there (?:is|are))? (?:none|nothing|no(?= [\w-]+))\b|\b(?:is|are) (?:not )?(?:given|specified|provided|passed|configured)\b|\bif (?:i|you|we) (?:do not|don'?t|set no|give no)\b|\bunless\b[^,?.]*|\bwithout (?:specifying|setting|giving|passing|any)\b|\bif (?:omitted|unset|left out)\b|\botherwise\b|\bis (?:assumed|implied)\b|\bassumed\b/gi;

const kindPatterns: readonly (readonly [AnswerKind, RegExp])[] = [
  [
    "figure",
    /\bhow (?:many|much|large|big|long|fast|often|old|far|slow|high|small|wide|deep)\b|\b(?:maximum|minimum|max|min|limit|size|number|rate|percentage|percent|port|ports|ratio|amount|numeric|value|priority|code|smallest|largest|longest|shortest|threshold|duration|timeout|interval|latency|throughput|cost|price)\b/i,
  ],
  [
    "date",
    /\bwhen (?:was|were|did|will|is .* (?:due|planned|released))\b|\b(?:what|which) (?:date|year|day|month)\b|\brelease date\b|\bsince when\b/i,
  ],
  [
    "version",
    /\bversions?\b|\bsince (?:which|what|when)\b|\brelease\b|\bnewest\b|\bminimum\b.*\b(?:node|python|go|rust|java|php|ruby|postgres)/i,
  ],
  ["place", /\bwhere\b|\b(?:which|what) (?:file|files|folder|directory|path|url|address|website|branch)\b/i],
  [
    "command",
    /\bhow (?:do|can|could|would|should|to|does one|is it possible)\b|\b(?:which|what) (?:command|flag|flags|option|options|switch|setting|function|method|directive|variable|parameter|argument|keyword|property|environment)\b/i,
  ],
  ["reason", /\bwhy\b|\breasons?\b|\bwhat for\b|\bpurpose\b/i],
  ["default", /\bdefaults?\b|\bby default\b/i],
  [
    "name",
    /\bwho(?:se|m)?\b|\b(?:which|what) (?:person|company|organi[sz]ation|author|algorithm|licen[cs]e|format|protocol|database|databases|language|platform|platforms|engine|package|program)\b|\blicen[cs]e/i,
  ],
];

export function readQuestion(text: string): Question {
  const asksDefault = text.search(defaultPhrases) >= 0;
  // "version 2.0.0" is 2.0.0 wherever it stands.
  // What was asked before is a sentence of its own.
  const asked = text.replaceAll(/\s*\(asked after: ([^)]*)\)/g, "? $1");
  const bare = asked.replaceAll(defaultPhrases, " ").replaceAll(/\b(?:version|release)s?\s+(?=v?\d+\.\d)/gi, "");
  const kinds = new Set(kindPatterns.filter(([, pattern]) => pattern.test(text)).map(([kind]) => kind));
  if (asksDefault) kinds.add("default");
  const terms = new Map<string, Term>();
  const add = (term: Term) => {
    if (!terms.has(term.stem) && terms.size < maxTerms) terms.set(term.stem, term);
  };
  const words = wordsOf(bare);
  const isProper = (word: Word) =>
    word.start > 0 &&
    word.text.length > 1 &&
    /^\p{Lu}/u.test(bare.slice(word.start)) &&
    !/[.?!]\s+$/.test(bare.slice(0, word.start));
  const content = words.filter((word) => isProper(word) || !stopWords.has(word.text));
  (content.length > 0 ? content : words).forEach((word, at, list) => {
    const isPart = list.some(
      (other, nth) => nth > at && other.start === word.start && other.text.length > word.text.length,
    );
    const rank = commonRank(word.stem);
    const common = rank === undefined || isProper(word) ? 1 : (commonWeights.find(([below]) => rank < below)?.[1] ?? 1);
    const weight = isPart
      ? partWeight
      : weakWords.has(word.text) && !isProper(word)
        ? weakWeight
        : /^\d+$/.test(word.text)
          ? digitsWeight
          : common;
    add({
      text: word.text,
      stem: word.stem,
      weight,
      isName:
        (isProper(word) || (rank === undefined && word.text.length > 2)) && !isPart && !/^[\d.]+$/.test(word.text),
    });
  });
  if (asksDefault) add({ text: "default", stem: "default", weight: weakWeight, isName: false });
  return { text: text.trim(), kinds, terms: [...terms.values()], literals: literalsOf(text) };
}

/** The words to search for, in the order asked. */
export function queryOf(question: Question): string {
  return question.terms.map((term) => term.text).join(" ");
}

/** Parts of one goal that are researched apart. */
const maxFacets = 4;

/** A goal may ask several things: one part a question. `and why` stays with what it asks about. */
export function facetsOf(goal: string): string[] {
  const facets: string[] = [];
  for (const sentence of goal.split(/(?<=\?)\s+|\n+/)) {
    const parts = sentence
      .split(/[,;]?\s+and\s+(?=(?:what|which|when|where|how|who|does|do|is|are|can)\b)/i)
      .map((part) => part.trim());
    const [first = ""] = parts;
    if (parts.every((part) => contentWords(part) > 0))
      facets.push(
        ...parts.map((part, at) => (at > 0 && refersBack.test(part) ? `${part} (asked after: ${first})` : part)),
      );
    else if (contentWords(sentence) > 0) facets.push(sentence.trim());
  }
  return facets.length > 0 ? facets.slice(0, maxFacets) : [goal.trim()];
}

/** Says nothing without the part before it. */
const refersBack = /\b(?:it|its|they|them|their|that|this|these|those)\b/i;

function contentWords(text: string): number {
  return new Set(
    wordsOf(text)
      .filter((word) => !stopWords.has(word.text) && !weakWords.has(word.text))
      .map((word) => word.stem),
  ).size;
}

/** Options and quoted words of a question: to be found as they are written, `-C` and not `-c`. */
export function literalsOf(text: string): string[] {
  return [...text.matchAll(/(?<![\w-])(--?[A-Za-z][\w-]*)|`([^`]{2,80})`|"([^"]{2,80})"/g)].map(
    (match) => (match[1] ?? match[2] ?? match[3])!,
  );
}
