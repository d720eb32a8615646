import { expect, test } from "vitest";
import { citationHolds, findCitations } from "../../domain/citation.ts";
import { checkedCitation, maxQuoteChars } from "./citation-text.ts";

const odd = [
  "plain words",
  'say "hello" to the world of words',
  "“curly” quotes and the rest of it",
  "  indented\twith   tabs  ",
  "x".repeat(900),
  `${"word ".repeat(200)}end`,
  "emoji 😀 ".repeat(60),
  "(see [link](https://example.org/a:1)) `code:12`",
  '"only quoted"',
  "a\0b nul",
  'both “kinds” of "quotes" in one line',
  `${'he said "no" and '.repeat(40)}left`,
];

test.each(odd)("what is cited of %j is read back as meant and holds", (line) => {
  for (const path of ["a.md", "dir/with space.md", "odd:12:name.txt", "br(ack)et.md", "ünï.md"]) {
    const written = checkedCitation(path, 3, line);
    if (written === undefined) continue;
    const [citation, ...others] = findCitations(`- ${written} (match 0.50)`);
    expect(others).toEqual([]);
    expect(citation).toMatchObject({ path, line: 3 });
    expect(citation!.quote.length).toBeLessThanOrEqual(maxQuoteChars);
    expect(citationHolds(citation!, ["", "", line])).toBe(true);
  }
});

test("a plain path is cited bare, one with spaces in backticks", () => {
  expect(checkedCitation("a/b.md", 12, "the words")).toBe('a/b.md:12 "the words"');
  expect(checkedCitation("my file.md", 1, "the words")).toBe('`my file.md:1` "the words"');
});

test("a line without words is not cited", () => {
  for (const line of ["", "   ", "---", '""', "…"]) expect(checkedCitation("a.md", 1, line)).toBeUndefined();
});

test("inner straight quotes stand between typographic ones, and the whole line is quoted", () => {
  const line = 'in /usr/share/base-passwd. It also supplies the utility "update-passwd", for updates.';
  expect(checkedCitation("a.md", 1, line)).toBe(`a.md:1 “${line}”`);
  expect(checkedCitation("a.md", 1, "the “curly” ones")).toBe('a.md:1 "the “curly” ones"');
});

test("a long line is quoted by the sentence that tells most, whole", () => {
  const filler = "Nothing of interest is said in this sentence, nor in the others like it. ".repeat(4);
  const line = `${filler}The port is 4000 unless set. ${filler}`;
  const quote = findCitations(checkedCitation("a.md", 1, line, (piece) => (piece.includes("port") ? 1 : 0))!)[0]!.quote;
  expect(quote).toContain("The port is 4000 unless set.");
  expect(quote).toMatch(/^\p{Lu}.*\.$/u);
});

test("a sentence longer than a quotation is cut between words, at the part that tells most", () => {
  const line = `It ${"goes on and on and ".repeat(30)}ends, and then the port is 4000, ${"and so on and on ".repeat(30)}`;
  const quote = findCitations(checkedCitation("a.md", 1, line, (piece) => (piece.includes("port") ? 1 : 0))!)[0]!.quote;
  expect(quote).toMatch(/^and then the port is 4000, .* (?:and|so|on)$/);
});
