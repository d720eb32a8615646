import { expect, test } from "vitest";
import { compareReports } from "./compare.ts";
import { createFigures, type Figure, type Report } from "./report.ts";
import { renderComparison } from "./table.ts";

type Runs = Readonly<Record<string, readonly number[]>>;

function reportOf(runs: Runs, better: Figure["better"] = "higher", more: Partial<Report> = {}): Report {
  const figures = createFigures();
  for (const [id, values] of Object.entries(runs))
    for (const value of values) figures.add(id, value, { unit: "goals/s", better });
  return {
    format: 1,
    at: "2026-11-20T00:00:00.000Z",
    isQuick: false,
    scenarios: ["goal"],
    machine: { cpu: "a", cores: 2, memoryGb: 8, kernel: "6", load: 0 },
    versions: {},
    settings: {},
    figures: [...figures.all()],
    bars: [],
    notes: [],
    failures: [],
    ...more,
  };
}

const verdictOf = (before: readonly number[], after: readonly number[], better: Figure["better"] = "higher") =>
  compareReports(reportOf({ "goal/x": before }, better), reportOf({ "goal/x": after }, better)).rows[0]?.verdict;

test("more is better or worse by what the figure is", () => {
  expect(verdictOf([10, 11, 12], [20, 21, 22])).toBe("better");
  expect(verdictOf([10, 11, 12], [20, 21, 22], "lower")).toBe("worse");
  expect(verdictOf([20], [10])).toBe("worse");
  expect(verdictOf([20], [10], "lower")).toBe("better");
  expect(verdictOf([20], [10], null)).toBe("neither");
  expect(verdictOf([20], [20])).toBe("same");
});

test("runs that overlap tell no difference", () => {
  expect(verdictOf([10, 11, 15], [14, 16, 17])).toBe("noise");
  expect(verdictOf([10, 11, 15], [15.5, 16, 17])).toBe("better");
});

test("a side whose machine was shared is named", () => {
  const shared = reportOf({ "goal/100/others_cpu_percent": [60, 2] });
  const quiet = reportOf({ "goal/100/others_cpu_percent": [1, 2] });
  expect(compareReports(shared, quiet).warnings).toEqual([expect.stringMatching(/^before: .*60 %/)]);
  expect(compareReports(quiet, quiet).warnings).toEqual([]);
});

test("a row has both medians and their ratio, which nothing has none of", () => {
  const { rows } = compareReports(
    reportOf({ "goal/x": [4, 1, 2], "goal/y": [0] }),
    reportOf({ "goal/x": [3], "goal/y": [1] }),
  );
  expect(rows).toMatchObject([
    { id: "goal/x", before: 2, after: 3, ratio: 1.5 },
    { id: "goal/y", before: 0, after: 1, ratio: null },
  ]);
});

test("what only one of them measured is named, and what makes them incomparable is warned of", () => {
  const before = reportOf({ "goal/x": [1], "goal/old": [1] });
  const after = reportOf({ "goal/x": [1], "goal/new": [1] }, "higher", {
    isQuick: true,
    machine: { ...before.machine, cores: 8 },
    settings: { OUTERLOOP_EXECUTOR_SLOTS: "64" },
  });
  const compared = compareReports(before, after);
  expect(compared).toMatchObject({ onlyBefore: ["goal/old"], onlyAfter: ["goal/new"] });
  expect(compared.warnings).toEqual([
    expect.stringContaining("two machines"),
    expect.stringContaining("quick"),
    "OUTERLOOP_EXECUTOR_SLOTS is not set before, 64 after",
    expect.stringContaining("measured once"),
  ]);
  const text = renderComparison(compared);
  for (const part of ["warning: two machines", "goal/x", "only before: goal/old", "only after: goal/new"])
    expect(text).toContain(part);
});
