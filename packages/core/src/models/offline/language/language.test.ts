import { expect, test } from "vitest";
import { commonRank, headingLevel, outlineOf, stemOf, stemsOf, stopWords, synonymsOf, wordsOf } from "./index.ts";

test.each([
  ["licence", "license"],
  ["colours", "color"],
  ["initialised", "initialize"],
  ["written", "writes"],
  ["indices", "index"],
  ["configs", "configuration"],
  ["cancelled", "canceled"],
])("%s and %s are the same word", (a, b) => expect(stemOf(a)).toBe(stemOf(b)));

test("identifiers give their parts and themselves, versions and measures come apart from letters", () => {
  expect(stemsOf("DEFAULT_TIMEOUT readFile v1.2.3 5000ms sha256")).toEqual([
    "default",
    "timeout",
    "defaulttimeout",
    "read",
    "file",
    "readfil",
    "1.2.3",
    "5000",
    "ms",
    "sha256",
  ]);
});

test("words know where they stand, and fonts of manual pages do not cling to them", () => {
  const text = "see \\fBrsync\\fP, don't";
  expect(wordsOf(text).map((word) => [word.text, text.slice(word.start, word.end)])).toEqual([
    ["see", "see"],
    ["rsync", "rsync"],
    ["don", "don't"],
  ]);
});

test("other scripts are words too, without their accents", () => {
  expect(stemsOf("Übergröße naïve 日本語")).toEqual(
    [stemOf("ubergroße"), stemOf("naive"), "日本語"].map((stem) => stem),
  );
});

test("synonyms hold in both directions and never name the word itself", () => {
  expect(synonymsOf(stemOf("delete"))).toContain(stemOf("removing"));
  expect(synonymsOf(stemOf("remove"))).toContain(stemOf("deleted"));
  expect(synonymsOf(stemOf("delete"))).not.toContain(stemOf("delete"));
  expect(synonymsOf("xyzzy").size).toBe(0);
  // But for names of licences: Apache is a server too.
  expect(synonymsOf(stemOf("licence"))).toContain(stemOf("gpl"));
  expect(synonymsOf(stemOf("apache")).size).toBe(0);
});

test("common words of documentation are known, names are not", () => {
  expect(commonRank(stemOf("files"))).toBeLessThan(commonRank(stemOf("encryption"))!);
  for (const name of ["postgres", "xyzzy", "kubernetes"]) expect(commonRank(stemOf(name))).toBeUndefined();
  expect(stopWords.has("not")).toBe(false);
});

test("headings are seen in Markdown, underlined text, manual pages and plain labels", () => {
  const lines = ["## Usage", "", "Install", "=======", "", "OPTIONS", ".SH FILES", "", "Notes:", "", "plain words"];
  expect(lines.map((_, at) => headingLevel(lines, at) > 0)).toEqual([
    true,
    false,
    true,
    false,
    false,
    true,
    true,
    false,
    true,
    false,
    false,
  ]);
});

test("a heading's parent is the nearest one of a higher level, and comments in a fence are no headings", () => {
  const lines = ["# A", "## B", "text", "```", "# not a heading", "```", "## C", "text", "# D"];
  expect([...outlineOf("a.md", lines).headings]).toEqual([-1, 0, 1, 1, 1, 1, 0, 6, -1]);
});

test("paragraphs, list items and rows are blocks of their own", () => {
  const lines = ["one", "two", "", "- item", "  more", "- item", "| a | b |", "| 1 | 2 |"];
  const blocks = [...outlineOf("a.md", lines).blocks];
  expect(blocks[0]).toBe(blocks[1]);
  expect(blocks[3]).toBe(blocks[4]);
  expect(new Set([blocks[0], blocks[2], blocks[3], blocks[5], blocks[6], blocks[7]]).size).toBe(6);
});
