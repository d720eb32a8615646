/** What candidates are compared by: the criteria that a question names, and how documents speak of each. */
import { isDenied } from "./denial.ts";
import { commonRank, stopWords, synonymsOf, wordsOf } from "./language/index.ts";

export interface Criterion {
  readonly name: string;
  /** Words to search for. */
  readonly query: string;
  /** What a text says to it; undefined where nothing. */
  readonly judge: (text: string) => Speech | undefined;
}

export interface Speech {
  /** 0–1: how plainly it speaks to the criterion. */
  readonly strength: number;
  /** Whether it denies it: "the Go bindings were removed". */
  readonly isAgainst: boolean;
}

/** Criteria of one comparison: each costs a search in every task. */
const maxCriteria = 3;

/** How engineers ask for something, and the words by which documents promise it. */
const known: readonly {
  readonly name: string;
  readonly asked: RegExp;
  readonly plainly: RegExp;
  readonly speaks: RegExp;
  /** Has more or less of it, so that a "not" in its sentence denies nothing. */
  readonly isMeasure?: true;
  /** What excludes it without a word of negation. */
  readonly against?: RegExp;
  readonly query: string;
}[] = [
  {
    name: "single binary",
    asked:
      /\bsingle[- ](?:binary|file|executable)|\bstatic(?:ally)?\b|\bstand-?alone\b|\bself-contained\b|\bembedd(?:ed|able)\b|\bin-process\b|\bdependency-free\b/i,
    // Phrases, not words: "data loading is in a single file" and "standalone libraries" say nothing of how it ships.
    plainly:
      /\bsingle[- ](?:static(?:ally linked)? )?(?:binary|executable|header)\b|\bsingle \S+ header\b|\bsingle-file\b|\b(?:as|to|just|is|only|ships|one) (?:a |one )?single file\b|\bheader[- ]only\b|\bself-contained (?:binary|executable|library|engine|file|package)\b|\b(?:no|zero|without|free of) (?:\w+ )?dependenc\w+|\b(?:dependency-free|zero-dependency)\b|\bstatically[- ]link\w*|\bstatic (?:binary|library|libraries|linking|executable)\b|\bin-process\b|\bpure (?:C|Go|Rust)\b|\bruns anywhere\b|\bamalgamation\b/i,
    speaks:
      /\b(?:fewer|few|minimal|light-?weight) (?:\w+ )?dependenc\w+|\bembedd(?:ed|able) (?:database|engine|library|store|in (?:your|the|an))\b/i,
    against:
      /\b(?:needs?|requires?) (?:a |an |the )?(?:running |separate |external )?(?:server|daemon|postgres\w*)\b|\b(?:separate|external) (?:server|daemon|process)\b/i,
    query: "single-file single binary header-only no dependencies self-contained",
  },
  {
    name: "Go",
    asked: /\bGo\b|\bgolang\b/,
    plainly:
      /\bGo (?:users?|bindings?|binding sources|client|driver|service|SDK|module|package|library|API|support)\b|\b(?:from|in) Go\b|\b(?:for|supports?) Go\b(?!\s+(?:to|back)\b)|\b[Cc][Gg][Oo]\b|(?:^|\|)\s*Go\s*(?:\||$)/,
    speaks: /\bGo(?=,| and\b| or\b)|\b(?:and|or) Go\b(?!\s+(?:to|back)\b)|\b[Gg]o[Ll]ang\b/,
    query: "Go golang cgo bindings languages",
  },
  {
    name: "concurrency",
    asked: /\b(?:concurren\w+|multi-?thread\w*|thread-safe|parallel\w*|production)\b/i,
    plainly:
      /\b(?:concurren(?:t|tly|cy)|multi-?thread\w*|thread-safe\w*|thread safety|parallel (?:searches|queries))\b/i,
    speaks: /\b(?:production|in parallel|thread pools?)\b/i,
    query: "concurrent multi-threading thread-safe production parallel",
  },
  {
    name: "speed",
    isMeasure: true,
    asked: /\b(?:fast\w*|quick\w*|speed|performance|latency|throughput)\b/i,
    plainly: /\d+(?:\.\d+)?x\b|\d+ ?(?:ms|QPS)\b|\bfaster\b/i,
    speaks: /\b(?:fast\w*|speed\w*|performance|latency|throughput|QPS|seconds?|ms)\b|\d+(?:\.\d+)?x\b/i,
    query: "fast performance speed latency throughput benchmark",
  },
  {
    name: "memory",
    isMeasure: true,
    asked: /\b(?:memory|ram|footprint)\b/i,
    plainly:
      /\b(?:memory|RAM|footprint)\b[^.]*\b\d+ ?(?:[KMG]i?B|bytes)\b|\b\d+ ?(?:[KMG]i?B|bytes) (?:of )?(?:memory|RAM)\b/i,
    speaks: /\b(?:memory|RAM|quantiz\w+|bytes|footprint)\b/i,
    query: "memory usage RAM bytes footprint",
  },
  {
    name: "license",
    asked: /\blicen[cs]\w*/i,
    plainly: /\blicen[cs]ed? under\b|\b(?:MIT|Apache|GPL|BSD)\b/,
    speaks: /\b(?:licen[cs]\w*|MIT|Apache|GPL|BSD)\b/i,
    query: "license licensed MIT Apache",
  },
  {
    name: "platforms",
    asked: /\b(?:platforms?|windows|macos|linux|arm|mobile|browser|ios|android)\b/i,
    plainly:
      /\b(?:supports?|supported|prebuilt|runs? on|available (?:for|on))\b[^.]*\b(?:Windows|macOS|Linux|iOS|Android|WebAssembly|WASM|browsers?|ARM\w*|x86)\b/i,
    speaks: /\b(?:Windows|macOS|Linux|iOS|Android|WebAssembly|WASM|browser|ARM|x86|platforms?)\b/i,
    query: "supported platforms Windows macOS Linux",
  },
];

