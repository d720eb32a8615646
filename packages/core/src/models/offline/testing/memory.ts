/** For tests: the long-term memory of one tenant, with the similarity and the bounds of the real one. */
import { createLocalEmbedder } from "../../../memory/local-embedder.ts";
import type { RecalledMemory } from "../../../domain/tool.ts";
import { chooseSimilar } from "../../../memory/memory.ts";

/** Below this a memory is about something else. */
const minSimilarity = 0.15;

export interface DriveMemory {
  recall(query: string, similar: number): Promise<readonly RecalledMemory[]>;
  write(kind: RecalledMemory["kind"], text: string): void;
}

export interface TestMemory extends DriveMemory {
  entries(): readonly Pick<RecalledMemory, "kind" | "text">[];
}

export function createTestMemory(initial: readonly Pick<RecalledMemory, "kind" | "text">[] = []): TestMemory {
  const entries = [...initial];
  const embedder = createLocalEmbedder();
  const { signal } = new AbortController();
  return {
    entries: () => entries,
    write: (kind, text) => void entries.push({ kind, text }),
    async recall(query, similar) {
      const [asked, ...vectors] = await embedder.embed([query, ...entries.map((entry) => entry.text)], signal);
      const seen = new Set<string>();
      const near = entries
        .map((entry, at) => ({
          ...entry,
          id: `m_${at}`,
          createdAt: "2026-11-21T00:00:00.000Z",
          similarity: vectors[at]!.reduce((sum, value, nth) => sum + value * asked![nth]!, 0),
        }))
        .toSorted((a, b) => b.similarity - a.similarity)
        .slice(0, similar * 4)
        .filter((entry) => entry.similarity >= minSimilarity && !seen.has(entry.text) && seen.add(entry.text));
      return chooseSimilar(near, similar);
    },
  };
}
