import {
  assembleModels,
  createId,
  createModelControl,
  finishModelTest,
  renewLease,
  takeModelTest,
  writeModelView,
  type GoalId,
  type LeaseId,
} from "@outerloop/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openHouse, type House } from "../testing/house.ts";

let house: House;
beforeAll(async () => {
  house = await openHouse();
});
afterAll(() => house[Symbol.asyncDispose]());

type Body = Record<string, unknown> & { errors?: { field: string; message: string }[] };
const read = async (response: Response) => ({ status: response.status, body: (await response.json()) as Body });
const put = async (goal: string, body: unknown, key?: string) =>
  read(await house.call(`/v1/goals/${goal}/models`, { method: "PUT", body, ...(key === undefined ? {} : { key }) }));

type Overrides = "any" | "routed" | "none";
/** What a worker of these settings would tell. */
async function tellRoutes(overrides: Overrides = "any", service = "planner"): Promise<LeaseId> {
  const { db } = house.parts;
  const lease = createId("lease");
  await renewLease(db, { id: lease, service, host: "test", pid: 1 }, 60_000);
  const settings = assembleModels({
    env: { OPENAI_API_KEY: "sk-test-0123456789abcdef" },
    file: { overrides, limits: { openai: { requests_per_minute: 2, tenant: { tokens_per_minute: 5000 } } } },
    cwd: "/nowhere",
  });
  const price = { input: 2_500_000, output: 10_000_000, version: "settings" };
  const routes = [
    {
      use: "plan" as const,
      models: [
        { name: "openai/planner", price },
        { name: "openai/other", price: null },
      ],
    },
  ];
  await writeModelView(db, { lease, service, routes, settings });
  return lease;
}
const forget = (...leases: LeaseId[]) => house.parts.db.deleteFrom("leases").where("id", "in", leases).execute();

type Amount = "input_tokens" | "cached_input_tokens" | "output_tokens" | "cost_micro_usd" | "duration_ms";

/** Journals a model call as a worker does. */
async function addStep(
  goal: string,
  seq: number,
  step: Partial<Record<Amount, number>> & { stage?: "intake"; kind?: "tool"; name?: string; output?: string },
): Promise<void> {
  const { db } = house.parts;
  const key = await db
    .selectFrom("goals")
    .select(["retention", "goal_day", "tenant_id", "id as goal_id"])
    .where("id", "=", goal)
    .executeTakeFirstOrThrow();
  await db
    .insertInto("steps")
    .values({
      ...key,
      subject_id: goal,
      attempt: 0,
      seq,
      phase: "result",
      stage: "plan",
      kind: "model",
      name: "openai/planner",
      number: seq,
      input: "{}",
      output: "{}",
      ok: true,
      fence: 1,
      write_id: createId("write"),
      request_hash: null,
      input_tokens: 0,
      cached_input_tokens: 0,
      output_tokens: 0,
      reasoning_tokens: 0,
      cost_micro_usd: null,
      duration_ms: 0,
      ...step,
    })
    .execute();
}

