import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createClient, type Client } from "./client.ts";
import { allItems } from "./pages.ts";
import {
  sampleArtifact,
  sampleEvents,
  sampleGoal,
  sampleGoalId,
  sampleStep,
  startContractServer,
  type ContractServer,
} from "./testing/index.ts";

let server: ContractServer;
let client: Client;
let waits: number[];

beforeEach(async () => {
  waits = [];
  server = await startContractServer([
    {
      goal: sampleGoal(),
      events: sampleEvents(),
      steps: [sampleStep()],
      files: [{ info: sampleArtifact({ path: "a b/ü?.md" }), bytes: Buffer.from("hello") }],
    },
    ...Array.from({ length: 6 }, (_, index) => ({
      goal: sampleGoal({ id: `g_other${index}00000000000` }),
      events: [],
    })),
  ]);
  client = createClient({
    baseUrl: `${server.url}/`,
    apiKey: server.apiKey,
    waiting: { random: () => 0, wait: async (ms) => void waits.push(ms) },
  });
});
afterEach(() => server.close());

const posts = () => server.received.filter((each) => each.method === "POST");

describe("creating a goal", () => {
  test("is repeated under one idempotency key where the server is away for a moment", async () => {
    server.faults.push(
      "cut",
      { status: 503, headers: { "retry-after": "2" } },
      { status: 502, body: "<html>bad gateway" },
    );
    expect(await client.goals.create({ text: "go" })).toMatchObject({ id: sampleGoalId, status: "queued" });
    expect(posts()).toHaveLength(4);
    expect(new Set(posts().map((each) => each.headers["idempotency-key"])).size).toBe(1);
    expect(posts()[0]?.headers["idempotency-key"]).toMatch(/^[0-9a-f-]{36}$/);
    expect(waits).toEqual([125, 2000, 500]);
  });

  test("gives up after a bounded number of times, with the last answer", async () => {
    server.faults.push(...Array.from({ length: 9 }, () => ({ status: 503, body: "no" })));
    await expect(client.goals.create({ text: "go" })).rejects.toMatchObject({
      name: "ApiError",
      status: 503,
      code: "http_503",
    });
    expect(posts()).toHaveLength(5);
  });

  test("is not repeated where the server refuses the request", async () => {
    const body = JSON.stringify({
      type: "about:blank",
      title: "wrong",
      status: 400,
      detail: "The request is not valid.",
      code: "invalid_input",
      errors: [{ field: "budget.steps", message: "must be at least 1" }],
    });
    server.faults.push({ status: 400, body });
    const failure = await client.goals.create({ text: "go" }).catch((thrown: unknown) => thrown);
    expect(failure).toMatchObject({
      status: 400,
      code: "invalid_input",
      detail: "The request is not valid.",
      errors: [{ field: "budget.steps", message: "must be at least 1" }],
    });
    expect(String(failure)).toContain("budget.steps: must be at least 1");
    expect(posts()).toHaveLength(1);
  });

  test("takes the caller's idempotency key", async () => {
    await client.goals.create({ text: "go" }, { idempotencyKey: "mine" });
    expect(posts()[0]?.headers["idempotency-key"]).toBe("mine");
  });
});

describe("reading", () => {
  test("a list goes over all pages, and stops where the reader does", async () => {
    expect((await allItems(client.goals.list({ limit: 3 }))).map((goal) => goal.id)).toEqual(
      server.goals.map((each) => each.goal.id),
    );
    const before = server.received.length;
    for await (const goal of client.goals.list({ limit: 3 })) if (goal.id === sampleGoalId) break;
    expect(server.received.length - before).toBe(1);
  });

  test("one page names the next", async () => {
    const page = await client.goals.page({ limit: 4, status: "succeeded" });
    expect(page.items).toHaveLength(4);
    expect((await client.goals.page({ limit: 4, cursor: page.next_cursor ?? undefined })).items).toHaveLength(3);
  });

  test("a goal by the beginning of its id", async () => {
    expect((await client.goals.get("g_7k2")).id).toBe(sampleGoalId);
  });

  test("a file whose name needs escaping comes byte for byte", async () => {
    expect(Buffer.from(await client.goals.artifact(sampleGoalId, "a b/ü?.md")).toString()).toBe("hello");
  });

  test("an answer of another shape names the field", async () => {
    server.faults.push({ status: 200, headers: { "content-type": "application/json" }, body: '{"id":1}' });
    await expect(client.goals.get("g_7k2")).rejects.toThrow(
      /GET \/v1\/goals\/g_7k2 with something else than this client expects \(id: .*same version/s,
    );
  });
});

describe("trouble", () => {
  test("a server that is not there is named with what to do", async () => {
    await server.close();
    await expect(client.health()).rejects.toMatchObject({
      name: "ConnectionError",
      message: `${server.url} refused the connection: no server listens there`,
    });
    server = await startContractServer();
  });

  test("an answer that takes too long is given up", async () => {
    const never = createClient({
      baseUrl: "http://slow",
      timeoutMs: 10,
      fetch: (_url, init) =>
        new Promise((_resolve, reject) => init?.signal?.addEventListener("abort", () => reject(init.signal?.reason))),
    });
    await expect(never.health()).rejects.toThrow("http://slow did not answer GET /healthz within 0.01 s");
  });

  test("a caller's abort is not told as trouble of the network", async () => {
    const stop = new AbortController();
    stop.abort(new Error("enough"));
    await expect(client.goals.get(sampleGoalId, { signal: stop.signal })).rejects.toThrow("enough");
  });

  test("a redirect is not followed: it would carry the key elsewhere", async () => {
    server.faults.push({ status: 302, headers: { location: `${server.url}/elsewhere` } });
    await expect(client.goals.get(sampleGoalId)).rejects.toMatchObject({ status: 302, code: "http_302" });
    expect(server.received.map((each) => each.path)).toEqual([`/v1/goals/${sampleGoalId}`]);
  });

  test("the health of a server is read without a key", async () => {
    expect(await createClient({ baseUrl: server.url }).health()).toMatchObject({ instance: "instance-1" });
    expect(server.received[0]?.headers.authorization).toBeUndefined();
  });
});
