import { request as httpRequest } from "node:http";
import type { EventResource } from "@outerloop/core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openHouse, type House } from "../testing/house.ts";
import { startIngress, type Ingress } from "../server.ts";

let house: House;
let ingress: Ingress;
const key = "ol_test_admin_key";

beforeAll(async () => {
  house = await openHouse({ maxWatchers: 3 });
  ingress = await startIngress(house.parts, { host: "127.0.0.1", port: 0 });
});
afterAll(async () => {
  await ingress.close();
  await house[Symbol.asyncDispose]();
});

interface Message {
  readonly id: number;
  readonly event: string;
  readonly data: EventResource;
}

/** Reads at most `most` events after `after`, then hangs up; tells whether the server ended the stream. */
async function read(
  goalId: string,
  after: number,
  most = Number.POSITIVE_INFINITY,
): Promise<{ messages: Message[]; ended: boolean }> {
  const response = await fetch(`${ingress.url}/v1/goals/${goalId}/events`, {
    headers: { authorization: `Bearer ${key}`, ...(after > 0 ? { "last-event-id": String(after) } : {}) },
  });
  if (response.status === 204) return { messages: [], ended: true };
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  const messages: Message[] = [];
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of response.body!) {
    const blocks = (rest + decoder.decode(chunk, { stream: true })).split("\n\n");
    rest = blocks.pop()!;
    for (const block of blocks) {
      const [, id, event, data] = /^id: (\d+)\nevent: (\S+)\ndata: (.*)$/.exec(block) ?? [];
      if (id !== undefined) messages.push({ id: Number(id), event: event!, data: JSON.parse(data!) as EventResource });
      if (messages.length >= most) return { messages, ended: false };
    }
  }
  return { messages, ended: true };
}

let published = 0;
/** As a worker's commit does it. Every third message is lost, as Redis may lose them. */
async function append(goalId: string, count: number): Promise<void> {
  const events = Array.from({ length: count }, () => ({ type: "step.tool", data: { text: "x".repeat(200) } }));
  const { rows } = await house.parts.database.pool.query("SELECT append_events($1, $2::jsonb) AS newest", [
    goalId,
    JSON.stringify(events),
  ]);
  if (published++ % 3 !== 0) house.parts.bus.publish(goalId, (rows[0] as { newest: number }).newest);
}

const cancel = (goalId: string) => house.call(`/v1/goals/${goalId}/cancel`, { method: "POST" });
const numbers = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

test("W9: a watcher who reconnects with Last-Event-ID while 200 events come sees each once, in order", async () => {
  const goalId = await house.post();
  const writing = (async () => {
    for (let n = 0; n < 100; n++) await append(goalId, 2);
    await cancel(goalId);
  })();
  const seen: Message[] = [];
  const steady = read(goalId, 0);
  for (const most of [1, 7, 30, 2, 50, Number.POSITIVE_INFINITY])
    seen.push(...(await read(goalId, seen.at(-1)?.id ?? 0, most)).messages);
  await writing;
  expect(seen.map((message) => message.id)).toEqual(numbers(202));
  expect(seen.map((message) => message.data.seq)).toEqual(numbers(202));
  expect([seen[0]!.event, seen.at(-1)!.event]).toEqual(["goal.created", "goal.cancelled"]);
  expect((await steady).messages).toEqual(seen);
});

test("a finished goal is replayed, and the stream ends", async () => {
  const goalId = await house.post();
  await append(goalId, 250);
  await cancel(goalId);
  const { messages, ended } = await read(goalId, 0);
  expect([messages.map((message) => message.id), ended]).toEqual([numbers(252), true]);
  expect((await read(goalId, 250)).messages.map((message) => message.id)).toEqual([251, 252]);
});

test("who has seen the end is told not to come again", async () => {
  const goalId = await house.post();
  await cancel(goalId);
  expect((await house.call(`/v1/goals/${goalId}/events?after=2`)).status).toBe(204);
});