describe("GET /v1/models", () => {
  test("shows each way in which living processes route, with prices in dollars, and no address or key", async () => {
    const leases = [await tellRoutes(), await tellRoutes("any", "executor"), await tellRoutes("routed")];
    const { status, body } = await read(await house.call("/v1/models"));
    expect(status).toBe(200);
    expect(body["views"]).toEqual([
      {
        processes: 2,
        services: ["executor", "planner"],
        overrides: "any",
        routes: [
          {
            use: "plan",
            models: [
              { name: "openai/planner", price: { input: 2.5, output: 10, version: "settings" } },
              { name: "openai/other", price: null },
            ],
          },
        ],
        limits: [
          {
            target: "openai",
            requests_per_minute: 2,
            tokens_per_minute: null,
            tenant: { requests_per_minute: null, tokens_per_minute: 5000 },
            concurrency: null,
          },
        ],
      },
      expect.objectContaining({ processes: 1, overrides: "routed" }),
    ]);
    expect(JSON.stringify(body)).not.toContain("sk-test");
    await forget(...leases);
    expect((await read(await house.call("/v1/models"))).body["views"]).toEqual([]);
  });

  test("shows what is held back and why, whatever the provider wrote, and what of a limit is used", async () => {
    const control = createModelControl(house.parts.db);
    await control.hold("openai/planner", "open", "away \0\uD800 \u001b[31m", 30_000);
    await control.hold("openai/other", "cooling", "come back later", 5000);
    const scopes = [{ scope: "openai", requests: 2, tokens: null, tenant_requests: null, tenant_tokens: null }];
    await control.take({ tenantId: "t_1", scopes, tokens: 70, windowMs: 60_000, waited: false });
    const { body } = await read(await house.call("/v1/models", { key: await house.addKey("viewer") }));
    const held = body["held"] as { left_ms: number; since: string }[];
    expect(held).toMatchObject([
      { model: "openai/other", state: "cooling", reason: "come back later", failed_probes: 0 },
      { model: "openai/planner", state: "open", reason: "away \uFFFD\uFFFD \u001b[31m" },
    ]);
    expect(held[1]!.left_ms).toBeGreaterThan(20_000);
    expect(body["used"]).toEqual([{ target: "openai", requests: 1, tokens: 70, tenants_waiting: 0 }]);
    await control.release("openai/planner");
    await control.release("openai/other");
    expect((await read(await house.call("/v1/models"))).body["held"]).toEqual([]);
  });
});

describe("tests of all routes", () => {
  test("are asked for by admins, made by a worker, and read by their id, whatever a model answered", async () => {
    const asked = await read(await house.call("/v1/models/tests", { method: "POST" }));
    expect(asked).toMatchObject({ status: 202, body: { results: null } });
    const id = asked.body["id"] as string;
    const { db } = house.parts;
    expect(await takeModelTest(db, 60_000)).toBe(id);
    expect((await read(await house.call(`/v1/models/tests/${id}`))).body["results"]).toBeNull();
    const found = { name: "openai/planner", uses: ["plan" as const], ok: true, ms: 12, detail: "o\0k \uDC00" };
    await finishModelTest(db, id, [found]);
    expect(await read(await house.call(`/v1/models/tests/${id}`))).toMatchObject({
      status: 200,
      body: { id, results: [{ ...found, detail: "o\uFFFDk \uFFFD" }] },
    });
  });

  test("are nobody's but an admin's, since they cost tokens", async () => {
    for (const role of ["viewer", "operator"] as const) {
      const key = await house.addKey(role);
      expect((await house.call("/v1/models/tests", { method: "POST", key })).status).toBe(403);
      expect((await house.call("/v1/models/tests/mt_x", { key })).status).toBe(403);
    }
    expect((await house.call("/v1/models/tests", { method: "POST", key: null })).status).toBe(401);
    expect((await house.call("/v1/models/tests/mt_unknown")).status).toBe(404);
    expect((await house.call("/v1/models/tests", { body: { model: "x" } })).status).toBe(400);
  });

  test("are refused with 429 while ten of them wait, and again taken once those are done", async () => {
    const { db } = house.parts;
    const ids: string[] = [];
    for (let asked = 0; asked < 10; asked += 1) {
      const { status, body } = await read(await house.call("/v1/models/tests", { method: "POST" }));
      expect(status).toBe(202);
      ids.push(body["id"] as string);
    }
    expect(await read(await house.call("/v1/models/tests", { method: "POST" }))).toMatchObject({
      status: 429,
      body: { code: "rate_limited" },
    });
    for (const id of ids) await finishModelTest(db, id, []);
    expect((await house.call("/v1/models/tests", { method: "POST" })).status).toBe(202);
  });
});