const comparisons =
  /\b(?:which|what)\b[^?.]*\b(?:suits?|fits?|(?:is|are|would be|works?) (?:the )?(?:best|better|right|most \w+|simplest|easiest|fastest|smallest))\b|\bcompar(?:e|ison)\b|\bversus\b|\bvs\b|\bdifferences? (?:between|among)\b|\btrade-?offs?\b|\bshould (?:i|we) (?:use|choose|pick|take)\b|\bwhich of\b/i;

export function isComparison(question: string): boolean {
  return comparisons.test(question);
}

/** Words by which a comparison is asked, not what is compared by. */
const askingWords = new Set(
  "engine service server backend app application program binary suit suits fit fits best better right compare comparison versus difference differences tradeoff tradeoffs choose pick take use option options tool library package project candidate simplest easiest smallest need needs want".split(
    " ",
  ),
);

const isAsking = (word: string) => askingWords.has(word) || askingWords.has(word.replace(/s$/, ""));

/** The criteria in a question, in the order of the table, then its other telling words; empty where it names none. */
export function criteriaOf(question: string): string[] {
  const found = known.filter(({ asked }) => asked.test(question));
  const rest = found.reduce((text, { asked }) => text.replace(asked, " "), question);
  const others = wordsOf(rest).filter(
    (word) => !stopWords.has(word.text) && !isAsking(word.text) && (commonRank(word.stem) ?? 9999) > 300,
  );
  return [...new Set([...found.map(({ name }) => name), ...others.map((word) => word.text)])].slice(0, maxCriteria);
}

/** What a text is worth that only touches on a criterion, and one that does so in other words. */
const weaklySpoken = 0.5;
const otherWords = 0.3;

/** Targets of links and marks of tags name much that the text does not say. */
const unsaid = /\]\([^)\s]*\)|<[^>]*>|https?:\S+/g;

export function criterionOf(name: string): Criterion {
  const entry = known.find((each) => each.name === name);
  if (entry)
    return {
      name,
      query: entry.query,
      judge: (text) => {
        const plain = text.replaceAll(unsaid, " ");
        if (entry.against?.test(plain)) return { strength: 1, isAgainst: !isDeniedAt(plain, entry.against) };
        const speech =
          judgePlaces(plain, placesOf(plain, entry.plainly), 1) ??
          judgePlaces(plain, placesOf(plain, entry.speaks), weaklySpoken);
        return speech && entry.isMeasure ? { ...speech, isAgainst: false } : speech;
      },
    };
  const stems = new Set(wordsOf(name).map((word) => word.stem));
  const others = new Set([...stems].flatMap((stem) => [...synonymsOf(stem)]));
  return {
    name,
    query: name,
    judge: (text) => {
      const plain = text.replaceAll(unsaid, " ");
      const words = wordsOf(plain).map(({ stem, start, end }) => ({ stem, place: [start, end] as const }));
      const places = (wanted: ReadonlySet<string>) =>
        words.filter(({ stem }) => wanted.has(stem)).map(({ place }) => place);
      return judgePlaces(plain, places(stems), weaklySpoken) ?? judgePlaces(plain, places(others), otherWords);
    },
  };
}

type Place = readonly [from: number, to: number];

function placesOf(text: string, pattern: RegExp): Place[] {
  return [...text.matchAll(new RegExp(pattern, `${pattern.flags}g`))].map((match) => [
    match.index,
    match.index + match[0].length,
  ]);
}

const isDeniedAt = (text: string, pattern: RegExp) =>
  placesOf(text, pattern).every(([from, to]) => isDenied(text, from, to));

/** One denial outweighs what the same sentence says besides. */
function judgePlaces(text: string, places: readonly Place[], strength: number): Speech | undefined {
  if (places.length === 0) return undefined;
  return { strength, isAgainst: places.some(([from, to]) => isDenied(text, from, to)) };
}
