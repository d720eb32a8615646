import { expect, test } from "vitest";
import { citationHolds, findCitations } from "./citation.ts";

test("a citation is a path, a line and the quoted words, however they are joined", () => {
  const text = `Small (a/README.md:12 "pure C, no dependencies"). Also b.csv:3: “12 ms”, and \`my notes.md:7\` "seven".`;
  expect(findCitations(text)).toEqual([
    { path: "a/README.md", line: 12, quote: "pure C, no dependencies" },
    { path: "b.csv", line: 3, quote: "12 ms" },
    { path: "my notes.md", line: 7, quote: "seven" },
  ]);
});

test("a repeated citation counts once; a clock time, a URL or a bare path is none", () => {
  expect(findCitations(`a.md:1 "x" and a.md:1 "x"`)).toHaveLength(1);
  expect(findCitations(`at 10:30 "he said", http://host:8080/ "x", see a.md:4`).map((each) => each.path)).not.toContain(
    "http://host",
  );
  expect(findCitations(`see a.md:4 and b.md`)).toEqual([]);
});

test("a citation holds where its words stand at its line, white space folded, and nowhere else", () => {
  const lines = ["# Title", "It is   pure C, no dependencies.", ""];
  expect(citationHolds({ path: "a", line: 2, quote: "is pure C" }, lines)).toBe(true);
  expect(citationHolds({ path: "a", line: 1, quote: "is pure C" }, lines)).toBe(false);
  expect(citationHolds({ path: "a", line: 2, quote: "is pure Rust" }, lines)).toBe(false);
  expect(citationHolds({ path: "a", line: 9, quote: "is pure C" }, lines)).toBe(false);
  expect(citationHolds({ path: "a", line: 2, quote: "is pure C" }, undefined)).toBe(false);
});

test("hostile text costs no more than it is long", () => {
  // Each took minutes with a pattern that looked back from every character; a quadratic one would time this test out.
  for (const text of [
    "a".repeat(2_000_000),
    `a:1${" ".repeat(2_000_000)}`,
    "x:1 ".repeat(400_000),
    "`".repeat(1_000_000),
  ])
    expect(findCitations(text)).toEqual([]);
});