describe("PUT /v1/goals/:id/models", () => {
  test("names models of a goal and of a task, each as a whole, and takes them back", async () => {
    const goal = await house.post();
    const { db } = house.parts;
    const of = await db
      .selectFrom("goals")
      .select(["retention", "goal_day", "tenant_id", "id as goal_id"])
      .where("id", "=", goal)
      .executeTakeFirstOrThrow();
    const task = {
      id: `${goal}_1`,
      key: "t1",
      number: 1,
      root_id: `${goal}_1`,
      text: "look",
      status: "ready" as const,
    };
    await db
      .insertInto("tasks")
      .values({ ...of, ...task } as never)
      .execute();
    expect(await put(goal, { models: { plan: "openai/a", execute: ["openai/b", "other/c"] } })).toMatchObject({
      status: 200,
      body: { models: { plan: ["openai/a"], execute: ["openai/b", "other/c"] } },
    });
    const tasked = await put(goal, { models: { hard: "openai/d" }, task: "t1" });
    expect(tasked.body).toMatchObject({
      models: { plan: ["openai/a"] },
      tasks: [{ key: "t1", models: { hard: ["openai/d"] } }],
    });
    expect((await put(goal, { models: { reflect: "openai/e" } })).body["models"]).toEqual({ reflect: ["openai/e"] });
    expect((await put(goal, { models: {} })).body["models"]).toBeNull();
    expect((await put(goal, { models: {}, task: `${goal}_1` })).body).toMatchObject({ tasks: [{ models: null }] });
  });

  test("an unknown task, another tenant's goal, an ended goal and a viewer change nothing", async () => {
    const goal = await house.post();
    const models = { plan: "openai/a" };
    expect(await put(goal, { models, task: "t9" })).toMatchObject({
      status: 400,
      body: { errors: [{ field: "task" }] },
    });
    expect((await put(goal, { models }, await house.addKey("operator", "t_other"))).status).toBe(404);
    expect((await put(goal, { models }, await house.addKey("viewer"))).status).toBe(403);
    expect((await put("g_0000000000000000", { models })).status).toBe(404);
    await house.call(`/v1/goals/${goal}/cancel`, { method: "POST" });
    expect(await put(goal, { models })).toMatchObject({
      status: 409,
      body: { detail: `goal ${goal} has already cancelled.` },
    });
    expect((await read(await house.call(`/v1/goals/${goal}`))).body["models"]).toBeNull();
  });

  test.each([
    [{ models: { plan: "gpt" } }, "models.plan"],
    [{ models: { plan: "openai/\0" } }, "models.plan"],
    [{ models: { plan: "openai/a\uD800" } }, "models.plan"],
    [{ models: { plan: "openai/a\u001b[2J" } }, "models.plan"],
    [{ models: { plan: [] } }, "models.plan"],
    [{ models: { plan: Array.from({ length: 9 }, () => "openai/a") } }, "models.plan"],
    [{ models: { plan: `openai/${"a".repeat(300)}` } }, "models.plan"],
    [{ models: { embed: "openai/a" } }, "models.embed"],
    [{ models: {}, task: "t\0" }, "task"],
    [{ models: {}, tasks: "t1" }, ""],
    [{}, "models"],
  ])("%j is refused by its field", async (body, field) => {
    const goal = await house.post();
    const refused = await put(goal, body);
    expect([
      refused.status,
      refused.body.errors?.map((each) => each.field.replace(/^models\.embed.*/, "models.embed")),
    ]).toEqual([400, expect.arrayContaining([expect.stringMatching(field === "" ? /.*/ : new RegExp(`^${field}`))])]);
  });
});

describe("what goals may name", () => {
  const posted = async (models: unknown) => read(await house.call("/v1/goals", { body: { text: "x", models } }));

  test("before any process has told its providers, whatever has the right form", async () => {
    expect(await posted({ plan: "anybody/a" })).toMatchObject({
      status: 202,
      body: { models: { plan: ["anybody/a"] } },
    });
  });

  test.each([
    ["any", "openai/new", null],
    ["any", "offline/rules", null],
    ["any", "nobody/a", 'no provider is called "nobody"; there are offline, openai'],
    ["routed", "openai/other", null],
    ["routed", "openai/new", "openai/new is in no route of this installation"],
    ["none", "openai/planner", "this installation lets no goal name models"],
  ] as const)("where overrides are %s, %s: %s", async (overrides, name, refused) => {
    const lease = await tellRoutes(overrides);
    const goal = await house.post();
    for (const { status, body } of [await posted({ plan: name }), await put(goal, { models: { plan: name } })])
      if (refused === null) expect([200, 202]).toContain(status);
      else expect([status, body.errors]).toEqual([400, [{ field: "models.plan", message: refused }]]);
    await forget(lease);
  });

  test("a repeated request means the same with one name and a list of one; with another model it is another request", async () => {
    const post = async (models: unknown) =>
      read(
        await house.call("/v1/goals", {
          body: { text: "once", models },
          headers: { "idempotency-key": "models-0123456789" },
        }),
      );
    const first = await post({ plan: "openai/a" });
    expect((await post({ plan: ["openai/a"] })).body["id"]).toBe(first.body["id"]);
    expect((await post({ plan: "openai/b" })).status).toBe(409);
  });
});

