/**
 * Embeddings without a network: stemmed words and their trigrams, hashed into 384 numbers. Texts that share words, or
 * spellings of words, come close; texts that only share a meaning do not. Weinberger et al., "Feature Hashing for Large
 * Scale Multitask Learning" (2009), for the sign that keeps collisions from adding up.
 */
import { commonRank, stopWords, wordsOf } from "../models/offline/language/index.ts";
import type { Embedder } from "../models/provider.ts";

/** Two unrelated texts of 100 features then differ from a right angle by about 0.05. */
export const localDimensions = 384;
export const localEmbedderName = "offline/hash-384";
/** A whole word says more than the trigrams of it, of which there are several. */
const wordWeight = 1;
const trigramWeight = 0.35;
/** Words that any documentation holds say less; these are ranks of `commonRank`. */
const commonBelow = 500;
const commonWeight = 0.6;
const stopWeight = 0.1;

export function createLocalEmbedder(): Embedder {
  return {
    name: localEmbedderName,
    dimensions: localDimensions,
    async embed(texts, signal) {
      return texts.map((text) => {
        signal.throwIfAborted();
        return embedText(text);
      });
    },
  };
}

function embedText(text: string): number[] {
  const features = new Map<string, { count: number; weight: number }>();
  const add = (feature: string, weight: number) => {
    const known = features.get(feature);
    if (known) known.count += 1;
    else features.set(feature, { count: 1, weight });
  };
  for (const word of wordsOf(text)) {
    const share = stopWords.has(word.text)
      ? stopWeight
      : (commonRank(word.stem) ?? commonBelow) < commonBelow
        ? commonWeight
        : 1;
    add(`w:${word.stem}`, wordWeight * share);
    const spelled = `^${word.stem}$`;
    for (let at = 0; at + 3 <= spelled.length; at += 1)
      add(`t:${spelled.slice(at, at + 3)}`, (trigramWeight * share) / Math.sqrt(spelled.length - 2));
  }
  const vector = Array.from({ length: localDimensions }, () => 0);
  for (const [feature, { count, weight }] of features) {
    const hash = fnv1a(feature);
    const at = hash % localDimensions;
    vector[at]! += (hash & 0x80000000 ? -1 : 1) * weight * (1 + Math.log(count));
  }
  return normalised(vector);
}

/** Length 1. A text without words becomes a fixed vector, since a zero vector has no direction to compare. */
function normalised(vector: readonly number[]): number[] {
  const length = Math.hypot(...vector);
  if (length === 0) return vector.map((_, at) => (at === 0 ? 1 : 0));
  return vector.map((value) => value / length);
}

/** 32-bit FNV-1a with a final mix, without which the low bits of short strings are alike. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) {
    hash ^= text.charCodeAt(at);
    hash = Math.imul(hash, 0x01000193);
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  return hash >>> 0;
}
