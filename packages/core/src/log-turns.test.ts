import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { createLogTurns, maxGatheredChars } from "./log-turns.ts";

const endOfTurn = () => new Promise((resolve) => setImmediate(resolve));

function setUp() {
  const writes: string[] = [];
  return { writes, turns: createLogTurns({ write: (text) => writes.push(text) }) };
}

test("1: the lines of a turn are one write, in their order, and the next turn's another", async () => {
  const { writes, turns } = setUp();
  turns.write("a\n");
  queueMicrotask(() => turns.write("b\n"));
  process.nextTick(() => turns.write("c\n"));
  expect(writes).toEqual([]);
  await endOfTurn();
  expect(writes).toEqual(["a\nb\nc\n"]);
  turns.write("d\n");
  await endOfTurn();
  expect(writes).toEqual(["a\nb\nc\n", "d\n"]);
});

test("2: who asks for it has it written at once, and once", async () => {
  const { writes, turns } = setUp();
  turns.write("a\n");
  let done = false;
  turns.flush(() => (done = true));
  expect([done, writes]).toEqual([true, ["a\n"]]);
  turns.flushSync();
  await endOfTurn();
  expect(writes).toEqual(["a\n"]);
});

test("2: a logger with nothing to lose holds nothing of the process", async () => {
  const before = process.listenerCount("exit");
  const { turns } = setUp();
  for (let n = 0; n < 3; n++) turns.write("a\n");
  expect(process.listenerCount("exit")).toBe(before + 1);
  await endOfTurn();
  expect(process.listenerCount("exit")).toBe(before);
});

test("3: a turn that has much to say writes more than once", () => {
  const { writes, turns } = setUp();
  const line = `${"x".repeat(999)}\n`;
  for (let n = 0; n < 200; n++) turns.write(line);
  expect(writes.map((each) => each.length)).toEqual([66_000, 66_000, 66_000]);
  expect(Math.max(...writes.map((each) => each.length))).toBeLessThan(maxGatheredChars + line.length);
  turns.flushSync();
  expect(writes.join("")).toBe(line.repeat(200));
});

/** A process that logs; how it ended, and the numbers of the lines that came. */
async function run(source: string, stop?: NodeJS.Signals) {
  const child = spawn(
    process.execPath,
    [
      "--input-type=module",
      "-e",
      `import { createLogger } from ${JSON.stringify(import.meta.resolve("./logging.ts"))};
       const log = createLogger("test", "info");
       const say = (from, to) => { for (let n = from; n <= to; n++) log.info({ event: "said", n, room: "x".repeat(200) }); };
       ${source}`,
    ],
    { stdio: ["ignore", "pipe", "ignore"] },
  );
  if (stop !== undefined) child.stdout.once("data", () => child.kill(stop));
  const [out, [code]] = await Promise.all([text(child.stdout), once(child, "exit")]);
  return {
    code,
    numbers: out
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => (JSON.parse(line) as { n: number }).n),
  };
}
const numbers = (to: number) => Array.from({ length: to }, (_, index) => index + 1);

test("2: process.exit in the middle of a turn loses no line", async () => {
  expect(await run("say(1, 1000); process.exit(3);")).toEqual({ code: 3, numbers: numbers(1000) });
});

test("2: nor does an error that nobody catches", async () => {
  expect(await run("say(1, 20); setTimeout(() => { say(21, 30); null.x; });")).toEqual({
    code: 1,
    numbers: numbers(30),
  });
});

test("2: nor does a drain on SIGTERM, whose first line came when its turn ended", async () => {
  expect(
    await run(
      `process.on("SIGTERM", () => { say(2, 50); process.exit(0); });
       setInterval(() => undefined, 1000);
       say(1, 1);`,
      "SIGTERM",
    ),
  ).toEqual({ code: 0, numbers: numbers(50) });
});

test("2: nor does a failpoint", async () => {
  expect(
    await run(
      `const { armFailpoint, failpoint } = await import(${JSON.stringify(import.meta.resolve("./failpoints.ts"))});
       armFailpoint({ name: "tool.ran", hit: 1, signal: "SIGKILL" }, () => log.flush());
       say(1, 10); failpoint("tool.ran"); say(11, 20);`,
    ),
  ).toEqual({ code: null, numbers: numbers(10) });
});
