import { expect, test } from "vitest";
import { judge } from "./bars.ts";
import { createFigures } from "./report.ts";

function verdictsOn(values: Readonly<Record<string, number>>) {
  const figures = createFigures();
  for (const [id, value] of Object.entries(values)) figures.add(id, value, { unit: "", better: null });
  return new Map(judge(figures.all()).map((bar) => [bar.name, bar]));
}

test("a peer's pace is its share of what bare flows did beside it, of what they do here", () => {
  // Twice the machine: flows do 214 in place of 107, so Restate would do 156 in place of 78.
  const bars = verdictsOn({ "goal/500/goals_per_second": 312, "flows/500/goals_per_second": 214 });
  expect(bars.get("goals/s at 500 at once ÷ Restate fan-out")).toMatchObject({ verdict: "must" });
  expect(bars.get("goals/s at 500 at once ÷ Restate fan-out")!.value).toBeCloseTo(2);
  expect(bars.get("goals/s at 500 at once ÷ bare BullMQ flows")!.value).toBeCloseTo(312 / 214);
  expect(bars.get("goals/s at 500 at once ÷ Mastra")).toMatchObject({ verdict: "must" });
});

test("a bar is reached exactly, missed, exceeded or not measured; where less is better, by less", () => {
  const commits = (value: number) =>
    verdictsOn({ "goal/500/commits_per_goal": value }).get("commits per goal at 500 at once")!.verdict;
  expect([commits(5), commits(5.01), commits(1)]).toEqual(["must", "below", "aim"]);
  const pace = (at2000: number) =>
    verdictsOn({ "goal/2000/goals_per_second": at2000, "goal/100/goals_per_second": 100 }).get(
      "goals/s at 2,000 ÷ at 100 at once",
    )!.verdict;
  expect([pace(100), pace(99)]).toEqual(["must", "below"]);
  expect([...verdictsOn({}).values()].every((bar) => bar.verdict === "not measured" && bar.value === null)).toBe(true);
});

test("without the floor of the same run there is no verdict", () => {
  const bars = verdictsOn({ "goal/500/goals_per_second": 1000, "goal/alone/p50_ms": 1 });
  expect(bars.get("goals/s at 500 at once ÷ Restate fan-out")!.verdict).toBe("not measured");
  expect(bars.get("one goal alone, p50 ÷ bare BullMQ flows")!.verdict).toBe("not measured");
});

test("what is no number is no figure", () => {
  expect(() => verdictsOn({ "goal/alone/p50_ms": Number.NaN })).toThrow("no measurement");
});
