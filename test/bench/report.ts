/** What a run of the bench says, as data: figures by id, each with the value of every run. Read and written as JSON. */
import { z } from "zod";
import { median } from "./statistics.ts";

const figureSchema = z.object({
  /** `scenario/what/…`, the same in every run, so that two reports can be compared. */
  id: z.string().regex(/^[a-z0-9_]+(\/[a-z0-9_.]+)+$/),
  unit: z.string(),
  /** null where neither is: a size, a share. */
  better: z.enum(["higher", "lower"]).nullable(),
  /** Of each run, in order. */
  runs: z.array(z.number()).min(1),
  median: z.number(),
});
export type Figure = z.output<typeof figureSchema>;

const verdicts = ["aim", "must", "below", "not measured"] as const;
const barSchema = z.object({
  name: z.string(),
  must: z.string(),
  aim: z.string().nullable(),
  value: z.number().nullable(),
  verdict: z.enum(verdicts),
});
export type Bar = z.output<typeof barSchema>;

export const reportSchema = z.object({
  format: z.literal(1),
  at: z.iso.datetime(),
  isQuick: z.boolean(),
  scenarios: z.array(z.string()),
  machine: z.object({
    cpu: z.string(),
    cores: z.int(),
    memoryGb: z.number(),
    kernel: z.string(),
    /** At the start: who else used the machine. */
    load: z.number(),
  }),
  versions: z.record(z.string(), z.string()),
  /** What was set beside the defaults. */
  settings: z.record(z.string(), z.string()),
  figures: z.array(figureSchema),
  bars: z.array(barSchema),
  /** What was left out, and why. */
  notes: z.array(z.string()),
  failures: z.array(z.object({ scenario: z.string(), error: z.string() })),
});
export type Report = z.output<typeof reportSchema>;

export interface FigureKind {
  readonly unit: string;
  readonly better: Figure["better"];
}

export interface Figures {
  /** One run's value of a figure. */
  add(id: string, value: number, kind: FigureKind): void;
  all(): readonly Figure[];
}

export function createFigures(): Figures {
  const figures = new Map<string, { readonly kind: FigureKind; readonly runs: number[] }>();
  return {
    add(id, value, kind) {
      if (!Number.isFinite(value)) throw new Error(`${id} is ${value}, which is no measurement`);
      const known = figures.get(id);
      if (known === undefined) figures.set(id, { kind, runs: [value] });
      else known.runs.push(value);
    },
    all: () => [...figures].map(([id, { kind, runs }]) => ({ id, ...kind, runs, median: median(runs) })),
  };
}

/** Of one core: more than this by others, and what was timed would be quicker on a machine of its own. */
const quietPercent = 15;

/** Says when the machine was shared, by how much at the most. */
export function sharedMachine(figures: readonly Figure[]): string | null {
  const most = Math.max(
    0,
    ...figures.filter(({ id }) => id.endsWith("/others_cpu_percent")).flatMap(({ runs }) => runs),
  );
  return most <= quietPercent
    ? null
    : `the machine was shared: others took up to ${Math.round(most)} % of a core meanwhile, so times are upper bounds`;
}

/** The median of a figure, or null where it was not measured. */
export function valueOf(figures: readonly Figure[], id: string): number | null {
  return figures.find((figure) => figure.id === id)?.median ?? null;
}