test("the header says more than the query, which a browser repeats when it reconnects", async () => {
  const goalId = await house.post();
  await append(goalId, 3);
  await cancel(goalId);
  const response = await house.call(`/v1/goals/${goalId}/events?after=1`, { headers: { "last-event-id": "4" } });
  expect([...(await response.text()).matchAll(/^id: (\d+)$/gm)].map((match) => match[1])).toEqual(["5"]);
});

test("more watchers than allowed are asked to come again, and a place that was left is free", async () => {
  const goalId = await house.post();
  const streams = await Promise.all(numbers(3).map(() => house.call(`/v1/goals/${goalId}/events`)));
  const readers = streams.map((stream) => stream.body!.getReader());
  for (const reader of readers) await reader.read();
  const refused = await house.call(`/v1/goals/${goalId}/events`);
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "5"]);
  await readers[0]!.cancel();
  expect((await house.call(`/v1/goals/${goalId}/events`)).status).toBe(200);
  for (const reader of readers) await reader.cancel();
});

test("HEAD holds no place", async () => {
  const goalId = await house.post();
  for (let n = 0; n < 5; n++)
    expect((await house.call(`/v1/goals/${goalId}/events`, { method: "HEAD" })).status).toBe(200);
});

test("a reader that does not read makes the server read nothing either", async () => {
  const goalId = await house.post();
  const big = JSON.stringify(
    Array.from({ length: 100 }, () => ({ type: "step.tool", data: { text: "x".repeat(50_000) } })),
  );
  for (let n = 0; n < 10; n++)
    await house.parts.database.pool.query("SELECT append_events($1, $2::jsonb)", [goalId, big]);
  let pages = 0;
  const pool = house.parts.database.pool as unknown as {
    connect(): Promise<{ query(text: string | { text: string }, values?: unknown[]): Promise<unknown> }>;
  };
  const connect = pool.connect.bind(pool);
  pool.connect = async () => {
    const client = await connect();
    const query = client.query.bind(client);
    client.query = (text, values) => {
      if (/from "events"/.test(typeof text === "string" ? text : text.text)) pages++;
      return query(text, values);
    };
    return client;
  };
  try {
    const response = await new Promise<import("node:http").IncomingMessage>((resolve) =>
      httpRequest(
        `${ingress.url}/v1/goals/${goalId}/events`,
        { headers: { authorization: `Bearer ${key}` } },
        resolve,
      ).end(),
    );
    response.pause();
    await new Promise((resolve) => setTimeout(resolve, 1500));
    // 50 MB wait in Postgres; what the kernel and one page hold is all that was read.
    expect(pages).toBeLessThan(5);
    response.destroy();
  } finally {
    pool.connect = connect;
  }
});

test("what models write is shown to those who may watch the goal, and to nobody else", async () => {
  const goalId = await house.post();
  const viewer = await house.addKey("viewer");
  const stranger = await house.addKey("admin", "other");
  const path = `/v1/goals/${goalId}/events?deltas=true`;
  expect((await house.call(path, { key: stranger })).status).toBe(404);
  expect((await house.call(path, { key: null })).status).toBe(401);
  expect((await house.call(`/v1/goals/${goalId}/events?deltas=maybe`)).status).toBe(400);
  const reader = (await house.call(path, { key: viewer })).body!.pipeThrough(new TextDecoderStream()).getReader();
  let read = "";
  const until = async (text: string) => {
    while (!read.includes(text)) read += (await reader.read()).value ?? "";
  };
  await until("goal.created");
  const call = { task: "t1", stage: "execute", attempt: 1, seq: 1, output: null } as const;
  const other = house.parts.bus.texts.of(await house.post(), call);
  other.onText({ try: 1, offset: 0, text: "of another goal" });
  other.end();
  const { onText, end } = house.parts.bus.texts.of(goalId, call);
  onText({ try: 1, offset: 0, text: "hello" });
  end();
  await until("hello");
  expect(read.split("\n\n").at(-2)).toBe(
    `event: model.delta\ndata: ${JSON.stringify({ transient: true, ...call, try: 1, offset: 0, text: "hello" })}`,
  );
  expect(read).not.toContain("of another goal");
  await reader.cancel();
});
