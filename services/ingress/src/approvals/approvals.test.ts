import { afterAll, beforeAll, expect, test } from "vitest";
import type { ApprovalResource } from "@outerloop/core/domain";
import { openHouse, type House } from "../testing/house.ts";

let house: House;
let goal: string;
beforeAll(async () => {
  house = await openHouse({
    tools: {
      get: (name) => (name === "send" ? ({} as never) : undefined),
      check: ({ args }) => (typeof args["to"] === "string" ? null : "to: must be a string"),
    },
  });
  goal = await house.post();
  const { pool } = house.parts.database;
  await pool.query(
    `INSERT INTO tasks (id, tenant_id, goal_id, retention, goal_day, key, number, root_id, text, status) SELECT 't_1', tenant_id, id, retention, goal_day, 't1', 1, 't_1', 'x', 'running' FROM goals WHERE id = $1`,
    [goal],
  );
  await pool.query(
    `INSERT INTO waits (id, tenant_id, goal_id, task_id, attempt, seq, kind, name, subject, hash, deadline_at, on_deadline, created_at)
     SELECT 'a_' || lpad(n::text, 16, '0'), tenant_id, goal_id, id, 1, n, 'approval', CASE WHEN n = 9 THEN 'unknown_here' ELSE 'send' END,
       '{"tool": "send", "version": "1", "policy": "p", "args": {"to": "a"}}', 'hash', now() + interval '1 day', 'reject', now() + n * interval '1 second'
     FROM tasks, generate_series(1, 9) n WHERE id = 't_1'`,
  );
});
afterAll(() => house[Symbol.asyncDispose]());

const idOf = (n: number) => `a_${String(n).padStart(16, "0")}`;
const decide = (n: number, body: unknown, key?: string) =>
  house.call(`/v1/approvals/${idOf(n)}`, {
    method: "POST",
    body,
    headers: { "content-type": "application/json" },
    ...(key !== undefined && { key }),
  });

test("what is open is listed newest first, in pages that neither miss nor repeat", async () => {
  const ids: string[] = [];
  let cursor: string | null = null;
  do {
    const page = (await (
      await house.call(`/v1/approvals?goal=${goal}&limit=4${cursor === null ? "" : `&cursor=${cursor}`}`)
    ).json()) as { items: ApprovalResource[]; next_cursor: string | null };
    ids.push(...page.items.map((each) => each.id));
    cursor = page.next_cursor;
  } while (cursor !== null);
  expect(ids).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1].map(idOf));
});

test("an id that is none, or another tenant's, is not found", async () => {
  for (const id of ["a%00b", "x", idOf(99)]) {
    expect((await house.call(`/v1/approvals/${id}`)).status).toBe(404);
    const body = { decision: "approve" };
    expect((await house.call(`/v1/approvals/${id}`, { method: "POST", body })).status).toBe(404);
  }
  const stranger = await house.addKey("admin", "another");
  expect((await decide(1, { decision: "approve" }, stranger)).status).toBe(404);
  expect((await house.call(`/v1/approvals/${idOf(1)}`, { key: stranger })).status).toBe(404);
});

test("a viewer sees approvals and decides none", async () => {
  const viewer = await house.addKey("viewer");
  expect((await house.call("/v1/approvals", { key: viewer })).status).toBe(200);
  expect((await decide(1, { decision: "approve" }, viewer)).status).toBe(403);
});

test("edited arguments are refused where they cannot be kept, run or read", async () => {
  const deepText = `{"decision":"edit","args":{"to":${JSON.stringify("x")},"deep":${"[".repeat(20_000)}${"]".repeat(20_000)}}}`;
  for (const body of [
    { decision: "edit", args: { to: "a\0b" } },
    { decision: "edit", args: { to: "\ud83d" } },
    { decision: "edit", args: { to: 7 } },
    { decision: "edit" },
    { decision: "edit", args: [] },
    { decision: "approve", args: {} },
    deepText,
  ])
    expect([body, (await decide(2, body)).status]).toEqual([body, 400]);
  expect(((await (await house.call(`/v1/approvals/${idOf(2)}`)).json()) as ApprovalResource).status).toBe("open");
  // A tool that only its executor knows is checked there.
  expect((await decide(9, { decision: "edit", args: { any: 1 } })).status).toBe(200);
});

test("a decision counts once; the same again changes nothing, another is a conflict that names the first", async () => {
  const first = (await (await decide(3, { decision: "reject", reason: "no" })).json()) as ApprovalResource;
  expect(first).toMatchObject({ status: "decided", decision: { decision: "reject", reason: "no" } });
  expect((await decide(3, { decision: "reject", reason: "no" })).status).toBe(200);
  const other = await decide(3, { decision: "approve" });
  expect(other.status).toBe(409);
  expect(await other.text()).toMatch(/decided already: reject by key/);
  expect((await decide(4, { decision: "approve", hash: "of another call" })).status).toBe(409);
  expect((await decide(4, { decision: "happened" })).status).toBe(409);
  expect((await decide(4, { decision: "approve", hash: "hash" })).status).toBe(200);
});

test("a signal that nests too deep is refused, and one that cannot be kept as it is is the same signal again", async () => {
  const signal = (body: unknown, key = "k") =>
    house.call(`/v1/goals/${goal}/signals`, {
      method: "POST",
      body,
      headers: { "content-type": "application/json", "idempotency-key": key },
    });
  expect((await signal(`{"name":"x","payload":${"[".repeat(5000)}${"]".repeat(5000)}}`)).status).toBe(400);
  expect((await signal({ name: "x", payload: "a\0b" })).status).toBe(200);
  expect((await signal({ name: "x", payload: "a\0b" })).status).toBe(200);
  expect((await signal({ name: "x", payload: "a\0b", task: "t1" })).status).toBe(409);
  await house.call(`/v1/goals/${goal}/cancel`, { method: "POST", body: {} });
  // Sent again by who did not hear the answer.
  expect((await signal({ name: "x", payload: "a\0b" })).status).toBe(200);
  expect((await signal({ name: "y" }, "another")).status).toBe(409);
});
