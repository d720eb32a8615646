import { expect, test } from "vitest";
import { createProgress } from "./progress.ts";

let time = 0;
const progressOf = (stallMs: number) => {
  time = 0;
  return createProgress(stallMs, () => time);
};

test("a loop that turns in time lives; one that does not is named with how long it stands", async () => {
  const progress = progressOf(1000);
  const loop = progress.loop("reconciler");
  progress.loop("idle by design", { everyMs: 5000 });
  time = 1000;
  expect(await progress.standing()).toEqual([]);
  time = 1001;
  expect(await progress.standing()).toEqual([{ loop: "reconciler", ms: 1001 }]);
  loop.turn();
  expect(await progress.standing()).toEqual([]);
  time = 6001;
  expect((await progress.standing()).map((each) => each.loop)).toEqual(["reconciler", "idle by design"]);
  loop.end();
  expect((await progress.standing()).map((each) => each.loop)).toEqual(["idle by design"]);
});

test("a loop that rests cannot stand still until its next turn", async () => {
  const progress = progressOf(1000);
  const loop = progress.loop("fetch");
  loop.rest();
  time = 1_000_000;
  expect(await progress.standing()).toEqual([]);
  loop.turn();
  time += 1001;
  expect(await progress.standing()).toEqual([{ loop: "fetch", ms: 1001 }]);
});

test("while what it waits for is away a loop waits, and has its time anew when that is back", async () => {
  const progress = progressOf(1000);
  let isThere = false;
  progress.loop("fetch", { waitsFor: () => (isThere ? Promise.resolve() : Promise.reject(new Error("away"))) });
  time = 60_000;
  expect(await progress.standing()).toEqual([]);
  isThere = true;
  time = 61_000;
  expect(await progress.standing()).toEqual([]);
  time = 61_001;
  expect(await progress.standing()).toEqual([{ loop: "fetch", ms: 1001 }]);
});

test("a loop that turns while it is looked at does not stand still", async () => {
  const progress = progressOf(1000);
  const loop = progress.loop("fetch", { waitsFor: async () => loop.turn() });
  time = 60_000;
  expect(await progress.standing()).toEqual([]);
});