describe("usage", () => {
  test("of a goal by stage and model, of which a call without a price is counted apart; tools are no calls", async () => {
    const goal = (await house.post()) as GoalId;
    await addStep(goal, 1, {
      input_tokens: 100,
      cached_input_tokens: 40,
      output_tokens: 10,
      cost_micro_usd: 1500,
      duration_ms: 20,
      output: '{"firstTokenMs": 8}',
    });
    await addStep(goal, 2, { input_tokens: 50, output_tokens: 5, cost_micro_usd: 500, duration_ms: 40 });
    await addStep(goal, 3, { name: "local/free", input_tokens: 7, output_tokens: 3, duration_ms: 30, stage: "intake" });
    await addStep(goal, 4, { kind: "tool", name: "read_file", duration_ms: 999 });
    const { body } = await read(await house.call(`/v1/goals/${goal.slice(0, 12)}/usage`));
    const zero = { reasoning_tokens: 0, task: null };
    expect(body).toEqual({
      total: {
        calls: 3,
        input_tokens: 157,
        cached_input_tokens: 40,
        output_tokens: 18,
        reasoning_tokens: 0,
        usd: 0.002,
        unpriced_calls: 1,
        ms: 30,
        first_token_ms: 8,
      },
      rows: [
        {
          ...zero,
          stage: "intake",
          model: "local/free",
          calls: 1,
          input_tokens: 7,
          cached_input_tokens: 0,
          output_tokens: 3,
          usd: 0,
          unpriced_calls: 1,
          ms: 30,
          first_token_ms: null,
        },
        {
          ...zero,
          stage: "plan",
          model: "openai/planner",
          calls: 2,
          input_tokens: 150,
          cached_input_tokens: 40,
          output_tokens: 15,
          usd: 0.002,
          unpriced_calls: 0,
          ms: 30,
          first_token_ms: 8,
        },
      ],
    });
  });

  test("is a tenant's own: of its goals, of the days that are asked for", async () => {
    const key = await house.addKey("operator", "t_usage");
    const { id } = (await read(await house.call("/v1/goals", { key, body: { text: "x" } }))).body as { id: string };
    await addStep(id, 1, { input_tokens: 100, output_tokens: 10, cost_micro_usd: 2_000_000, duration_ms: 20 });
    const usage = async (query: string, as = key) =>
      (await read(await house.call(`/v1/usage${query}`, { key: as }))).body;
    const today = new Date().toISOString().slice(0, 10);
    expect(await usage("")).toMatchObject({
      from: `${today.slice(0, 8)}01`,
      to: today,
      total: { calls: 1, usd: 2 },
      rows: [{ model: "openai/planner", stage: "plan", calls: 1, usd: 2 }],
    });
    expect(await usage("?from=2020-01-01&to=2020-01-31")).toMatchObject({ total: { calls: 0, usd: 0 }, rows: [] });
    const other = await house.addKey("viewer", "t_nobody");
    expect(await usage("", other)).toMatchObject({ total: { calls: 0 }, rows: [] });
    expect((await house.call(`/v1/goals/${id}/usage`, { key: other })).status).toBe(404);
  });

  test.each([
    ["from=2026-02-30", "from"],
    ["from=yesterday", "from"],
    ["to=0000-01-01", "to"],
    ["from=2026-02-02&to=2026-02-01", "from"],
    ["from=2026-01-01&to=2026-04-03", "from"],
    ["since=2026-01-01", ""],
  ])("?%s is refused by its field", async (query, field) => {
    const { status, body } = await read(await house.call(`/v1/usage?${query}`));
    expect(status).toBe(400);
    expect(body.errors?.[0]?.field).toBe(field === "" ? body.errors?.[0]?.field : field);
  });

  test("reaches over 92 days and no more", async () => {
    expect((await house.call("/v1/usage?from=2026-01-01&to=2026-04-02")).status).toBe(200);
  });
});
