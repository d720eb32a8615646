import type { GoalEvent } from "@outerloop/core";
import { expect, test } from "vitest";
import { openEventStream, type EventSource } from "./event-stream.ts";
import type { Watcher } from "./watchers.ts";

const event = (seq: number, type: GoalEvent["type"] = "step.tool"): GoalEvent => ({
  seq,
  type,
  taskId: null,
  data: {},
  at: "2026-01-01T00:00:00Z",
});
const times = { heartbeatMs: 15_000, retryMs: 2000 };

/** A goal's events and a watcher whose answers are given in advance; after them it hangs. */
function scripted(
  events: GoalEvent[],
  answers: Awaited<ReturnType<Watcher["wait"]>>[],
  onWait: () => void = () => undefined,
) {
  let left = false;
  const source: EventSource = {
    read: async (after, limit) => events.filter((each) => each.seq > after).slice(0, limit),
    watch: () => ({
      wait: async () => {
        onWait();
        return answers.shift() ?? new Promise(() => undefined);
      },
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
    read: async (after, limit) => (failures-- > 0 ? Promise.reject(new Error("away")) : source.read(after, limit)),
  };
  const text = await readAll(openEventStream(flaky, 0, times));
  expect(text.match(/^: Postgres is away$/gm)).toHaveLength(2);
  expect(text.match(/^id: \d$/gm)).toEqual(["id: 1", "id: 2"]);
});

test("news of an event that Postgres does not know ends in one look", async () => {
  let reads = 0;
  const { source } = scripted([event(1)], ["news", "stopping"]);
  await readAll(openEventStream({ ...source, read: (after, limit) => (reads++, source.read(after, limit)) }, 0, times));
  expect(reads).toBe(2);
});
