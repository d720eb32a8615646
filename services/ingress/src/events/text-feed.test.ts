import type { GoalId, ModelDelta } from "@outerloop/core";
import { expect, test } from "vitest";
import type { ShownEvent } from "./event-pages.ts";
import { maxWaitingChars, openTextFeed } from "./text-feed.ts";

const piece = (seq: number, offset: number, text: string): ModelDelta => ({
  transient: true,
  task: "t1",
  stage: "execute",
  attempt: 1,
  seq,
  output: null,
  try: 1,
  offset,
  text,
});
const stepEvent = (seq: number): ShownEvent => ({
  seq: 9,
  type: "step.model",
  text: "",
  step: { task: "t1", attempt: 1, seq },
});

function setUp() {
  let nudges = 0;
  const listeners = new Set<(delta: ModelDelta) => void>();
  const bus = {
    hearTexts: (_goal: string, listener: (delta: ModelDelta) => void) => (
      listeners.add(listener),
      () => void listeners.delete(listener)
    ),
  };
  const feed = openTextFeed(bus, "g_1" as GoalId, () => (nudges += 1));
  const say = (delta: ModelDelta) => {
    for (const listener of listeners) listener(delta);
  };
  return { feed, say, nudges: () => nudges, listeners };
}

test("what came is taken once, in order, as frames without an id, and the reader is nudged once for it", () => {
  const { feed, say, nudges } = setUp();
  say(piece(1, 0, "a\nb"));
  say(piece(1, 3, "c"));
  const frames = feed.take();
  expect(frames).toBe(
    [piece(1, 0, "a\nb"), piece(1, 3, "c")]
      .map((each) => `event: model.delta\ndata: ${JSON.stringify(each)}\n\n`)
      .join(""),
  );
  expect(frames).not.toMatch(/^id:/m);
  expect([feed.take(), nudges()]).toEqual(["", 1]);
  say(piece(1, 4, "d"));
  expect(nudges()).toBe(2);
});

test("2: after a step's event nothing of it is shown, also what waited or comes late; the next step is", () => {
  const { feed, say } = setUp();
  say(piece(1, 0, "waits"));
  feed.see(stepEvent(1));
  say(piece(1, 5, "late"));
  say(piece(2, 0, "next"));
  expect(feed.take()).toBe(`event: model.delta\ndata: ${JSON.stringify(piece(2, 0, "next"))}\n\n`);
});

test("1: a reader that takes nothing has a bounded amount waiting, the newest", () => {
  const { feed, say } = setUp();
  for (let n = 0; n < 1000; n++) say(piece(1, n * 1000, "x".repeat(1000)));
  const frames = feed.take();
  expect(frames.length).toBeLessThanOrEqual(maxWaitingChars);
  expect(frames).toContain('"offset":999000');
  say(piece(1, 0, "x".repeat(maxWaitingChars)));
  expect(feed.take()).toBe("");
});

test("who leaves hears nothing more", () => {
  const { feed, listeners } = setUp();
  feed.leave();
  expect(listeners.size).toBe(0);
});
