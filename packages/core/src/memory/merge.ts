/** Joins what searches by several models found. How near is near differs from model to model, so only ranks are compared. */
import type { RecalledMemory } from "../domain/tool.ts";

/**
 * All firsts, then all seconds, and so on; each memory once. Within a rank in the order of the lists.
 * @param found nearest first, a list a model
 */
export function mergeByRank(found: readonly (readonly RecalledMemory[])[]): RecalledMemory[] {
  const longest = Math.max(0, ...found.map((list) => list.length));
  const merged = new Map<string, RecalledMemory>();
  for (let rank = 0; rank < longest; rank += 1)
    for (const list of found) {
      const memory = list[rank];
      if (memory !== undefined && !merged.has(memory.id)) merged.set(memory.id, memory);
    }
  return [...merged.values()];
}
