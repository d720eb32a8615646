import { expect, test } from "vitest";
import { readConfig } from "../config.ts";
import { manyInFlight } from "./commit.ts";
import { createLoad } from "./load.ts";

function load(gatherMs = 15) {
  const state = { slots: 0, now: 0 };
  return { state, ...createLoad({ gatherMs, slotsUsed: () => state.slots, now: () => state.now }) };
}

test("a goal or two wait for nobody", () => {
  const { state, gatherMs, inFlight } = load();
  expect(gatherMs()).toBe(0);
  state.slots = manyInFlight - 1;
  inFlight(manyInFlight - 1);
  expect(gatherMs()).toBe(0);
});

test("batches wait while this process has much in work", () => {
  const { state, gatherMs } = load();
  state.slots = manyInFlight;
  expect(gatherMs()).toBe(15);
  state.slots = manyInFlight - 1;
  expect(gatherMs()).toBe(0);
});

test("batches wait while a commit has told of much elsewhere, for a second", () => {
  const { state, gatherMs, inFlight } = load();
  inFlight(manyInFlight);
  state.now = 999;
  expect(gatherMs()).toBe(15);
  state.now = 1000;
  expect(gatherMs()).toBe(0);
  inFlight(manyInFlight);
  inFlight(3);
  expect(gatherMs(), "the newest word counts").toBe(0);
});

test("OUTERLOOP_GATHER_MS says how long; with 0 nothing ever waits", () => {
  const { state, gatherMs } = load(readConfig({ OUTERLOOP_GATHER_MS: "0" }).commit.gatherMs);
  state.slots = 100;
  expect(gatherMs()).toBe(0);
  expect(readConfig({ OUTERLOOP_GATHER_MS: "40" }).commit.gatherMs).toBe(40);
  expect(() => readConfig({ OUTERLOOP_GATHER_MS: "1001" })).toThrow(/OUTERLOOP_GATHER_MS/);
});
