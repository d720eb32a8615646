import { expect, test } from "vitest";
import { createRegistry } from "../../registry.ts";
import { createMemoryContext, createMemoryWorkspace } from "../../testing/memory-context.ts";
import { createFilesSkill } from "../index.ts";
import { defaultHits, maxHitChars, maxHits, maxHitsChars, maxSearchChars } from "../search-files.ts";
import { maxLineWords } from "./file-index.ts";
import { maxQueryTerms } from "./query.ts";

const registry = createRegistry([createFilesSkill()]);
let goals = 0;
function open(files: Record<string, string | Uint8Array>) {
  const context = createMemoryContext({ workspace: createMemoryWorkspace(files), goalId: `g_search${(goals += 1)}` });
  return async (query: string, more: Record<string, string | number> = {}) => {
    const outcome = await registry.run({ name: "search_files", args: { query, ...more } }, context);
    const lines = outcome.text.split("\n");
    return { ok: outcome.ok, hits: lines.slice(0, -1), summary: lines.at(-1)! };
  };
}

const guide = `# Widget server

A small server for widgets.

## Installation

Run the setup script once.

## Limits

A client may open 40 connections.
Uploads are cut at 5 MB.

## Licensing

Published under the terms of MIT.
`;

test("hits are path:line: text, best first, and the last line counts what each word is worth", async () => {
  const search = open({ "guide.md": guide, "notes.txt": "nothing here" });
  const { hits, summary } = await search("How many connections may a client open?");
  expect(hits[0]).toBe("guide.md:11: A client may open 40 connections.");
  expect(summary).toMatch(
    /^\(\d+ best of \d+ lines that match; 2 files searched; of 10 lines in the workspace hold: connections 1, client 1, open 1\)$/,
  );
});

test.each([
  ["inflections", "connecting clients", "guide.md:11:"],
  ["synonyms", "maximum size of an upload", "guide.md:12:"],
  ["British spelling", "Which licence is it published under?", "guide.md:16:"],
  ["a misspelling", "instalation", "guide.md:5:"],
  ["words written apart", "set up script", "guide.md:7:"],
])("%s match", async (_what, query, hit) => {
  const { hits } = await open({ "guide.md": guide })(query);
  expect(hits[0]).toContain(hit);
});

test("identifiers are found by their parts and as a whole", async () => {
  const search = open({
    "a.ts": "const DEFAULT_CLOSE_TIMEOUT = 30_000;\nfunction readHttpHeader() {}\nlet other = 1;",
  });
  expect((await search("default close timeout")).hits[0]).toContain("a.ts:1:");
  expect((await search("http header")).hits[0]).toContain("a.ts:2:");
  expect((await search("readHttpHeader")).hits[0]).toContain("a.ts:2:");
});

test("a row of a table is found by its value together with the name of its column", async () => {
  const { hits } = await open({ "prices.csv": "city,rent,population\nBern,1400,134000\nKöln,1100,1087000\n" })(
    "rent in Köln",
  );
  expect(hits[0]).toBe("prices.csv:3: Köln,1100,1087000");
});

test("the heading above a line counts for it", async () => {
  const text = "# Reader\n\n## Timeout\n\nDefault: 30 seconds\n\n# Writer\n\n## Size\n\nDefault: 12 pages\n";
  expect((await open({ "a.md": text })("default timeout")).hits[0]).toBe("a.md:5: Default: 30 seconds");
  expect((await open({ "a.md": text })("default size")).hits[0]).toBe("a.md:11: Default: 12 pages");
});

test("a rare word decides over common ones", async () => {
  const common = Array.from({ length: 50 }, (_, at) => `The file option number ${at} sets a file option.`).join("\n");
  const { hits } = await open({ "a.txt": `${common}\nThe quorum option.` })("file option quorum");
  expect(hits[0]).toContain("quorum");
});

test("words side by side beat the same words apart", async () => {
  const { hits } = await open({
    "a.txt": "The prefix of every key in the list is kept.\n\nPress the prefix key first in the list here.",
  })("prefix key");
  expect(hits[0]).toContain("a.txt:3:");
});

