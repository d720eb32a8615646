import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";

const module = new URL("./lock.mjs", import.meta.url).href;
let folder;

beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "outerloop-lock-"));
  onTestFinished(() => fs.rmSync(folder, { recursive: true }));
});

/** A process that runs `work` (source text) under the lock; `work` may use fs and folder. */
function holder(work) {
  const code = `import fs from "node:fs"; import { withLock } from ${JSON.stringify(module)};
    const folder = ${JSON.stringify(folder)};
    await withLock(folder + "/lock", () => console.log("waits"), async () => { ${work} });`;
  return spawn(process.execPath, ["--input-type=module", "--eval", code], { stdio: ["ignore", "pipe", "inherit"] });
}

test("processes that want the lock at once hold it one after the other", async () => {
  const enterAndLeave = `fs.writeFileSync(folder + "/inside", "", { flag: "wx" });
    await new Promise((resolve) => setImmediate(resolve)); fs.rmSync(folder + "/inside");`;
  const exits = await Promise.all(
    Array.from({ length: 4 }, async () => (await once(holder(enterAndLeave), "exit"))[0]),
  );
  expect(exits).toEqual([0, 0, 0, 0]);
  expect(fs.readdirSync(folder)).toEqual([]);
});

test("a holder that was killed is succeeded at once", async () => {
  const killed = holder(`console.log("holds"); setInterval(() => {}, 1000); await new Promise(() => {});`);
  await once(killed.stdout, "data");
  killed.kill("SIGKILL");
  await once(killed, "exit");
  expect(fs.existsSync(join(folder, "lock"))).toBe(true);
  const [code] = await once(holder(`console.log("holds")`), "exit");
  expect(code).toBe(0);
});

test("a holder of another machine is believed while its heart beats, not after", async () => {
  const lock = join(folder, "lock");
  fs.writeFileSync(lock, JSON.stringify({ pid: spawnSync("true").pid, host: "another", nonce: "x" }));
  const waiting = holder("");
  expect(String(await once(waiting.stdout, "data"))).toContain("waits");
  const longAgo = new Date(Date.now() - 60_000);
  fs.utimesSync(lock, longAgo, longAgo);
  expect((await once(waiting, "exit"))[0]).toBe(0);
});
