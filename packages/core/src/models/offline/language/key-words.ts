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

function weightOf(word: string, stem: string): number {
  if (taskWords.has(word) || taskWords.has(stem)) return taskWeight;
  return (commonRank(stem) ?? Infinity) < commonBelow ? commonWeight : 1;
}
