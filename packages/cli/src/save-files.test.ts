import { mkdir, readdir, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { createClient } from "@outerloop/client";
import { sampleArtifact, sampleEvents, sampleGoal, sampleGoalId, startContractServer } from "@outerloop/client/testing";
import { expect, onTestFinished, test } from "vitest";
import { safePath, saveBelow, saveWrittenFiles, shownPath } from "./save-files.ts";
import { tempFolder } from "./testing/temp-folder.ts";

test("a name that a model chose never leads out of the folder, nor does it hide what it is", () => {
  expect(
    [
      "../../etc/passwd",
      "/etc/passwd",
      "a/./b//c.md",
      "..\\..\\x",
      "C:\\x",
      "",
      "..",
      "a\u001B[2J\u202Eb.md",
      " ../ x /..",
      "x".repeat(400),
    ].map(safePath),
  ).toEqual(["etc/passwd", "etc/passwd", "a/b/c.md", "x", "C_/x", "file", "file", "a_[2J_b.md", "x", "x".repeat(200)]);
});

test("files that a goal wrote are saved, those that it was given are not, and no two of them become one", async () => {
  const written = ["report.md", "data/out.csv", "../report.md", "Report.md"].map((path) => ({
    info: sampleArtifact({ path }),
    bytes: Buffer.from(path),
  }));
  const server = await startContractServer([
    {
      goal: sampleGoal(),
      events: sampleEvents(),
      files: [
        ...written,
        { info: sampleArtifact({ path: "given.md", origin: "attached" }), bytes: Buffer.from("given") },
      ],
    },
  ]);
  onTestFinished(() => server.close());
  // A browser's or Node's URL folds `..` away, so such a file can only be asked for by a server that lists it otherwise.
  const client = createClient({ baseUrl: server.url, apiKey: server.apiKey });
  const stub = {
    ...client,
    goals: { ...client.goals, artifact: async (_id: string, path: string) => Buffer.from(path) },
  };
  const folder = join(await tempFolder(), "goals/g_1");
  const { saved } = await saveWrittenFiles(stub, sampleGoalId, folder);
  expect(saved.map((file) => shownPath(file.savedAt, folder))).toEqual([
    "./report.md",
    "./data/out.csv",
    "./report-2.md",
    "./Report-3.md",
  ]);
  expect((await readdir(folder, { recursive: true })).toSorted()).toEqual([
    "Report-3.md",
    "data",
    "data/out.csv",
    "report-2.md",
    "report.md",
  ]);
  expect(await readFile(join(folder, "data/out.csv"), "utf8")).toBe("data/out.csv");
});

test("a link that stands where a file is saved is replaced, not written through", async () => {
  const folder = await tempFolder({ "secret.txt": "secret" });
  await mkdir(join(folder, "goal"));
  await symlink("../secret.txt", join(folder, "goal/report.md"));
  await saveBelow(join(folder, "goal"), "report.md", Buffer.from("new"));
  expect(await readFile(join(folder, "secret.txt"), "utf8")).toBe("secret");
  expect(await readFile(join(folder, "goal/report.md"), "utf8")).toBe("new");
});

test("a path outside of the folder is refused, and shown whole where it is elsewhere", async () => {
  const folder = await tempFolder();
  await expect(saveBelow(join(folder, "goal"), "../x", Buffer.from("x"))).rejects.toThrow("outside");
  expect(shownPath("/a/b/c", "/a")).toBe("./b/c");
  expect(shownPath("/x/c", "/a")).toBe("/x/c");
});