test("twenty copies of a line count as one hit", async () => {
  const copies = Object.fromEntries(
    Array.from({ length: 20 }, (_, at) => [`f${at}.conf`, `# Filter for login failures of service number ${at}\n`]),
  );
  const { hits } = await open({ ...copies, "main.txt": "After five failures a host is banned." })("login failures");
  expect(hits.slice(0, 2).join()).toContain("main.txt:1:");
});

test("manual page sources are searched by their words, not by their markup", async () => {
  const { hits } = await open({
    "x.1": ".SH OPTIONS\n.TP\n\\fB\\-\\-retries\\fR=\\fIN\\fR\nGive up after exam‐\nple tries.\n",
  })("example tries");
  expect(hits.join()).toContain("x.1:4:");
});

test("what nobody wrote is said to be nowhere", async () => {
  const { ok, hits, summary } = await open({ "guide.md": guide })("zebra crossing");
  expect(ok).toBe(true);
  expect(hits).toEqual([]);
  expect(summary).toBe(
    '(no line matches "zebra crossing"; 1 files searched; of 9 lines in the workspace hold: zebra 0, crossing 0)',
  );
});

test("a path narrows the hits, not the counts", async () => {
  const { hits, summary } = await open({ "a/x.md": "alpha beta", "b/y.md": "alpha beta gamma" })("alpha", {
    path: "b/",
  });
  expect(hits).toEqual(["b/y.md:1: alpha beta gamma"]);
  expect(summary).toContain("1 files searched");
  expect(summary).toContain("alpha 2");
});

test("binary and empty files are passed over", async () => {
  const { hits } = await open({ "a.bin": new Uint8Array([97, 108, 112, 104, 97, 0]), "e.txt": "", "b.md": "alpha" })(
    "alpha",
  );
  expect(hits).toEqual(["b.md:1: alpha"]);
});

test("the limits hold: hits, characters of a hit and of all, words of a query and of a line", async () => {
  const many = Array.from(
    { length: 300 },
    (_, at) => `alpha ${"word".repeat(at % 7)} number${at} ${Math.sin(at)}`,
  ).join("\n");
  const search = open({
    "many.txt": many,
    "long.txt": `${"filler ".repeat(500)}needle ${"filler ".repeat(500)}`,
    "wide.txt": `${"w ".repeat(maxLineWords)}lost`,
  });
  expect((await search("alpha")).hits).toHaveLength(defaultHits);
  expect((await search("alpha", { limit: maxHits })).hits).toHaveLength(maxHits);
  expect(await search("alpha", { limit: maxHits + 1 })).toMatchObject({ ok: false });
  expect(await search("x".repeat(maxSearchChars + 1))).toMatchObject({ ok: false });
  const [needle = ""] = (await search("needle")).hits;
  expect(needle).toContain("needle");
  expect(needle.length).toBeLessThan(maxHitChars + 30);
  expect((await search("lost")).hits).toEqual([]);
  const wordy = Array.from({ length: 40 }, (_, at) => `term${String.fromCharCode(97 + (at % 26))}${at}`).join(" ");
  expect((await search(wordy)).summary.match(/ 0(?:,|\))/g)!.length).toBeLessThanOrEqual(maxQueryTerms);
  const broad = open({
    "b.txt": Array.from({ length: 100 }, (_, at) => `alpha ${at} ${"long".repeat(90)}${at}`).join("\n"),
  });
  const { hits, summary } = await broad("alpha", { limit: maxHits });
  expect(hits.join("\n").length).toBeLessThanOrEqual(maxHitsChars);
  expect(summary).toContain(`${hits.length} best of 100`);
});

test("the same search gives the same answer", async () => {
  const files = { "a.md": guide, "b.md": guide.replaceAll("server", "client") };
  expect(await open(files)("client connections")).toEqual(await open(files)("client connections"));
});
