import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, onTestFinished, test } from "vitest";
import { isAlive } from "../setup/alive.mjs";

const module = new URL("./run-main.mjs", import.meta.url).href;

/** Starts a wrapper around `main` (source text) in a process group of its own, and reads what it prints. */
function start(main) {
  const folder = fs.mkdtempSync(join(tmpdir(), "outerloop-run-"));
  const path = join(folder, "main.mjs");
  fs.writeFileSync(path, main);
  const code = `import { runMain } from ${JSON.stringify(module)}; runMain(${JSON.stringify(path)}, ["an argument"]);`;
  // Under `npm test` npm's own variables are there; they say where the tests were started, not where this user stands.
  const { INIT_CWD: _cwd, npm_lifecycle_event: _event, ...env } = process.env;
  const wrapper = spawn(process.execPath, ["--input-type=module", "--eval", code], {
    cwd: folder,
    env,
    detached: true,
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => {
    if (wrapper.exitCode === null && wrapper.signalCode === null) process.kill(-wrapper.pid, "SIGKILL");
    fs.rmSync(folder, { recursive: true });
  });
  const lines = createInterface({ input: wrapper.stdout })[Symbol.asyncIterator]();
  return { folder, wrapper, line: async () => (await lines.next()).value };
}

test("the program gets its arguments and the user's folder, and its exit code is passed on", async () => {
  const { folder, wrapper, line } = start(
    `console.log(JSON.stringify([process.argv.slice(2), process.env.OUTERLOOP_CWD])); process.exitCode = 7;`,
  );
  expect(JSON.parse(await line())).toEqual([["an argument"], fs.realpathSync(folder)]);
  expect((await once(wrapper, "exit"))[0]).toBe(7);
});

test("a signal to the whole group, and again to the wrapper, reaches the program once", async () => {
  const { wrapper, line } = start(`
    process.on("SIGINT", () => console.log("SIGINT"));
    process.on("SIGTERM", () => { console.log("SIGTERM"); process.exit(3); });
    setInterval(() => {}, 1000);
    console.log("ready");`);
  await line();
  process.kill(-wrapper.pid, "SIGINT");
  process.kill(wrapper.pid, "SIGINT");
  expect(await line()).toBe("SIGINT");
  process.kill(-wrapper.pid, "SIGTERM");
  expect(await line()).toBe("SIGTERM");
  expect((await once(wrapper, "exit"))[0]).toBe(3);
});

test("a program whose wrapper was killed does not live on", async () => {
  const { wrapper, line } = start(`setInterval(() => {}, 1000); console.log(process.pid);`);
  const pid = Number(await line());
  wrapper.kill("SIGKILL");
  // Its standard output closes when it ends.
  expect(await line()).toBeUndefined();
  await expect.poll(() => isAlive(pid)).toBe(false);
});
