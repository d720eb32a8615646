import { expect, test } from "vitest";
import { describeDeath, stuckWords, type Death } from "./poison.ts";

const death: Death = { exit: { code: 1 }, stderr: "", lastStep: null, diedBefore: 2 };

test("a death is told by what was seen, and guessed at only from what the process said", () => {
  expect(describeDeath(death)).toBe(
    "It ends the process that runs it: alone in a process, it ended with exit code 1. Before that, 2 processes ended while holding it. No step of this attempt was journaled.",
  );
  expect(
    describeDeath({ ...death, exit: { signal: "SIGABRT" }, stderr: "FATAL ERROR: JavaScript heap out of memory" }),
  ).toContain("it ran out of memory and was ended by SIGABRT.");
  expect(describeDeath({ ...death, exit: { signal: "SIGKILL" }, stderr: `${stuckWords} 20 s` })).toContain(
    "it stood still without end and was ended by SIGKILL.",
  );
  expect(describeDeath({ ...death, exit: null, diedBefore: 1 })).toContain(
    "it ended that process unseen. Before that, 1 process ended",
  );
});

test("of what it wrote to stderr the last lines are told, short, without V8's addresses", () => {
  const lines = Array.from({ length: 20 }, (_, index) => `line ${index} ${"x".repeat(1000)}`);
  const told = describeDeath({
    ...death,
    stderr: [...lines, "", " 3: 0xdeadbeef node::Abort()", "Node.js v26.10.0"].join("\n"),
  });
  expect(told).toMatch(/Last lines of stderr: line 15 x+ \| line 16 x+ \| .* \| line 19 x+$/);
  expect(told.length).toBeLessThan(2000);
});
