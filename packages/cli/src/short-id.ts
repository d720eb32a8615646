/** Ids as people type them: `g_7k2f9x` instead of all 16 characters. */
import type { Client } from "@outerloop/client";

/** 6 characters of base 32: two of 1,000 goals share them once in 2,000 installations. */
const minChars = 6;
const prefix = "g_";

/** The shortest beginning of a goal's id, in steps of two characters, by which the server finds it. */
export async function shortGoalId(client: Client, id: string, signal?: AbortSignal): Promise<string> {
  for (let chars = minChars; prefix.length + chars < id.length; chars += 2) {
    const short = id.slice(0, prefix.length + chars);
    const found = await client.goals.get(short, signal === undefined ? {} : { signal }).catch(() => null);
    signal?.throwIfAborted();
    if (found?.id === id) return short;
  }
  return id;
}

/** For lists, where asking for each would be too much: long enough that no two of these are alike. */
export function shortIds(ids: readonly string[]): ReadonlyMap<string, string> {
  let chars = minChars;
  const cut = (id: string) => id.slice(0, prefix.length + chars);
  while (new Set(ids.map(cut)).size < new Set(ids).size) chars += 1;
  return new Map(ids.map((id) => [id, cut(id)]));
}

/** What a person typed, with the `g_` that they may have left out. */
export function goalIdOf(typed: string): string {
  const text = typed.trim();
  return text.startsWith(prefix) ? text : `${prefix}${text}`;
}
