import { expect, test } from "vitest";
import { createFigures, reportSchema, sharedMachine, type Report } from "./report.ts";
import { judge } from "./bars.ts";
import { renderReport } from "./table.ts";

const timed = { unit: "goals/s", better: "higher" } as const;
const condition = { unit: "% of a core", better: null } as const;

test("a figure is the median of its runs, all of which it keeps", () => {
  const figures = createFigures();
  for (const value of [30, 10, 20]) figures.add("goal/100/goals_per_second", value, timed);
  expect(figures.all()).toEqual([{ id: "goal/100/goals_per_second", ...timed, runs: [30, 10, 20], median: 20 }]);
});

test("a machine that others used in any run is told of", () => {
  const figures = createFigures();
  figures.add("goal/100/others_cpu_percent", 3, condition);
  expect(sharedMachine(figures.all())).toBeNull();
  figures.add("goal/100/others_cpu_percent", 80, condition);
  expect(sharedMachine(figures.all())).toContain("80 %");
});

test("a report reads back as it was written, and its table says what passed, what failed and what was left out", () => {
  const figures = createFigures();
  figures.add("goal/500/goals_per_second", 1000, timed);
  figures.add("flows/500/goals_per_second", 200, timed);
  figures.add("goal/500/commits_per_goal", 9, { unit: "a goal", better: "lower" });
  figures.add("idle/cpu_percent/busiest", 1, { unit: "% of a core", better: "lower" });
  const report: Report = {
    format: 1,
    at: "2026-11-20T00:00:00.000Z",
    isQuick: true,
    scenarios: ["goal"],
    machine: { cpu: "a", cores: 2, memoryGb: 8, kernel: "6", load: 0 },
    versions: { node: "v26" },
    settings: { OUTERLOOP_EXECUTOR_SLOTS: "64" },
    figures: [...figures.all()],
    bars: [...judge(figures.all())],
    notes: ["something was left out"],
    failures: [{ scenario: "slow", error: "it was slow" }],
  };
  expect(reportSchema.parse(JSON.parse(JSON.stringify(report)))).toEqual(report);
  const lines = renderReport(report).split("\n");
  const lineOf = (text: string) => lines.find((line) => line.includes(text));
  expect(lineOf("÷ bare BullMQ flows")).toMatch(/ 5 .*PASS, aim reached$/);
  expect(lineOf("commits per goal at 500")).toMatch(/FAIL$/);
  expect(lineOf("busiest idle process")).toMatch(/PASS$/);
  expect(lineOf("not measured")).toContain("goals/s at 2,000");
  expect(lineOf("settings")).toContain("OUTERLOOP_EXECUTOR_SLOTS=64");
  expect(lineOf("note")).toContain("something was left out");
  expect(lineOf("slow FAILED")).toContain("it was slow");
});
