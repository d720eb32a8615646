import { expect, test } from "vitest";
import { distinctFindings, mergeNeighbours, readResult, renderResult, type ResearchResult } from "./result.ts";

const result: ResearchResult = {
  scope: "docs/, change histories",
  facets: [
    {
      question: "How long?",
      isFound: true,
      findings: [
        { citations: 'a.md:1 "thirty (30) seconds" a.md:2 "at most"', match: 0.81, words: ["long", "second"] },
      ],
      unknownWords: [],
    },
    {
      question: "Who?",
      isFound: false,
      findings: [{ citations: '`b c.md:9` "nobody"', match: 0.2, words: [], speaksAgainst: true }],
      unknownWords: ["zork"],
    },
  ],
  unread: { path: "long one.txt", lines: 5000, places: 7 },
};

test("a result is read back as it was written", () => {
  expect(readResult(renderResult(result))).toEqual(result);
});

test("text of another shape is no result", () => {
  expect(readResult("All is well.")).toBeUndefined();
});

test("the same lines are one finding, and the same words elsewhere are cited with the first", () => {
  const finding = (citations: string) => ({ citations, match: 0.5, words: [] });
  const kept = distinctFindings([
    finding('a.md:1 "x y"'),
    finding('a.md:1 "x"'),
    finding('b.md:7 "x y"'),
    finding('c.md:1 "z"'),
  ]);
  expect(kept.map((each) => each.citations)).toEqual(['a.md:1 "x y" b.md:7 "x y"', 'c.md:1 "z"']);
});

test("no line is cited by two findings", () => {
  const finding = (citations: string) => ({ citations, match: 0.5, words: [] });
  const kept = distinctFindings([
    finding('a.md:15 "x" a.md:16 "y “z”"'),
    finding('a.md:16 "y" a.md:17 "w"'),
    finding('a.md:16 “a "b"”'),
  ]);
  expect(kept.map((each) => each.citations)).toEqual(['a.md:15 "x" a.md:16 "y “z”"', 'a.md:17 "w"']);
});

test("findings whose lines follow one another are one, in the order of the lines", () => {
  const finding = (citations: string) => ({ citations, match: 0.5, words: [] });
  const merged = mergeNeighbours([
    finding('a.md:17 "c"'),
    finding('b.md:16 "x"'),
    finding('a.md:15 "a"'),
    finding('a.md:30 "z"'),
    finding('a.md:16 "b"'),
  ]);
  expect(merged.map((each) => each.citations)).toEqual([
    'a.md:15 "a" a.md:16 "b" a.md:17 "c"',
    'b.md:16 "x"',
    'a.md:30 "z"',
  ]);
});
