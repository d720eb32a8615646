/** The units that figures come in, and which way is better. */
import type { FigureKind } from "../report.ts";

export const perSecond: FigureKind = { unit: "goals/s", better: "higher" };
export const millis: FigureKind = { unit: "ms", better: "lower" };
export const cpuPerGoal: FigureKind = { unit: "CPU ms", better: "lower" };
export const perGoal: FigureKind = { unit: "a goal", better: "lower" };
export const megabytes: FigureKind = { unit: "MB", better: "lower" };
export const percentOfCore: FigureKind = { unit: "% of a core", better: "lower" };
export const times: FigureKind = { unit: "times", better: "lower" };
export const timesMore: FigureKind = { unit: "times", better: "higher" };
export const perSecondOf = (what: string): FigureKind => ({ unit: `${what}/s`, better: "higher" });
/** What only says under which conditions the others were measured. */
export const condition = (unit: string): FigureKind => ({ unit, better: null });
