/** What a short text is about: its words, each by how much it tells it from other texts. */
import { commonRank } from "./common-words.ts";
import { stopWords } from "./stop-words.ts";
import { wordsOf } from "./words.ts";

/** Words of which every task has some, whatever it is about. */
const taskWords = new Set(
  `again analyse analyz answer ask assess carefully check collect compare complete compose consult create data deliver describe detail determine
  discover do document draft evaluate examine explore fetch file final find finish fix gather get give goal identify information inspect investigate
  further item know list look make more need new next note obtain once output page plan prepare produce provide read recommend record report research result
  retrieve review save search section see show start step store study summar summari summariz task tell text thoroughly tool update verify work
  write writ`
    .split(/\s+/)
    .filter(Boolean),
);
/** Among the most frequent words of English prose a word says half. */
const commonBelow = 1500;
const commonWeight = 0.5;
const taskWeight = 0.1;

export function keyWords(text: string): ReadonlyMap<string, number> {
  const words = new Map<string, number>();
  for (const { text: word, stem } of wordsOf(text)) {
    if (stopWords.has(word)) continue;
    words.set(stem, weightOf(word, stem));
  }
  return words;
}

/** One of these for another makes another task. */
const tellingApart = new Set(
  `one two three four five six seven eight nine ten first second third fourth fifth sixth seventh last next previous opening closing north south
  east west left right old new before after morning evening income cost costs expense expenses risk risks cause causes effect effects`.split(
    /\s+/,
  ),
);

function weightOf(word: string, stem: string): number {
  if (tellingApart.has(word)) return 1;
  if (taskWords.has(word) || taskWords.has(stem)) return taskWeight;
  return (commonRank(stem) ?? Infinity) < commonBelow ? commonWeight : 1;
}

const kindsOfWork: Readonly<Record<string, string>> = {
  find: "find search look collect gather fetch read list identify research investigate explore check examine inspect study determine get retrieve discover",
  judge: "compare evaluate assess analyse analyze verify review rank recommend choose decide test rate",
  write:
    "write draft compose prepare create produce output save summarise summarize report document describe update edit append add record proofread polish translate convert",
  send: "send mail email e-mail post notify publish deploy",
};
const workByWord = new Map(
  Object.entries(kindsOfWork).flatMap(([work, words]) => words.split(" ").map((word) => [word, work] as const)),
);

/** What kind of work a text asks for first. */
export function workOf(text: string): string | null {
  for (const { text: word } of wordsOf(text.slice(0, 500))) {
    const work = workByWord.get(word);
    if (work !== undefined) return work;
  }
  return null;
}

/** Scripts that are written without spaces between words. */
const withoutSpaces =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}]/u;

export const language = { keyWords, workOf, reads: (text: string) => !withoutSpaces.test(text) };
