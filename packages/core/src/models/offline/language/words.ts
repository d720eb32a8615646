/**
 * How text becomes comparable words: identifiers taken apart, spelling and inflection folded. Shared by the search
 * tool, the offline model and the local embedder, so that all three mean the same by "the same word".
 */
import { stemmer } from "stemmer";
import { irregularForms } from "./irregular-forms.ts";

export interface Word {
  /** Lower case, as written. */
  readonly text: string;
  readonly stem: string;
  /** Where the piece of text that it comes from begins and ends; the parts of an identifier share them. */
  readonly start: number;
  readonly end: number;
}

/** Version numbers and decimals stay whole; everything else is a run of letters, digits and underscores. */
const piecePattern = /[vV]?\d+(?:\.\d+)+|[\p{L}\p{N}_]+(?:['’]\p{L}{1,3}(?![\p{L}\p{N}]))?/gu;
const identifierPattern = /_|[a-z\d][A-Z]|[A-Z]{2}[a-z]{2}/;
const numberWithUnit = /^(\d+)([a-z]{1,3})$/;
const plainAscii = /^[a-z]+$/;

/** Pieces recur, so what became of one is kept; the map is emptied at this size, which bounds it to some 30 MB. */
const maxKnownPieces = 200_000;

interface Part {
  readonly text: string;
  readonly stem: string;
}
const knownPieces = new Map<string, readonly Part[]>();

/** Font changes of manual page sources, `\\fBname\\fP`, which would cling to the words that they mark. */
const fontChange = /\\f(?:[A-Z0-9]|\([A-Z]{2}|\[[A-Z]*\])/g;

/** Text without markup that clings to words; every character keeps its place. */
function withoutMarkup(text: string): string {
  return text.includes("\\f") ? text.replaceAll(fontChange, (markup) => " ".repeat(markup.length)) : text;
}

/** The words of a text in order. An identifier gives its parts and, after them, itself without separators. */
export function wordsOf(text: string): Word[] {
  const words: Word[] = [];
  for (const match of withoutMarkup(text).matchAll(piecePattern)) {
    const end = match.index + match[0].length;
    for (const part of partsOf(match[0])) words.push({ text: part.text, stem: part.stem, start: match.index, end });
  }
  return words;
}

/** Only the stems, for indexing. */
export function stemsOf(text: string): string[] {
  const stems: string[] = [];
  for (const match of withoutMarkup(text).matchAll(piecePattern))
    for (const part of partsOf(match[0])) stems.push(part.stem);
  return stems;
}

function partsOf(piece: string): readonly Part[] {
  const known = knownPieces.get(piece);
  if (known) return known;
  if (knownPieces.size >= maxKnownPieces) knownPieces.clear();
  const parts = splitPiece(piece).map((text) => ({ text, stem: stemOf(text) }));
  knownPieces.set(piece, parts);
  return parts;
}

function splitPiece(piece: string): string[] {
  const bare = piece.replace(/['’]\p{L}+$/u, "");
  if (/^[vV]\d+(?:\.|$)/.test(bare)) return [bare.slice(1)];
  if (identifierPattern.test(bare)) {
    const parts = bare
      .replaceAll(/([a-z\d])([A-Z])/g, "$1_$2")
      .replaceAll(/([A-Z]+)([A-Z][a-z])/g, "$1_$2")
      .toLowerCase()
      .split("_")
      .filter(Boolean);
    return parts.length > 1 ? [...parts, parts.join("")] : parts;
  }
  const lower = bare.toLowerCase();
  const measured = numberWithUnit.exec(lower);
  return measured ? [measured[1]!, measured[2]!] : lower === "" ? [] : [lower];
}

/** The stem of one lower-case word: British and American spellings, plurals and tenses fall together. */
export function stemOf(word: string): string {
  const plain = plainAscii.test(word) ? word : word.normalize("NFKD").replaceAll(/\p{M}/gu, "");
  if (!plainAscii.test(plain)) return plain;
  return stemmer(americanSpelling(irregularForms.get(plain) ?? plain));
}

/** Applied to both sides of every comparison, so a word that it mangles still equals itself. */
function americanSpelling(word: string): string {
  if (word.length < 5) return word;
  return word
    .replace(/^licence/, "license")
    .replace(/^(catalog|dialog|analog)ue/, "$1")
    .replace(/our(s|ed|ing|able|ful)?$/, "or$1")
    .replace(/is(e|es|ed|ing|er|ers|ation|ations)$/, "iz$1")
    .replace(/ys(e|es|ed|ing|er)$/, "yz$1")
    .replace(/^(cent|met|lit|fib)re(s|d)?$/, "$1er$2")
    .replace(/([aeiou])ll(ed|ing|er|ers|ation)$/, "$1l$2")
    .replace(/^grey/, "gray");
}
