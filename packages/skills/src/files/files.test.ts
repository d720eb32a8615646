import { expect, test } from "vitest";
import { createRegistry } from "../registry.ts";
import { createMemoryContext, createMemoryWorkspace } from "../testing/memory-context.ts";
import { createFilesSkill } from "./index.ts";
import { maxListedFiles } from "./list-files.ts";
import { checkPath, maxPathChars } from "./path.ts";
import { maxLineChars, maxReadChars, maxReadLines } from "./read-file.ts";
import { maxWriteChars } from "./write-file.ts";

const registry = createRegistry([createFilesSkill()]);
function open(files: Record<string, string | Uint8Array>) {
  const workspace = createMemoryWorkspace(files);
  const context = createMemoryContext({ workspace, goalId: `g_${Math.random()}` });
  const run = (name: string, args: Record<string, string | number>) => registry.run({ name, args }, context);
  return { workspace, run };
}
const numbered = (count: number) => Array.from({ length: count }, (_, at) => `line ${at + 1}\n`).join("");

test.each([
  ["./a//b/", "a/b"],
  ["a/./b.md", "a/b.md"],
  ["a..b/c", "a..b/c"],
])("the path %s is %s", (raw, path) => expect(checkPath(raw)).toEqual({ ok: true, path }));

test.each(["../x", "a/../../x", "/etc/passwd", "C:/x", "a\\b", "a\0b", "", ".", "x".repeat(maxPathChars + 1)])(
  "the path %j is refused",
  (raw) => {
    expect(checkPath(raw)).toMatchObject({ ok: false, why: expect.stringContaining("a path") });
  },
);

test("a bad path is told to the model by its field", async () => {
  const outcome = await open({}).run("read_file", { path: "../secret" });
  expect(outcome).toMatchObject({
    ok: false,
    text: expect.stringContaining("path: a path stays inside the workspace"),
  });
});

test("list_files gives path, lines and bytes, and marks binaries", async () => {
  const { run } = open({ "b/two.md": "x\ny", "a.txt": "é\n", "c.png": new Uint8Array([137, 0, 1]) });
  expect((await run("list_files", {})).text).toBe(
    "a.txt\t1 lines\t3 bytes\nb/two.md\t2 lines\t3 bytes\nc.png\tbinary\t3 bytes",
  );
  expect((await run("list_files", { prefix: "b/" })).text).toBe("b/two.md\t2 lines\t3 bytes");
  expect((await run("list_files", { prefix: "zz" })).text).toContain('begins with "zz"');
});

test("list_files stops at its limit and says how to see the rest", async () => {
  const { run } = open(
    Object.fromEntries(
      Array.from({ length: maxListedFiles + 5 }, (_, at) => [`d/f${String(at).padStart(4, "0")}`, "x"]),
    ),
  );
  const lines = (await run("list_files", {})).text.split("\n");
  expect(lines).toHaveLength(maxListedFiles + 1);
  expect(lines.at(-1)).toContain("… and 5 more files. Give a prefix");
});

test("read_file numbers its lines, and CRLF does not show", async () => {
  const { run } = open({ "a.md": "one\r\ntwo\r\nthree\r\n" });
  expect((await run("read_file", { path: "a.md", from: 2, to: 9 })).text).toBe("a.md lines 2-3 of 3\n2: two\n3: three");
});

test("read_file stops at its limits of lines and characters and says where to go on", async () => {
  const { run } = open({ "long.txt": numbered(maxReadLines + 50), "wide.txt": `${"x".repeat(1500)}\n`.repeat(40) });
  const long = (await run("read_file", { path: "long.txt" })).text;
  expect(long).toContain(`long.txt lines 1-${maxReadLines} of ${maxReadLines + 50}`);
  expect(long).toContain(`Go on with read_file from ${maxReadLines + 1}.`);
  const wide = (await run("read_file", { path: "wide.txt" })).text;
  expect(wide.length).toBeLessThan(maxReadChars + 200);
  expect(wide).toMatch(/Go on with read_file from 1\d\./);
});

test("read_file shortens a line that is a document of its own", async () => {
  const { run } = open({ "min.js": "y".repeat(maxLineChars + 7) });
  expect((await run("read_file", { path: "min.js" })).text).toContain("(7 more characters in this line)");
});

test("read_file reads no binary, and names like files where one does not exist", async () => {
  const { run } = open({ "a.png": new Uint8Array([1, 0]), "docs/guide.md": "x", "empty.txt": "" });
  expect(await run("read_file", { path: "a.png" })).toMatchObject({
    ok: false,
    text: expect.stringContaining("not text"),
  });
  expect(await run("read_file", { path: "guide.md" })).toMatchObject({
    ok: false,
    text: expect.stringContaining("docs/guide.md"),
  });
  expect(await run("read_file", { path: "empty.txt" })).toEqual({ ok: true, text: "empty.txt is empty" });
  expect(await run("read_file", { path: "docs/guide.md", from: 5 })).toMatchObject({
    ok: false,
    text: expect.stringContaining("has 1 lines"),
  });
});

test("writes go out as data and change nothing by themselves", async () => {
  const { run, workspace } = open({});
  const written = await run("write_file", { path: "./out/r.md", text: "a\nb\n" });
  expect(written).toEqual({
    ok: true,
    text: "Wrote out/r.md: 2 lines, 4 bytes.",
    writes: [{ kind: "file", mode: "write", path: "out/r.md", text: "a\nb\n" }],
  });
  expect(await run("append_to_file", { path: "out/r.md", text: "c" })).toMatchObject({
    writes: [{ mode: "append", text: "c" }],
  });
  expect(await workspace.list()).toEqual([]);
});

test("a write past its limit is refused with the way out", async () => {
  const outcome = await open({}).run("write_file", { path: "a", text: "x".repeat(maxWriteChars + 1) });
  expect(outcome).toMatchObject({ ok: false, text: expect.stringContaining("append_to_file") });
});
