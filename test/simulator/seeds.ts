/** Many seeds, shared among threads: each thread has a realm of its own to put on virtual time. */
import { availableParallelism } from "node:os";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { simulate } from "./simulation.ts";

export interface SeedsResult {
  readonly seeds: number;
  readonly operations: number;
  readonly minutes: number;
  readonly violations: readonly { readonly seed: number; readonly what: string }[];
  /** How goals ended, by count. */
  readonly ends: ReadonlyMap<string, number>;
}

interface Told {
  readonly seed: number;
  readonly operations: number;
  readonly what: string | null;
  readonly ends: Readonly<Record<string, number>>;
}

/** @param onViolation is told at once, while the others go on */
export async function simulateSeeds(
  from: number,
  count: number,
  onViolation: (seed: number, what: string) => void = () => undefined,
  threads = Math.min(availableParallelism(), count),
): Promise<SeedsResult> {
  const begun = performance.now();
  const violations: { readonly seed: number; readonly what: string }[] = [];
  const ends = new Map<string, number>();
  let operations = 0;
  await Promise.all(
    Array.from({ length: threads }, async (_, thread) => {
      const worker = new Worker(new URL(import.meta.url), {
        workerData: { from: from + thread, to: from + count, threads },
      });
      worker.on("message", (told: Told) => {
        operations += told.operations;
        for (const [end, times] of Object.entries(told.ends)) ends.set(end, (ends.get(end) ?? 0) + times);
        if (told.what === null) return;
        violations.push({ seed: told.seed, what: told.what });
        onViolation(told.seed, told.what);
      });
      await new Promise<void>((resolve, reject) => {
        worker.on("error", reject);
        worker.on("exit", () => resolve());
      });
    }),
  );
  return {
    seeds: count,
    operations,
    minutes: (performance.now() - begun) / 60_000,
    violations: violations.toSorted((a, b) => a.seed - b.seed),
    ends,
  };
}

if (!isMainThread && parentPort !== null && "threads" in (workerData as object)) {
  const { from, to, threads } = workerData as { from: number; to: number; threads: number };
  for (let seed = from; seed < to; seed += threads) {
    const { operations, violation, ends } = await simulate({ seed });
    parentPort.postMessage({ seed, operations, what: violation?.message ?? null, ends } satisfies Told);
  }
}
