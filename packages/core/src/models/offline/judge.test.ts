import { expect, test } from "vitest";
import { outputSpecs } from "../../domain/plan.ts";
import { section } from "../../domain/section.ts";
import { judge } from "./judge.ts";
import { renderResult, type Finding, type ResearchResult } from "./result.ts";

const finding = (quote: string): Finding => ({ citations: `a.md:1 "${quote}"`, match: 0.8, words: [] });
const resultOf = (question: string, findings: readonly Finding[], more: Partial<ResearchResult> = {}) =>
  renderResult({
    scope: "guides",
    facets: [{ question, isFound: findings.length > 0, findings, unknownWords: [] }],
    ...more,
  });

function judged(
  question: string,
  result: string,
  {
    attempt = 1,
    maySplit = true,
    evidence = ["met: a note was written"],
    trace = ["search_files({}) -> ok: …"],
    task = `Find.\nLook in: guides\nQuestion: ${question}`,
  } = {},
) {
  const parts = [
    section("goal", { id: "g_1", at: "2026-11-21" }, question),
    section("evidence", { met: String(evidence.every((line) => line.startsWith("met"))) }, evidence.join("\n")),
    section("trace", {}, trace.join("\n")),
    section("result", {}, result),
    section("task", { id: "t1", attempt, depth: 0, may_split: String(maySplit) }, task),
  ];
  return judge({
    stage: "reflect",
    system: "",
    messages: [{ role: "user", parts }],
    tools: [],
    output: outputSpecs.verdict,
    maxOutputTokens: 100,
  });
}

test("cited lines of the kind asked for are done", () => {
  expect(judged("How many kettles?", resultOf("How many kettles?", [finding("at most 8 kettles")])).status).toBe(
    "done",
  );
});

test("a figure asked for and none cited is retried, once", () => {
  const result = resultOf("How many kettles?", [finding("kettles are watched")]);
  expect(judged("How many kettles?", result)).toMatchObject({
    status: "retry",
    reason: expect.stringContaining("a figure"),
  });
  expect(judged("How many kettles?", result, { attempt: 2 }).status).toBe("done");
});

test("nothing found is retried, once, and then done: the documents do not hold it", () => {
  const result = resultOf("Who paints kettles?", []);
  expect(judged("Who paints kettles?", result).status).toBe("retry");
  expect(judged("Who paints kettles?", result, { attempt: 2 })).toMatchObject({
    status: "done",
    lesson: expect.stringMatching(/^Outcome: nothing .*\nNext time: search with fewer words at once/m) as string,
  });
});

test("nothing found with fewer words at once is not retried", () => {
  const result = resultOf("Who paints kettles?", [], { isBroad: true });
  expect(judged("Who paints kettles?", result)).toMatchObject({
    status: "done",
    lesson: expect.stringContaining("with fewer words at once") as string,
  });
});

test("what is done leaves a lesson of where and how, without the words that were found", () => {
  const trace = [
    'search_files({"query":"kettles","limit":50}) -> ok: a.md:1: at most 8 kettles',
    'read_file({"path":"a.md","from":1,"to":20}) -> ok: a.md lines 1-20 of 90 1: at most 8 kettles',
    'read_file({"path":"b.md","from":5,"to":9}) -> ok: b.md lines 5-9 of 9 5: nothing',
    'read_file({"path":"c.md","from":5,"to":9}) -> error: There is no file c.md.',
  ];
  const { lesson } = judged("How many kettles?", resultOf("How many kettles?", [finding("at most 8 kettles")]), {
    trace,
  });
  expect(lesson).toBe(
    [
      "Situation: find what guides says to the question “How many kettles?”.",
      "Tried: searched for “kettles”; of no use was `b.md` 5-9.",
      "Outcome: lines that speak to it were found.",
      "Next time: search once, then read only around `a.md` line 1.",
    ].join("\n"),
  );
});

test("a report leaves a lesson of the places that the answer came from", () => {
  const { status, lesson } = judged("How many kettles?", '- a.md:1 "at most 8 kettles"\n\nReport: report.md', {
    task: "Write `report.md`: the answer first, then the findings, every claim cited.",
  });
  expect(status).toBe("done");
  expect(lesson).toMatch(/put together[\s\S]*around `a\.md` line 1\.$/);
  expect(lesson).not.toContain("at most 8");
});

test("what only the second search found leaves a lesson", () => {
  expect(
    judged("Who paints kettles?", resultOf("Who paints kettles?", [finding("Ann paints them")]), { attempt: 2 }).lesson,
  ).toContain("a.md");
});

test("a document too long is split by lines, without gap or overlap, where splitting is allowed", () => {
  const result = resultOf("Who?", [], { unread: { path: "long.txt", lines: 3100, places: 9 } });
  const { status, new_tasks } = judged("Who?", result);
  expect(status).toBe("split");
  expect(new_tasks.map((text) => /Only lines (\d+)-(\d+)/.exec(text)?.slice(1).map(Number))).toEqual([
    [1, 1034],
    [1035, 2068],
    [2069, 3100],
    undefined,
  ]);
  expect(new_tasks.at(-1)).toContain("Leave out: `long.txt`");
  expect(judged("Who?", result, { maySplit: false }).status).toBe("retry");
});

test("missing evidence is named", () => {
  expect(judged("Who?", "x", { evidence: ["met: a", "unmet: the file report.md exists"] })).toMatchObject({
    status: "retry",
    reason: expect.stringContaining("the file report.md exists"),
  });
});
