import { expect, test } from "vitest";
import { unitsOf } from "./passages.ts";

const spans = (path: string, text: string, from = 1) =>
  unitsOf({ path, from, lines: text.split("\n"), total: 999 }).map((unit) => [unit.from, unit.to, unit.text]);

test("a sentence over two lines is one unit, and two sentences of a line are two", () => {
  expect(spans("a.md", "The daemon runs as\na user. It never forks. Bye.", 10)).toEqual([
    [10, 11, "The daemon runs as a user."],
    [11, 11, "It never forks."],
    [11, 11, "Bye."],
  ]);
});

test("list items, rows and lines of code stand alone", () => {
  expect(spans("a.md", "- one\n- two\n  more")).toEqual([
    [1, 1, "- one"],
    [2, 3, "- two   more"],
  ]);
  expect(spans("a.py", "a = 1\nb = 2")).toHaveLength(2);
  expect(spans("a.md", "```\nfirst: 1\nsecond: 2\n```")).toContainEqual([2, 2, "first: 1"]);
});

test("a row knows the header of its table, also where the excerpt does not hold it", () => {
  const [row] = unitsOf({ path: "t.csv", from: 40, lines: ["Bern,1400"], total: 90 }, "city,rent");
  expect(row!.headingStems.has("rent")).toBe(true);
});

test("a unit knows the headings above it", () => {
  const units = unitsOf({ path: "a.md", from: 1, lines: ["# Server", "", "## Timeout", "", "30 seconds"], total: 5 });
  expect([...units.at(-1)!.headingStems].sort()).toEqual(["server", "timeout"]);
  expect(units.map((unit) => unit.isHeading)).toEqual([true, true, false]);
});

test("words in the target of a link do not count", () => {
  const [unit] = unitsOf({ path: "a.md", from: 1, lines: ["see [the guide](https://example.org/timeout)"], total: 1 });
  expect(unit!.stems.has("timeout")).toBe(false);
});
