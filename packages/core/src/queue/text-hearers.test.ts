import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { ModelDelta } from "../domain/model-delta.ts";
import { createTextHearers } from "./text-hearers.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const delta: ModelDelta = {
  transient: true,
  task: null,
  stage: "plan",
  attempt: 1,
  seq: 0,
  output: "plan",
  try: 1,
  offset: 0,
  text: "x",
};

function setUp() {
  const asked: string[] = [];
  const said: (readonly string[])[] = [];
  const wire = {
    hear: (goalId: string) => (asked.push(`+${goalId}`), () => void asked.push(`-${goalId}`)),
    keepWatched: async (goalIds: readonly string[]) => void said.push(goalIds),
  };
  return { hearers: createTextHearers(() => undefined), wire, asked, said };
}

test("a goal is asked for once however many hear it, said to be watched while they do, and let go with the last", async () => {
  const { hearers, wire, asked, said } = setUp();
  const heard: [string, ModelDelta][] = [];
  const leave = ["a", "b"].map((who) => hearers.hear(wire, "g_1", (each) => heard.push([who, each])));
  leave.push(hearers.hear(wire, "g_2", () => undefined));
  expect([asked, said]).toEqual([
    ["+g_1", "+g_2"],
    [["g_1"], ["g_2"]],
  ]);
  hearers.deliver("g_1", JSON.stringify(delta));
  hearers.deliver("g_3", JSON.stringify(delta));
  expect(heard).toEqual([
    ["a", delta],
    ["b", delta],
  ]);
  expect(heard[0]![1]).toBe(heard[1]![1]);
  await vi.advanceTimersByTimeAsync(20_000);
  expect(said.slice(2)).toEqual([
    ["g_1", "g_2"],
    ["g_1", "g_2"],
  ]);
  leave[0]!();
  leave[0]!();
  expect(asked).toEqual(["+g_1", "+g_2"]);
  leave[1]!();
  leave[2]!();
  expect(asked.slice(2)).toEqual(["-g_1", "-g_2"]);
  expect(vi.getTimerCount()).toBe(0);
  // And again from the start.
  hearers.hear(wire, "g_1", () => undefined);
  hearers.stop();
  expect(asked.slice(4)).toEqual(["+g_1", "-g_1"]);
  expect(vi.getTimerCount()).toBe(0);
});

test("what cannot be read, or is of another shape, is passed over", () => {
  const { hearers, wire } = setUp();
  const heard: ModelDelta[] = [];
  hearers.hear(wire, "g_1", (each) => heard.push(each));
  for (const text of ["", "{", "[]", "null", JSON.stringify({ ...delta, offset: -1 })]) hearers.deliver("g_1", text);
  hearers.deliver("g_1", JSON.stringify({ ...delta, more: "of a newer release" }));
  expect(heard).toEqual([delta]);
});
