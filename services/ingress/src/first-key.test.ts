import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { ensureFirstKey } from "./first-key.ts";
import { openHouse, type House } from "./testing/house.ts";

let house: House;
let folder: string;
beforeAll(async () => {
  house = await openHouse();
});
afterAll(() => house[Symbol.asyncDispose]());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "outerloop-key-"));
});
afterEach(() => rm(folder, { recursive: true }));

const ensure = (apiKey: string | null) =>
  ensureFirstKey({
    db: house.parts.db,
    createId: house.parts.createId,
    config: { apiKey, dataDir: join(folder, "data") },
  });
const works = async (key: string) => (await house.call("/v1/goals", { key })).status === 200;

test("a key from the environment works and is written nowhere", async () => {
  const { key, path } = await ensure("ol_from_the_environment");
  expect([key, path, await works(key)]).toEqual(["ol_from_the_environment", null, true]);
  await expect(stat(join(folder, "data"))).rejects.toThrow("ENOENT");
});

test("without one a key is made once, in a file that only its owner reads", async () => {
  const first = await ensure(null);
  expect(await works(first.key)).toBe(true);
  expect((await stat(first.path!)).mode & 0o777).toBe(0o600);
  expect((await readFile(first.path!, "utf8")).trim()).toBe(first.key);
  await chmod(first.path!, 0o644);
  expect(await ensure(null)).toEqual(first);
  expect((await stat(first.path!)).mode & 0o777).toBe(0o600);
});

test("processes that start at once agree on one key", async () => {
  const keys = await Promise.all(Array.from({ length: 8 }, () => ensure(null)));
  expect(new Set(keys.map((each) => each.key)).size).toBe(1);
  expect(await readdir(join(folder, "data"))).toEqual(["api-key"]);
});

test("an empty file is an error that says what to do", async () => {
  const { path } = await ensure(null);
  await writeFile(path!, "\n");
  await expect(ensure(null)).rejects.toThrow(/is empty. Delete it/);
});
