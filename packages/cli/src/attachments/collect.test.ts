import { execFileSync } from "node:child_process";
import { symlink, truncate } from "node:fs/promises";
import { join } from "node:path";
import { newGoalSchema } from "@outerloop/core/domain";
import { describe, expect, test } from "vitest";
import { tempFolder } from "../testing/temp-folder.ts";
import { collectAttachments, describeAttachments } from "./collect.ts";

const collect = async (files: Readonly<Record<string, string | Uint8Array>>, paths = ["."], limits = {}) =>
  collectAttachments(paths, { cwd: await tempFolder(files), ...limits });
const pathsOf = (attachments: Awaited<ReturnType<typeof collect>>) => attachments.files.map((file) => file.path);

describe("attaching a folder", () => {
  test("takes its text files in order, byte for byte, by their paths below it", async () => {
    const attached = await collect(
      { "docs/b.md": "\uFEFFb\r\n", "docs/a/c.txt": "c", "docs/empty": "", "other.md": "no" },
      ["docs"],
    );
    expect(attached.files).toEqual([
      { path: "a/c.txt", text: "c" },
      { path: "b.md", text: "\uFEFFb\r\n" },
      { path: "empty", text: "" },
    ]);
    expect(attached.bytes).toBe(7);
    expect(newGoalSchema.safeParse({ text: "go", attachments: attached.files }).success).toBe(true);
  });

  test("leaves binaries out and says which kinds and how many", async () => {
    const attached = await collect({
      "a.md": "a",
      "logo.png": Buffer.from([0x89, 0x50, 0, 1]),
      "data.bin": Buffer.from([1, 0, 2]),
      "latin.txt": Buffer.from([0x63, 0x61, 0x66, 0xe9]),
      "late.txt": Buffer.concat([Buffer.alloc(10_000, 0x61), Buffer.from([0xff])]),
    });
    expect(pathsOf(attached)).toEqual(["a.md"]);
    expect(describeAttachments(attached)).toBe("1 file, 1 B (skipped: 1 image, 3 binary files)");
  });

  test("honours .gitignore files, nested ones before those above", async () => {
    const attached = await collect({
      ".gitignore": "*.log\nbuild/\n/only-here.md\n",
      "a.md": "a",
      "a.log": "x",
      "build/out.md": "x",
      "only-here.md": "x",
      "sub/only-here.md": "kept",
      "sub/.gitignore": "!keep.log\nsecret.md\n",
      "sub/keep.log": "kept",
      "sub/other.log": "x",
      "sub/secret.md": "x",
      "deep/secret.md": "kept",
    });
    expect(pathsOf(attached)).toEqual([
      ".gitignore",
      "a.md",
      "deep/secret.md",
      "sub/.gitignore",
      "sub/keep.log",
      "sub/only-here.md",
    ]);
    expect(describeAttachments(attached)).toContain("skipped: 5 ignored");
  });

  test("honours the .gitignore of the repository that it is in", async () => {
    const cwd = await tempFolder({
      "repo/.git/HEAD": "x",
      "repo/.gitignore": "*.log\ndist/\n",
      "repo/docs/a.md": "a",
      "repo/docs/a.log": "x",
      "repo/dist/page.md": "d",
    });
    expect(pathsOf(await collectAttachments(["repo/docs"], { cwd }))).toEqual(["a.md"]);
    // Whoever names an ignored folder wants what is in it.
    expect(pathsOf(await collectAttachments(["repo/dist"], { cwd }))).toEqual(["page.md"]);
  });

  test("never takes a repository's history, dependencies or our own data, unless they are what was named", async () => {
    const cwd = await tempFolder({
      "a.md": "a",
      ".git/config": "x",
      "node_modules/dep/README.md": "dep",
      ".outerloop/api-key": "secret",
      "sub/node_modules/x.js": "x",
    });
    expect(pathsOf(await collectAttachments(["."], { cwd }))).toEqual(["a.md"]);
    expect(pathsOf(await collectAttachments(["node_modules/dep"], { cwd }))).toEqual(["README.md"]);
  });

  test("follows no link out of the folder, nor into a circle, and takes linked files of its own", async () => {
    const cwd = await tempFolder({
      "secret.md": "secret",
      "docs/a.md": "a",
      "docs/sub/b.md": "b",
      "docs/.outerloop/api-key": "key",
    });
    await symlink("../secret.md", join(cwd, "docs/out.md"));
    await symlink("..", join(cwd, "docs/sub/up"));
    await symlink("nowhere", join(cwd, "docs/broken"));
    await symlink(".outerloop/api-key", join(cwd, "docs/key.md"));
    await symlink("sub/b.md", join(cwd, "docs/c.md"));
    const attached = await collectAttachments(["docs"], { cwd });
    expect(attached.files).toEqual([
      { path: "a.md", text: "a" },
      { path: "c.md", text: "b" },
    ]);
    expect(describeAttachments(attached)).toContain("3 links that lead elsewhere");
  });

  test("waits for no pipe, and names what it is not", async () => {
    const cwd = await tempFolder({ "a.md": "a" });
    execFileSync("mkfifo", [join(cwd, "pipe")]);
    expect(describeAttachments(await collectAttachments(["."], { cwd }))).toBe(
      "1 file, 1 B (skipped: 1 that is no file)",
    );
  });

  test.runIf(process.platform === "linux")("names a file that cannot be read", async () => {
    // Every read of one's own memory at address 0 fails, for root too.
    const cwd = await tempFolder({ "a.md": "a" });
    await symlink("/proc/self/mem", join(cwd, "mem"));
    expect(describeAttachments(await collectAttachments(["a.md", "mem"], { cwd }))).toMatch(
      /^1 file, 1 B \(skipped: unreadable: \S+ \(EIO\)\)$/,
    );
  });

  test("leaves out names that the server refuses", async () => {
    const attached = await collect({ "a.md": "a", "back\\slash.md": "x" });
    expect(describeAttachments(attached)).toBe("1 file, 1 B (skipped: 1 name that cannot be kept)");
  });
});

