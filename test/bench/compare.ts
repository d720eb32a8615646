/** Two reports side by side. */
import { sharedMachine, type Figure, type Report } from "./report.ts";
import { round } from "./statistics.ts";

export interface Comparison {
  readonly id: string;
  readonly unit: string;
  readonly before: number;
  readonly after: number;
  /** `after` ÷ `before`; null where there was nothing. */
  readonly ratio: number | null;
  /** `noise` where the runs of one overlap those of the other: such a difference would come and go by itself. */
  readonly verdict: "better" | "worse" | "noise" | "same" | "neither";
}

export interface ComparedReports {
  readonly rows: readonly Comparison[];
  readonly onlyBefore: readonly string[];
  readonly onlyAfter: readonly string[];
  /** Why the two may not be comparable at all. */
  readonly warnings: readonly string[];
}

export function compareReports(before: Report, after: Report): ComparedReports {
  const known = new Map(before.figures.map((figure) => [figure.id, figure]));
  const ids = new Set(after.figures.map((figure) => figure.id));
  const warnings: string[] = [];
  if (before.machine.cpu !== after.machine.cpu || before.machine.cores !== after.machine.cores)
    warnings.push(
      `two machines: ${before.machine.cores} × ${before.machine.cpu}, ${after.machine.cores} × ${after.machine.cpu}`,
    );
  if (before.isQuick !== after.isQuick) warnings.push("one of them is a quick run");
  for (const name of new Set([...Object.keys(before.settings), ...Object.keys(after.settings)]))
    if (before.settings[name] !== after.settings[name])
      warnings.push(
        `${name} is ${before.settings[name] ?? "not set"} before, ${after.settings[name] ?? "not set"} after`,
      );
  if ([...before.figures, ...after.figures].some(({ better, runs }) => better !== null && runs.length === 1))
    warnings.push("some figures were measured once: better or worse may be noise there");
  for (const [name, report] of Object.entries({ before, after })) {
    const shared = sharedMachine(report.figures);
    if (shared !== null) warnings.push(`${name}: ${shared}`);
  }
  return {
    rows: after.figures.flatMap((figure) => {
      const earlier = known.get(figure.id);
      return earlier === undefined ? [] : [compareFigures(earlier, figure)];
    }),
    onlyBefore: before.figures.map((figure) => figure.id).filter((id) => !ids.has(id)),
    onlyAfter: [...ids].filter((id) => !known.has(id)),
    warnings,
  };
}

function compareFigures(before: Figure, after: Figure): Comparison {
  return {
    id: after.id,
    unit: after.unit,
    before: before.median,
    after: after.median,
    ratio: before.median === 0 ? null : round(after.median / before.median),
    verdict: verdictOn(before, after),
  };
}

function verdictOn(before: Figure, after: Figure): Comparison["verdict"] {
  if (after.better === null) return "neither";
  if (after.median === before.median) return "same";
  const overlap =
    Math.min(...after.runs) <= Math.max(...before.runs) && Math.max(...after.runs) >= Math.min(...before.runs);
  // A single run says nothing of how much runs differ: it is compared as it is.
  if (overlap && (before.runs.length > 1 || after.runs.length > 1)) return "noise";
  return (after.better === "higher") === after.median > before.median ? "better" : "worse";
}
