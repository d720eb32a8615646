import {
  createId,
  claimGoal,
  renewLease,
  createDoor,
  defaultBatchLimits,
  createStore,
  type GoalId,
  type GoalResource,
} from "@outerloop/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openHouse, type House } from "../testing/house.ts";

let house: House;
beforeAll(async () => {
  house = await openHouse();
});
afterAll(() => house[Symbol.asyncDispose]());

/** Ends a goal as its planner does where its step budget is spent. */
async function exhaust(goal: string): Promise<void> {
  const { db } = house.parts;
  const lease = createId("lease");
  await renewLease(db, { id: lease, service: "test", host: "test", pid: 1 }, 60_000);
  const door = createDoor(
    createStore(db),
    { jobs: async () => undefined, events: () => undefined },
    { tenantCap: 100, ...defaultBatchLimits, clock: Date.now, pause: async () => undefined },
  );
  await db.updateTable("goals").set({ exhausted: "step_budget", steps_used: 5 }).where("id", "=", goal).execute();
  const claim = (await claimGoal(db, goal as GoalId, lease))!;
  await door.commit({
    id: createId("write"),
    goal: goal as GoalId,
    fence: claim.fence,
    end: { to: "failed", reason: "step_budget", answer: "so far" },
  });
}

const resume = (goal: string, body: unknown, key?: string) =>
  house.call(`/v1/goals/${goal}/resume`, { body, ...(key === undefined ? {} : { key }) });

describe("POST /v1/goals/:id/resume", () => {
  test("gives a goal that failed on a budget more of it", async () => {
    const goal = await house.post({ budget: { steps: 5 } });
    await exhaust(goal);
    const answer = await resume(goal, { budget: { steps: 9, tokens: 5000, wall_ms: 60_000, usd: 2 } });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({
      status: "running",
      reason: null,
      ended_at: null,
      budget: { steps: 9, tokens: 5000, wall_ms: 60_000, usd: 2 },
    } satisfies Partial<GoalResource>);
  });

  test("refuses totals that are not larger than what is spent, by field", async () => {
    const goal = await house.post({ budget: { steps: 5 } });
    await exhaust(goal);
    const answer = await resume(goal, { budget: { steps: 5 } });
    expect([answer.status, await answer.json()]).toEqual([
      400,
      expect.objectContaining({
        errors: [{ field: "budget.steps", message: "must be larger than 5, which is spent" }],
      }),
    ]);
    const none = await resume(goal, {});
    expect([none.status, await none.json()]).toEqual([
      400,
      expect.objectContaining({
        errors: [{ field: "budget.steps", message: "must be given and larger than 5, which is spent" }],
      }),
    ]);
    expect((await resume(goal, { budget: { steps: "many" } })).status).toBe(400);
  });

  test("lets a watcher who had seen the end go on", async () => {
    const goal = await house.post({ budget: { steps: 5 } });
    await exhaust(goal);
    expect((await house.call(`/v1/goals/${goal}/events?after=2`)).status).toBe(204);
    await resume(goal, { budget: { steps: 6 } });
    await house.call(`/v1/goals/${goal}/cancel`, { method: "POST" });
    const stream = await (await house.call(`/v1/goals/${goal}/events?after=2`)).text();
    expect([...stream.matchAll(/^event: (.*)$/gm)].map((match) => match[1])).toEqual([
      "goal.resumed",
      "goal.cancelled",
    ]);
  });
});

describe("POST /v1/goals/:id/retry", () => {
  test("is a conflict with its reason where nothing waits, where the goal is paused, and where it has ended", async () => {
    const goal = await house.post();
    const retry = () => house.call(`/v1/goals/${goal}/retry`, { method: "POST" });
    const says = async () => {
      const answer = await retry();
      return [answer.status, ((await answer.json()) as { detail: string }).detail];
    };
    expect(await says()).toEqual([409, expect.stringContaining("nothing of goal")]);
    await house.call(`/v1/goals/${goal}/pause`, { method: "POST" });
    expect(await says()).toEqual([409, expect.stringContaining("is paused: resume it instead")]);
    await house.call(`/v1/goals/${goal}/cancel`, { method: "POST" });
    expect(await says()).toEqual([409, expect.stringContaining("has already cancelled")]);
  });

  test("makes what backs off due now and says what that was", async () => {
    const goal = await house.post();
    await house.parts.database.pool.query(
      "UPDATE goals SET plan_backoffs = 3, due_at = now() + interval '5 minutes', dispatched_at = NULL WHERE id = $1",
      [goal],
    );
    const answer = await house.call(`/v1/goals/${goal}/retry`, { method: "POST" });
    expect([answer.status, await answer.json()]).toEqual([
      200,
      { goal: expect.objectContaining({ id: goal }) as object, plan: true, tasks: [] },
    ]);
    expect((await house.call(`/v1/goals/${goal}/retry`, { method: "POST" })).status).toBe(409);
  });
});

describe("/v1/budget", () => {
  test("is set by an admin, replaced whole, and read by anybody of the tenant", async () => {
    const put = (body: unknown, key?: string) =>
      house.call("/v1/budget", { method: "PUT", body, ...(key === undefined ? {} : { key }) });
    expect(await (await house.call("/v1/budget")).json()).toEqual({ day: null, month: null, total: null });
    const set = await put({ day: { steps: 100, usd: 2.5 }, total: { tokens: 1_000_000 } });
    expect([set.status, await set.json()]).toEqual([
      200,
      {
        day: {
          limits: { steps: 100, tokens: null, usd: 2.5 },
          used: { steps: 0, tokens: 0, usd: 0 },
          held: { steps: 0, tokens: 0, usd: 0 },
          until: expect.stringMatching(/T00:00:00\.000Z$/) as string,
        },
        month: null,
        total: expect.objectContaining({
          limits: { steps: null, tokens: 1_000_000, usd: null },
          until: null,
        }) as object,
      },
    ]);
    expect(await (await put({ month: { steps: 7 } })).json()).toMatchObject({
      day: null,
      month: { limits: { steps: 7 } },
    });
    const viewer = await house.addKey("viewer");
    expect((await house.call("/v1/budget", { key: viewer })).status).toBe(200);
    expect((await put({}, await house.addKey("operator"))).status).toBe(403);
    const stranger = await house.addKey("admin", "other");
    expect(await (await house.call("/v1/budget", { key: stranger })).json()).toMatchObject({ month: null });
    for (const [body, field] of [
      [{ day: {} }, "day"],
      [{ day: { steps: -1 } }, "day.steps"],
      [{ year: { steps: 1 } }, "year"],
    ] as const) {
      const refused = await put(body);
      expect([refused.status, await refused.json()]).toEqual([
        400,
        expect.objectContaining({ errors: [expect.objectContaining({ field }) as object] }),
      ]);
    }
    await put({});
  });
});
