import { describe, expect, test } from "vitest";
import { asksTheSame, findDrift, findThrash, hearAnswers, moveOf, noGuardCounts, type GuardedTask } from "./guard.ts";
import { language } from "../models/offline/language/index.ts";

const task = (key: string, text: string, over: Partial<GuardedTask> = {}): GuardedTask => ({
  key,
  text,
  outcome: "done",
  result: "",
  isFirst: false,
  ...over,
});
const planned = (...texts: string[]) => texts.map((text, index) => ({ id: `n${index + 1}`, text }));

describe("the same work", () => {
  test.each([
    ["Find the budget in the notes.", "Find the budget in the notes"],
    ["Find the budget in the notes.", "Look up the budget in the notes once more."],
    ["Search for benchmarks of sqlite-vec", "Research benchmarks of sqlite-vec again"],
  ])("%s = %s", (a, b) => expect(asksTheSame(a, b, language)).toBe(true));

  test.each([
    [
      "Evaluate sqlite-vec for a Go service with few dependencies",
      "Evaluate sqlite-vss for a Go service with few dependencies",
    ],
    ["Read lines 1-100 of guide.md", "Read lines 101-200 of guide.md"],
    ["Write the section about costs to report.md", "Write the section about risks to report.md"],
    ["Find the budget in the notes.", "Write the report."],
    ["Collect the prices of the three providers", "Compare the prices of the three providers"],
    ["Find the causes of the outage", "Summarize the causes of the outage"],
    ["Write section one of the essay", "Write section two of the essay"],
  ])("%s ≠ %s", (a, b) => expect(asksTheSame(a, b, language)).toBe(false));
});

describe("thrash", () => {
  const limits = { strikes: 2, idlePlans: 3, hops: 3, tries: 2 };
  const thrash = (texts: string[], tasks: GuardedTask[]) => findThrash(planned(...texts), tasks, language, limits);

  test("what is done or under way is not planned again", () => {
    expect(thrash(["Find the budget"], [task("t1", "Find the budget")])?.why).toContain("n1 repeats t1, which is done");
    expect(thrash(["Find the budget"], [task("t1", "Find the budget", { outcome: "open" })])?.why).toContain(
      "under way",
    );
  });

  test("what came to nothing may be tried once more, not a third time", () => {
    const vain = task("t1", "Find the budget", { outcome: "nothing" });
    expect(thrash(["Find the budget"], [vain])).toBeNull();
    expect(thrash(["Find the budget"], [vain, { ...vain, key: "t2" }])?.why).toContain("planned 2 times");
  });

  test("a plan of mostly new work may repeat a part", () => {
    expect(thrash(["Find the budget", "Ask Ann", "Call Bob"], [task("t1", "Find the budget")])).toBeNull();
  });
});

describe("drift", () => {
  const goal = "Compare vector extensions of SQLite for a Go service";
  const drift = (texts: string[], tasks: GuardedTask[]) => findDrift(planned(...texts), tasks, [goal], language);

  test("the first plan is how the goal was read", () => expect(drift(["Bake a cake"], [])).toBeNull());

  test("a plan of which nothing has to do with the goal drifts", () => {
    expect(
      drift(["Bake a cake", "Feed the birds"], [task("t1", "List SQLite extensions", { isFirst: true })])?.guard,
    ).toBe("drift");
  });

  test("what speaks of results on the way to the goal has to do with it, and with the results of those", () => {
    const tasks = [
      task("t1", "List SQLite extensions", { isFirst: true, result: "candidates: turso, usearch" }),
      task("t2", "Evaluate usearch", { result: "its author Vardanian benchmarks simd" }),
    ];
    expect(drift(["Evaluate turso"], tasks)).toBeNull();
    expect(drift(["Read what Vardanian wrote"], tasks)).toBeNull();
  });

  test("what names nothing, hangs on what has to do with the goal, or cannot be taken apart is no sign", () => {
    const first = task("t1", "List SQLite extensions", { isFirst: true });
    expect(drift(["Write the final report"], [first])).toBeNull();
    expect(drift(["撰写最终总结"], [first])).toBeNull();
    const polish = [{ id: "n1", text: "Proofread and polish the prose", depends_on: ["t1"] }];
    expect(findDrift(polish, [first], [goal], language)).toBeNull();
  });

  test("a long chain leads away", () => {
    const chain = ["SQLite extensions", "Rome", "Caesar", "Cleopatra", "Egypt"];
    const tasks = chain.slice(0, -1).map((text, index) => task(`t${index}`, text, { result: chain[index + 1]! }));
    expect(drift(["Egypt"], tasks)?.guard).toBe("drift");
  });

  test("a plan in another language than the goal's hangs on the first plan", () => {
    const first = task("t1", "Liste der Erweiterungen erstellen", { isFirst: true, result: "drei Kandidaten" });
    expect(drift(["Kandidaten bewerten"], [first])).toBeNull();
  });
});

test("where telling has not helped somebody is asked, or the goal ends", () => {
  expect(moveOf(true)).toEqual({ action: "asked" });
  expect(moveOf(false)).toEqual({ action: "failed" });
});

describe("an answer", () => {
  const answer = (about: "thrash" | "intake", text: string, by: string | null = "Ann") => ({
    about,
    question: "Go on?",
    answer: text,
    by,
    at: "2026-11-21T10:00:00.000Z",
  });
  const struck = { ...noGuardCounts, thrash: 2 };

  test("that lets it go on excuses the guard once and begins its count anew", () => {
    expect(hearAnswers(struck, [answer("thrash", "go on, look again")])).toEqual({
      counts: { ...struck, thrash: 0, excused: ["thrash"], heard: 1 },
      stopped: null,
    });
  });
  test.each([
    "No problem, go on",
    "Stop, use the notes instead.",
    "stop repeating yourself and write memo.md",
    "End users are the audience",
  ])("%s lets it go on", (text) => expect(hearAnswers(struck, [answer("thrash", text)]).stopped).toBeNull());
  test.each(["stop", "Stop it.", "no", "STOP", "please stop", "Don't go on", "Stop here, this leads nowhere."])(
    "%s ends it",
    (text) => {
      expect(hearAnswers(struck, [answer("thrash", text)]).stopped?.guard).toBe("thrash");
    },
  );
  test("is heard once, and one about the text itself stops nothing", () => {
    expect(hearAnswers({ ...struck, heard: 1 }, [answer("thrash", "stop")]).stopped).toBeNull();
    expect(hearAnswers(struck, [answer("intake", "stop words matter")]).stopped).toBeNull();
  });
});
