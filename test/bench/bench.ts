/** What every scenario is handed. */
import type { BenchServers } from "./servers.ts";
import type { Figures } from "./report.ts";

/** What `goal` can do without, for who wants to know one thing quickly. */
export const partsOfGoal = ["flows", "alone", "counts", "memory_on", "memory_off"] as const;
export type PartOfGoal = (typeof partsOfGoal)[number];

export interface BenchOptions {
  /** Times that a scenario measures; each figure's median counts. */
  readonly runs: number;
  /** Small sizes, once: whether it works, and a first impression. */
  readonly isQuick: boolean;
  readonly executors: number;
  /** Of `goal`, in place of 100, 500 and 2,000. */
  readonly sizes: readonly number[] | null;
  readonly without: readonly PartOfGoal[];
  /** Finished goals that `history` makes before it measures. */
  readonly historyGoals: number;
  /** Whether `goal` adds a run under the profiler. */
  readonly profiles: boolean;
}

export interface Bench {
  readonly servers: BenchServers;
  readonly options: BenchOptions;
  readonly figures: Figures;
  /** For who watches. */
  say(text: string): void;
  /** What the report must say beside its figures. */
  note(text: string): void;
}

export type Scenario = (bench: Bench) => Promise<void>;