describe("attaching several", () => {
  test("puts each below its own name, so that equal names do not collide", async () => {
    expect(
      pathsOf(
        await collect({ "x/docs/a.md": "1", "y/docs/a.md": "2", "z/a.md": "3", "a.md": "4" }, [
          "x/docs",
          "y/docs",
          "z/a.md",
          "a.md",
        ]),
      ),
    ).toEqual(["docs/a.md", "docs-2/a.md", "a.md", "a-2.md"]);
  });

  test("takes a file that two of them hold once", async () => {
    expect(pathsOf(await collect({ "docs/a.md": "1" }, ["docs", "docs/a.md", "docs"]))).toEqual(["docs/a.md"]);
  });

  test("takes a file that is named even where it is ignored", async () => {
    expect(pathsOf(await collect({ ".gitignore": "*.log", "a.log": "log" }, ["a.log"]))).toEqual(["a.log"]);
  });
});

describe("attaching too much", () => {
  test("of files is an error that names the limit", async () => {
    const files = Object.fromEntries(Array.from({ length: 4 }, (_, index) => [`${index}.md`, "x"]));
    await expect(collect(files, ["."], { maxFiles: 3 })).rejects.toThrow(
      /\. holds more than 3 files, the limit for attachments\. Nothing was sent/,
    );
    expect((await collect(files, ["."], { maxFiles: 4 })).files).toHaveLength(4);
  });

  test("of bytes is an error that names the limit, found without reading a huge file", async () => {
    const cwd = await tempFolder({
      "a.md": "x".repeat(600),
      "b.md": "y".repeat(500),
      "big/z.txt": "text ".repeat(3000),
    });
    await expect(collectAttachments(["a.md", "b.md"], { cwd, maxBytes: 1000 })).rejects.toThrow(
      /holds more than 1 kB of text/,
    );
    await truncate(join(cwd, "big/z.txt"), 8192 + 4_000_000_000);
    await expect(collectAttachments(["big"], { cwd })).rejects.toThrow(/more than 67 MB of text/);
  });
});

describe("what cannot be attached", () => {
  test("is named where it is not there", async () => {
    await expect(collect({}, ["nope"])).rejects.toThrow(
      /There is no file or folder nope to attach \(looked at .*nope\)/,
    );
  });

  test("is an error where nothing is left", async () => {
    await expect(collect({ "a.png": Buffer.from([0]) })).rejects.toThrow(
      "There is nothing to attach in . (skipped: 1 image).",
    );
  });

  test("is nothing where nothing was named", async () => {
    expect(await collect({ "a.md": "a" }, [])).toEqual({ files: [], bytes: 0, skipped: [] });
  });
});
