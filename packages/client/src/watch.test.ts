import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { EventResource } from "@outerloop/core/domain";
import { createClient, type Client } from "./client.ts";
import { ApiError, ConnectionError } from "./errors.ts";
import {
  formatEvent,
  numbered,
  sampleEvents,
  sampleGoal,
  sampleGoalId,
  startContractServer,
  type ContractServer,
} from "./testing/index.ts";
import type { Waiting } from "./waiting.ts";

let server: ContractServer;
let client: Client;
let waits: number[];
/** Waits for nothing, and notes for how long it would have. */
const waiting: Waiting = {
  random: () => 0.5,
  wait: async (ms, signal) => {
    signal?.throwIfAborted();
    waits.push(ms);
  },
};

beforeEach(async () => {
  waits = [];
  server = await startContractServer([{ goal: sampleGoal(), events: sampleEvents() }]);
  client = createClient({ baseUrl: server.url, apiKey: server.apiKey, waiting, idleTimeoutMs: 10_000 });
});
afterEach(() => server.close());

const all = async (events: AsyncIterable<EventResource>) => {
  const seen: EventResource[] = [];
  for await (const event of events) seen.push(event);
  return seen;
};
const total = sampleEvents().length;
const inOrder = Array.from({ length: total }, (_, index) => index + 1);
const askedAfter = () =>
  server.received.filter((each) => each.path.endsWith("/events")).map((each) => each.headers["last-event-id"] ?? null);

describe("a goal's events", () => {
  test("come once and in order, and end with the goal", async () => {
    expect(await all(client.goals.watch(sampleGoalId))).toEqual(sampleEvents());
    expect(waits).toEqual([]);
  });

  test("have no gap and no repeat over connections that break anywhere", async () => {
    server.streams.push(
      { send: [1, 2, 3], then: "cut" },
      // Half of an event, then nothing.
      { raw: formatEvent(sampleEvents()[3]!) + formatEvent(sampleEvents()[4]!).slice(0, 40), then: "cut" },
      { send: [5, 6, 7], then: "close" },
      { send: [], then: "close" },
    );
    expect((await all(client.goals.watch(sampleGoalId))).map((event) => event.seq)).toEqual(inOrder);
    expect(askedAfter()).toEqual([null, "3", "4", "7", "7"]);
  });

  test("that a server sends again are dropped", async () => {
    server.streams.push({ send: [1, 2, 3], then: "cut" }, { send: [1, 2, 3, 4, 4, 5], then: "cut" });
    expect((await all(client.goals.watch(sampleGoalId))).map((event) => event.seq)).toEqual(inOrder);
  });

  test("that a server leaves out are asked for again", async () => {
    server.streams.push({ send: [1, 2, 5, 6], then: "close" });
    expect((await all(client.goals.watch(sampleGoalId))).map((event) => event.seq)).toEqual(inOrder);
    expect(askedAfter()).toEqual([null, "2"]);
  });

  test("begin after the number that is asked for", async () => {
    expect((await all(client.goals.watch(sampleGoalId, { after: 30 }))).map((event) => event.seq)).toEqual(
      inOrder.slice(30),
    );
    expect(askedAfter()).toEqual(["30"]);
  });

  test("are none after the last one, and nobody waits for more", async () => {
    expect(await all(client.goals.watch(sampleGoalId, { after: total }))).toEqual([]);
    expect(waits).toEqual([]);
  });

  test("go on past a failure that more budget undid", async () => {
    const events = numbered([
      ["goal.created", null],
      ["goal.failed", null, { reason: "step_budget" }],
      ["goal.resumed", null],
      ["goal.succeeded", null],
    ]);
    server.goals[0] = { goal: sampleGoal(), events };
    expect((await all(client.goals.watch(sampleGoalId))).map((event) => event.type)).toEqual([
      "goal.created",
      "goal.failed",
      "goal.resumed",
      "goal.succeeded",
    ]);
  });

  test("of a type that this client does not know are passed over without a gap", async () => {
    const strange = `id: 2\nevent: goal.dreamt\ndata: {"seq":2,"type":"goal.dreamt"}\n\n`;
    const [first, , third] = sampleEvents();
    server.streams.push({ raw: formatEvent(first!) + strange + formatEvent(third!), then: "cut" });
    expect((await all(client.goals.watch(sampleGoalId))).map((event) => event.seq)).toEqual(
      inOrder.filter((seq) => seq !== 2),
    );
    expect(askedAfter()).toEqual([null, "3"]);
  });

  test("cut inside a character arrive whole", async () => {
    const events = numbered([
      ["goal.created", null, { text: "größer → 漢字" }],
      ["goal.succeeded", null],
    ]);
    const bytes = Buffer.from(events.map(formatEvent).join(""));
    const fetch = async () =>
      new Response(
        new ReadableStream({
          start: (controller) => (bytes.forEach((byte) => controller.enqueue(Uint8Array.of(byte))), controller.close()),
        }),
      );
    expect(await all(createClient({ baseUrl: "http://test", fetch }).goals.watch("g_1"))).toEqual(events);
  });
});

