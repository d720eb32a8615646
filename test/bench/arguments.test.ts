import { expect, test } from "vitest";
import { readArguments } from "./arguments.ts";

const read = (...args: readonly string[]) => readArguments(args, "/here");

test("scenarios are named as words or by --only, and run in one order", () => {
  expect(read("slow", "goal")).toMatchObject({ kind: "run", scenarios: ["goal", "slow"] });
  expect(read("--only", "idle,floors")).toMatchObject({ scenarios: ["floors", "idle"] });
  expect(read()).toMatchObject({ scenarios: expect.not.arrayContaining(["history"]) as unknown });
});

test("a quick run measures once unless told otherwise", () => {
  expect(read()).toMatchObject({ options: { runs: 3, isQuick: false } });
  expect(read("--quick")).toMatchObject({ options: { runs: 1, isQuick: true } });
  expect(read("--quick", "--runs", "2")).toMatchObject({ options: { runs: 2 } });
});

test("files are those of the folder where the user stands", () => {
  expect(read("--json", "a.json")).toMatchObject({ json: "/here/a.json" });
  expect(read("--compare", "a.json", "../b.json")).toEqual({
    kind: "compare",
    before: "/here/a.json",
    after: "/b.json",
  });
});

test.each([
  ["an unknown flag", ["--fast"], /--fast/],
  ["an unknown scenario", ["gaol"], /no scenario is called "gaol"/],
  ["no number", ["--runs", "many"], /--runs many/],
  ["no run", ["--runs", "0"], /--runs 0/],
  ["a size of nothing", ["goal", "--goals", "0"], /--goals 0/],
  ["one report to compare", ["--compare", "a.json"], /takes two reports/],
  ["three reports to compare", ["--compare", "a", "b", "c"], /takes two reports/],
  ["an unknown part", ["goal", "--without", "sense"], /--without sense/],
])("%s is refused", (_what, args, why) => {
  expect(() => read(...args)).toThrow(why);
});
