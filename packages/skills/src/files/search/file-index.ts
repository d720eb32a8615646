/** One file as numbers: the words of every line, and its outline. The text itself is not kept. */
import { setImmediate as pause } from "node:timers/promises";
import type { WorkspaceFile } from "@outerloop/core/domain";
import { outlineOf, stemsOf, type Outline } from "@outerloop/core/language";
import { isBinary, linesOf } from "../text.ts";

export interface FileIndex extends Outline {
  readonly path: string;
  readonly version: number;
  readonly bytes: number;
  readonly isBinary: boolean;
  readonly lineCount: number;
  /** Numbers of the dictionary, line after line. */
  readonly words: Uint32Array;
  /** Where each line's words begin; one more at the end. */
  readonly starts: Uint32Array;
}

/** Stems numbered in order of first sight; grows with the workspace. */
export interface Dictionary {
  readonly numbers: Map<string, number>;
}

/** Words of one line that are indexed; only minified code and data have more. */
export const maxLineWords = 2000;
/** Characters of one line that are looked at for words. */
const maxIndexedChars = 20_000;
/** Lines between two pauses: about 10 ms, so that claims are renewed and aborts are seen. */
const linesBetweenPauses = 4000;

export async function indexFile(
  file: WorkspaceFile,
  bytes: Uint8Array,
  dictionary: Dictionary,
  signal: AbortSignal,
): Promise<FileIndex> {
  const known = { path: file.path, version: file.version, bytes: bytes.length };
  if (isBinary(bytes)) {
    const none = new Uint32Array(0);
    return {
      ...known,
      isBinary: true,
      lineCount: 0,
      words: none,
      starts: new Uint32Array(1),
      blocks: none,
      headings: new Int32Array(0),
    };
  }
  const lines = linesOf(bytes);
  const starts = new Uint32Array(lines.length + 1);
  let words = new Uint32Array(Math.max(64, Math.ceil(bytes.length / 6)));
  let count = 0;
  for (let at = 0; at < lines.length; at += 1) {
    if (at % linesBetweenPauses === linesBetweenPauses - 1) {
      await pause();
      signal.throwIfAborted();
    }
    const stems = stemsOf(lines[at]!.slice(0, maxIndexedChars));
    const divided = dividedWord(lines, at);
    if (divided) stems.push(...stemsOf(divided));
    const kept = Math.min(stems.length, maxLineWords);
    if (count + kept > words.length) {
      const larger = new Uint32Array((count + kept) * 2);
      larger.set(words);
      words = larger;
    }
    for (let nth = 0; nth < kept; nth += 1) words[count + nth] = numberOf(stems[nth]!, dictionary);
    count += kept;
    starts[at + 1] = count;
  }
  return {
    ...known,
    isBinary: false,
    lineCount: lines.length,
    words: words.slice(0, count),
    starts,
    ...outlineOf(file.path, lines),
  };
}

/** The word that the end of a line and the beginning of the next one make, `exam‐` and `ple`; rendered manual pages are full of them. */
function dividedWord(lines: readonly string[], at: number): string | undefined {
  const line = lines[at]!;
  const last = line.charCodeAt(line.length - 1);
  if (last !== 0x2010 && last !== 0x2d) return undefined;
  const head = /(\p{L}+)[\u2010-]$/u.exec(line.slice(-40))?.[1];
  const tail = /^\s*(\p{L}+)/u.exec(lines[at + 1]?.slice(0, 120) ?? "")?.[1];
  return head && tail ? head + tail : undefined;
}

function numberOf(stem: string, dictionary: Dictionary): number {
  const known = dictionary.numbers.get(stem);
  if (known !== undefined) return known;
  const number = dictionary.numbers.size;
  dictionary.numbers.set(stem, number);
  return number;
}
