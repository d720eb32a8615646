import { afterEach, beforeEach, expect, test } from "vitest";
import { createClient, type Client } from "./client.ts";
import { sampleEvents, sampleGoal, sampleGoalId, startContractServer, type ContractServer } from "./testing/index.ts";

let server: ContractServer;
let client: Client;
let waits: number[];
beforeEach(async () => {
  waits = [];
  server = await startContractServer([{ goal: sampleGoal(), events: sampleEvents() }]);
  client = createClient({
    baseUrl: server.url,
    apiKey: server.apiKey,
    waiting: {
      random: () => 0,
      wait: async (ms, signal) => {
        signal?.throwIfAborted();
        waits.push(ms);
      },
    },
  });
});
afterEach(() => server.close());

const result = { name: "openai/a", uses: ["plan"], ok: true, ms: 3, detail: "ok" };
const sent = () => server.received.map(({ method, path }) => `${method} ${path}`);

test("a test of all routes is asked for once and looked at until it is done", async () => {
  server.modelTest = { results: [result], looks: 2 };
  expect((await client.models.test()).results).toEqual([result]);
  expect(sent()).toEqual(["POST /v1/models/tests", ...Array.from({ length: 3 }, () => "GET /v1/models/tests/mt_1")]);
  expect(waits).toEqual([300, 300, 300]);
});

test("a test that nobody makes is given up, with no results", async () => {
  server.modelTest = { results: [result], looks: Infinity };
  expect((await client.models.test({ waitMs: 20 })).results).toBeNull();
  expect((await client.models.test({ waitMs: 0 })).results).toBeNull();
});

test("a caller who does not want to wait any more is heard between two looks", async () => {
  server.modelTest = { results: [result], looks: Infinity };
  const stopping = new AbortController();
  const testing = client.models.test({ signal: stopping.signal });
  await server.heard("GET", /tests\/mt_1$/);
  stopping.abort(new Error("enough"));
  await expect(testing).rejects.toThrow("enough");
});

test("asking for a test is not repeated, looking at it is", async () => {
  server.faults.push({ status: 503, body: "" });
  await expect(client.models.test()).rejects.toMatchObject({ status: 503 });
  expect(sent()).toEqual(["POST /v1/models/tests"]);
  server.faults.push(null, { status: 503, body: "" });
  server.modelTest = { results: [result], looks: 0 };
  expect((await client.models.test()).results).toEqual([result]);
});

test("a goal is rerouted by what is given, its usage and its tenant's are asked for by days", async () => {
  const goal = await client.goals.reroute(sampleGoalId, { models: { plan: ["openai/a"] }, task: "t1" });
  expect(goal.models).toEqual({ plan: ["openai/a"] });
  expect(server.received.at(-1)).toMatchObject({ method: "PUT", path: `/v1/goals/${sampleGoalId}/models` });
  expect(JSON.parse(server.received.at(-1)!.body)).toEqual({ models: { plan: ["openai/a"] }, task: "t1" });
  expect((await client.goals.usage(sampleGoalId)).total.calls).toBe(0);
  await client.usage({ from: "2026-11-02" });
  expect(server.received.at(-1)?.query.toString()).toBe("from=2026-11-02");
  expect((await client.models.get()).views).toEqual([]);
});
