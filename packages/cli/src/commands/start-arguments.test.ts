import { expect, test } from "vitest";
import { tempFolder } from "../testing/temp-folder.ts";
import { readStartArguments } from "./start-arguments.ts";

test("npm start without arguments serves", () => {
  expect(readStartArguments([])).toBeNull();
});

test("npm start takes the arguments of a run, wherever the goal stands among them", async () => {
  const cwd = await tempFolder({ "docs/a.md": "a", "my notes/b.md": "b" });
  const expected = {
    text: "Which engine suits?",
    attach: ["docs"],
    options: { budget: { steps: 5 } },
    view: { isJson: true },
  };
  expect(readStartArguments(["Which engine suits?", "--attach", "docs", "--budget-steps", "5", "--json"], cwd)).toEqual(
    expected,
  );
  expect(readStartArguments(["--budget-steps", "5", "--json", "--attach", "docs", "Which engine suits?"], cwd)).toEqual(
    expected,
  );
  // A path with a space in it is a path.
  expect(readStartArguments(["Which?", "--attach", "docs", "my notes"], cwd)).toMatchObject({
    text: "Which?",
    attach: ["docs", "my notes"],
  });
});

test("npm start refuses options of a goal without one", () => {
  expect(() => readStartArguments(["--attach", "docs"])).toThrow("These options are for a goal, and there is none");
});