describe("what models write", () => {
  const delta = {
    transient: true,
    task: "t1",
    stage: "execute",
    attempt: 1,
    seq: 1,
    output: null,
    try: 1,
    offset: 0,
    text: "hel",
  };
  const frame = `event: model.delta\ndata: ${JSON.stringify(delta)}\n\n`;

  test("comes between events where it is asked for, and moves no number", async () => {
    const [first, second] = sampleEvents();
    server.streams.push({ raw: formatEvent(first!) + frame + formatEvent(second!) + frame, then: "cut" });
    const seen = [];
    for await (const each of client.goals.watch(sampleGoalId, { deltas: true })) seen.push(each);
    expect(seen.filter((each) => "transient" in each)).toEqual([delta, delta]);
    expect(seen.filter((each) => !("transient" in each))).toEqual(sampleEvents());
    expect(seen.findIndex((each) => "transient" in each)).toBe(1);
    expect(askedAfter()).toEqual([null, "2"]);
    expect(server.received.every((each) => !each.path.endsWith("/events") || each.query.get("deltas") === "true")).toBe(
      true,
    );
  });

  test("is not asked for by those who watch events alone", async () => {
    await all(client.goals.watch(sampleGoalId));
    expect(server.received.some((each) => each.query.has("deltas"))).toBe(false);
  });

  test("is done without where the server does not know it", async () => {
    server.knowsDeltas = false;
    const seen = [];
    for await (const each of client.goals.watch(sampleGoalId, { deltas: true })) seen.push(each);
    expect(seen).toEqual(sampleEvents());
    expect(waits).toEqual([]);
  });
});

describe("a watcher", () => {
  test("waits longer after each failure, with chance in it, and gives up with what was wrong", async () => {
    server.streams.push(...Array.from({ length: 40 }, () => ({ send: [], then: "close" }) as const));
    await expect(all(client.goals.watch(sampleGoalId))).rejects.toThrow(/closed the stream before the goal had ended/);
    expect(waits.slice(0, 6)).toEqual([188, 375, 750, 1500, 3000, 3750]);
    expect(waits).toHaveLength(15);
  });

  test("that sees something new counts its failures from the start again", async () => {
    server.streams.push(...Array.from({ length: total }, (_, index) => ({ send: [index + 1], then: "cut" }) as const));
    expect(await all(client.goals.watch(sampleGoalId))).toHaveLength(total);
    expect(new Set(waits)).toEqual(new Set([188]));
  });

  test("is told at once where the server says no", async () => {
    await expect(all(client.goals.watch("g_unknown"))).rejects.toMatchObject({
      name: "ApiError",
      status: 404,
      code: "not_found",
    });
    await expect(
      all(createClient({ baseUrl: server.url, apiKey: "wrong", waiting }).goals.watch(sampleGoalId)),
    ).rejects.toBeInstanceOf(ApiError);
    expect(waits).toEqual([]);
  });

  test("gives a silent connection up and opens another", async () => {
    server.streams.push({ send: [1, 2], then: "hang" });
    const impatient = createClient({ baseUrl: server.url, apiKey: server.apiKey, waiting, idleTimeoutMs: 250 });
    const reasons: string[] = [];
    expect(await all(impatient.goals.watch(sampleGoalId, { onReconnect: (why) => reasons.push(why) }))).toHaveLength(
      total,
    );
    // On a machine that is busy the second connection may be too slow for it as well, which is as it should be.
    expect(new Set(reasons)).toEqual(new Set([expect.stringContaining("sent nothing for 0.25 s")]));
  });

  test("that is stopped rejects with the reason it was stopped for, and leaves no connection open", async () => {
    server.streams.push({ send: [1], then: "hang" });
    const stop = new AbortController();
    const watching = all(client.goals.watch(sampleGoalId, { signal: stop.signal }));
    await server.hanging();
    stop.abort(new Error("enough"));
    await expect(watching).rejects.toThrow("enough");
  });

  test("that leaves its loop closes the connection", async () => {
    server.streams.push({ send: [1, 2], then: "hang" });
    for await (const event of client.goals.watch(sampleGoalId)) if (event.seq === 2) break;
    expect(askedAfter()).toEqual([null]);
  });

  test("of a server that is gone says which one", async () => {
    await server.close();
    const failure = await all(client.goals.watch(sampleGoalId)).catch((thrown: unknown) => thrown);
    expect(failure).toBeInstanceOf(ConnectionError);
    expect(String(failure)).toContain(`${server.url} refused the connection`);
    server = await startContractServer();
  });
});
