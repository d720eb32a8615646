import type { EventType } from "@outerloop/core";
import { expect, test } from "vitest";
import type { ShownEvent } from "./event-pages.ts";
import { openEventStream, type EventSource } from "./event-stream.ts";
import type { Watcher } from "./watchers.ts";

const event = (seq: number, type: EventType = "step.tool", room = 0): ShownEvent => ({
  seq,
  type,
  step: null,
  text: `id: ${seq}\nevent: ${type}\ndata: {}${" ".repeat(room)}\n\n`,
});
const times = { heartbeatMs: 15_000, retryMs: 2000 };

/** A goal's events and a watcher whose answers are given in advance; after them it hangs. */
function scripted(
  events: ShownEvent[],
  answers: Awaited<ReturnType<Watcher["wait"]>>[],
  onWait: () => void = () => undefined,
) {
  let left = false;
  const source: EventSource = {
    read: async (after) => ({ events: events.filter((each) => each.seq > after), more: false }),
    watch: () => ({
      wait: async () => {
        onWait();
        return answers.shift() ?? new Promise(() => undefined);
      },
      nudge: () => undefined,
      leave: () => (left = true),
    }),
    mayGoOn: async () => true,
  };
  return { source, hasLeft: () => left };
}

async function readAll(stream: ReadableStream<Uint8Array>): Promise<string> {
  return new Response(stream).text();
}

test("2: a stream that nobody reads watches nothing", async () => {
  let watched = false;
  const { source } = scripted([event(1)], []);
  openEventStream({ ...source, watch: () => ((watched = true), source.watch()) }, 0, times);
  await new Promise((resolve) => setImmediate(resolve));
  expect(watched).toBe(false);
});

test("3: a goal that went on after a failure is followed on", async () => {
  const { source } = scripted(
    [event(1), event(2, "goal.failed"), event(3, "goal.resumed"), event(4, "goal.succeeded")],
    [],
  );
  expect(
    [...(await readAll(openEventStream(source, 0, times))).matchAll(/^id: (\d)/gm)].map((match) => match[1]),
  ).toEqual(["1", "2", "3", "4"]);
});

test("a stream says goodbye when the server stops, and leaves its place", async () => {
  const { source, hasLeft } = scripted([event(1)], ["stopping"]);
  expect(await readAll(openEventStream(source, 0, times))).toMatch(/id: 1\n/);
  expect(hasLeft()).toBe(true);
});

test("silence is filled by heartbeats, until the key is revoked", async () => {
  const { source } = scripted([event(1)], ["nothing", "nothing"]);
  let asked = 0;
  const text = await readAll(openEventStream({ ...source, mayGoOn: async () => ++asked < 2 }, 0, times));
  expect(text.match(/^: still here$/gm)).toHaveLength(1);
});

test("1: a database that is away for a while costs neither an event nor the stream", async () => {
  const { source } = scripted([event(1), event(2, "goal.succeeded")], ["nothing", "nothing"]);
  let failures = 2;
  const flaky: EventSource = {
    ...source,
    read: async (after) => (failures-- > 0 ? Promise.reject(new Error("away")) : source.read(after)),
  };
  const text = await readAll(openEventStream(flaky, 0, times));
  expect(text.match(/^: Postgres is away$/gm)).toHaveLength(2);
  expect(text.match(/^id: \d$/gm)).toEqual(["id: 1", "id: 2"]);
});

test("news of an event that Postgres does not know ends in one look", async () => {
  let reads = 0;
  const { source } = scripted([event(1)], ["news", "stopping"]);
  await readAll(openEventStream({ ...source, read: (after) => (reads++, source.read(after)) }, 0, times));
  expect(reads).toBe(2);
});

test("2: a piece is cut by its size, and the next begins where it ended", async () => {
  const { source } = scripted(
    [
      event(1, "step.tool", 60_000),
      event(2, "step.tool", 60_000),
      event(3, "step.tool", 90_000),
      event(4, "goal.succeeded"),
    ],
    [],
  );
  const pieces: string[] = [];
  for await (const chunk of openEventStream(source, 0, times)) pieces.push(new TextDecoder().decode(chunk));
  const ids = pieces.map((piece) => [...piece.matchAll(/^id: (\d)/gm)].map((match) => match[1]).join(""));
  expect(ids).toEqual(["", "1", "2", "3", "4"]);
});

/** Texts that wait, and more whenever the stream waits for news. */
function writing(texts: string[]) {
  const seen: number[] = [];
  const feed = {
    take: () => texts.shift() ?? "",
    see: ({ seq }: ShownEvent) => void seen.push(seq),
    leave: () => undefined,
  };
  return { hearTexts: () => feed, seen };
}

test("3: what is being written goes ahead of the events that follow it, and the feed is told of those", async () => {
  const { source } = scripted([event(1), event(2, "goal.succeeded")], []);
  const { hearTexts, seen } = writing(["event: model.delta\ndata: {}\n\n"]);
  const text = await readAll(openEventStream({ ...source, hearTexts }, 0, times));
  expect(text.match(/^event: .*$/gm)).toEqual(["event: model.delta", "event: step.tool", "event: goal.succeeded"]);
  expect(seen).toEqual([1, 2]);
});

test("3: texts that came while nobody pulled are sent without a nudge", async () => {
  const { source } = scripted([event(1)], ["nudge", "stopping"]);
  const { hearTexts } = writing(["", "event: one\n\n", "event: two\n\n"]);
  const text = await readAll(openEventStream({ ...source, hearTexts }, 0, times));
  expect(text.match(/^event: .*$/gm)).toEqual(["event: step.tool", "event: one", "event: two"]);
});

test("a model that goes on writing keeps nobody in who may no longer look", async () => {
  const { source, hasLeft } = scripted([event(1)], []);
  const endless = { take: () => "event: model.delta\n\n", see: () => undefined, leave: () => undefined };
  let asked = 0;
  const stream = openEventStream({ ...source, hearTexts: () => endless, mayGoOn: async () => ++asked < 2 }, 0, {
    ...times,
    heartbeatMs: 20,
  });
  await readAll(stream);
  expect([asked, hasLeft()]).toEqual([2, true]);
});
