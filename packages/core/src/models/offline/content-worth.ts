/** How much a piece of text reads like a statement, 0–1, rather than like a link, a badge, a list of names or code. */
import { stopWords, wordsOf } from "./language/index.ts";

const fullSentenceWords = 8;
/** A row of a table says something, but less plainly than a sentence. */
const rowWorth = 0.45;
const tableRow = /^\s*\|.*\|\s*$|\S \| \S/;

export function contentWorth(text: string): number {
  const plain = text.replaceAll(/!?\[([^\]]*)\]\([^)]*\)/g, "$1").replaceAll(/<[^>]+>|https?:\S+/g, " ");
  const words = wordsOf(plain);
  if (tableRow.test(plain)) return words.length < 2 ? 0 : rowWorth;
  if (words.length < 4) return 0;
  const joining = words.filter((word) => stopWords.has(word.text)).length;
  const marks = plain.match(/[{}();=<>|[\]]/g)?.length ?? 0;
  const length = Math.min(1, words.length / fullSentenceWords);
  const prose = Math.min(1, 0.35 + (2.2 * joining) / words.length);
  return Math.max(0, length * prose - (0.6 * marks) / words.length) * 0.85;
}
