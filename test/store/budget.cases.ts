/** What budgets promise (DESIGN §6), on whichever database: run by `embedded.test.ts` and `postgres.test.ts`. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  cancelGoal,
  claimGoal,
  claimTasks,
  createId,
  eventsAfter,
  pauseGoal,
  resumeGoal,
  warnOfWall,
  type ClaimedTask,
  type Database,
  type GoalId,
  type TaskChange,
} from "@outerloop/core";
import { sql } from "kysely";
import { brokenInvariants, createDriver, operator, taskRows, type Driver } from "../support/goal-driver.ts";

export function budgetCases(name: string, open: () => Promise<Database>): void {
  describe(`budgets on ${name}`, () => {
    let database: Database;
    let driver: Driver;
    let seq = 0;
    beforeAll(async () => {
      database = await open();
      driver = await createDriver(database.db);
    }, 60_000);
    afterAll(async () => {
      expect(await brokenInvariants(driver.db)).toEqual([]);
      await database?.close();
    });

    const goalRow = (goal: GoalId) =>
      driver.db.selectFrom("goals").selectAll().where("id", "=", goal).executeTakeFirstOrThrow();
    const commit = (goal: GoalId, claim: ClaimedTask, change: TaskChange) =>
      driver.door.commit({ id: createId("write"), goal, task: claim.task.id, fence: claim.fence, ...change });
    /** A model step that was billed so much. */
    const spend = (goal: GoalId, claim: ClaimedTask, tokens: number, costMicroUsd = 0, change: TaskChange = {}) =>
      commit(goal, claim, {
        steps: [
          {
            attempt: claim.task.attempt,
            seq: (seq += 1),
            phase: "result",
            stage: "execute",
            kind: "model",
            name: "m",
            input: {},
            output: {},
            ok: true,
            duration_ms: 1,
          },
        ],
        settle: { steps: 1, tokens, cost_micro_usd: costMicroUsd, cost_unknown: false },
        ...change,
      });
    /** As the planner does where a budget is spent. */
    async function endExhausted(goal: GoalId): Promise<void> {
      const planner = (await claimGoal(driver.db, goal, driver.lease))!;
      const reason = planner.row.exhausted as "step_budget";
      expect(reason).not.toBeNull();
      expect(
        await driver.door.commit({
          id: createId("write"),
          goal,
          fence: planner.fence,
          end: { to: "failed", reason, answer: "so far" },
        }),
      ).toMatchObject({ outcome: "won" });
    }
    const warnings = async (goal: GoalId) =>
      (await eventsAfter(driver.db, goal, 0, 1000))
        .filter((event) => event.type === "budget.warning")
        .map((event) => event.data);

    describe("more of a budget", () => {
      async function failed(budget: Parameters<Driver["submit"]>[1] = { steps: 2 }): Promise<GoalId> {
        const goal = await driver.submit("small", budget);
        const { t1 } = await driver.plan(goal, { t1: [], t2: ["t1"] });
        const claim = await driver.claim(goal, t1!);
        await spend(goal, claim, 10, 0, { reserve: 1 });
        await spend(goal, claim, 10, 0, { reserve: 1 });
        await endExhausted(goal);
        return goal;
      }

      test("a goal that failed on a budget goes on when given more than is spent, and its planner is asked", async () => {
        const goal = await failed();
        const before = await goalRow(goal);
        expect(before).toMatchObject({ status: "failed", reason: "step_budget", answer: "so far" });
        const steered = await resumeGoal(driver.db, operator, goal, { steps: 5 });
        expect(steered).toMatchObject({
          kind: "moved",
          goal: { status: "running", reason: null, answer: null, ended_at: null, exhausted: null, budget_steps: 5 },
        });
        const tasks = await driver.db
          .selectFrom("tasks")
          .select(["key", "status", "reason"])
          .where("goal_id", "=", goal)
          .orderBy("number")
          .execute();
        expect(tasks).toEqual(["t1", "t2"].map((key) => ({ key, status: "cancelled", reason: "goal_ended" })));
        const { t3 } = await driver.plan(goal, { t3: [] });
        await spend(goal, await driver.claim(goal, t3!), 10);
        expect(
          (await eventsAfter(driver.db, goal, 0, 100)).find((event) => event.type === "goal.resumed")?.data,
        ).toEqual({
          budget: { steps: 5, tokens: before.budget_tokens, wall_ms: before.budget_wall_ms, usd: null },
        });
      });

      test("a total that is not above what is spent is refused with its field, also one that was not given", async () => {
        const goal = await failed();
        for (const [more, message] of [
          [{ steps: 2 }, /must be larger than 2/],
          [{ tokens: 5_000_000 }, /must be given and larger than 2/],
        ] as const)
          await expect(resumeGoal(driver.db, operator, goal, more)).rejects.toMatchObject({
            code: "invalid_input",
            fields: [{ field: "budget.steps", message: expect.stringMatching(message) as string }],
          });
        await expect(resumeGoal(driver.db, operator, goal, { steps: 9, tokens: 20 })).rejects.toMatchObject({
          fields: [{ field: "budget.tokens" }],
        });
        expect((await goalRow(goal)).status).toBe("failed");
      });

      test("the wall clock stood still between the end and the resumption, and more time is a later deadline", async () => {
        const goal = await failed({ steps: 2, wallMs: 60_000 });
        await sql`UPDATE goals SET ended_at = ended_at - interval '1 day', deadline_at = deadline_at - interval '1 day' WHERE id = ${goal}`.execute(
          driver.db,
        );
        await resumeGoal(driver.db, operator, goal, { steps: 9, wallMs: 120_000 });
        const { rows } = await sql<{
          left_ms: number;
        }>`SELECT (extract(epoch FROM deadline_at - clock_timestamp()) * 1000)::float8 AS left_ms FROM goals WHERE id = ${goal}`.execute(
          driver.db,
        );
        expect(rows[0]!.left_ms).toBeGreaterThan(100_000);
        expect(rows[0]!.left_ms).toBeLessThanOrEqual(120_000);
      });

      test("a goal that runs or is paused is given more, not less", async () => {
        const goal = await driver.submit("small", { steps: 3 });
        expect((await resumeGoal(driver.db, operator, goal, { steps: 6 })).kind).toBe("moved");
        await expect(resumeGoal(driver.db, operator, goal, { steps: 5 })).rejects.toMatchObject({
          fields: [{ field: "budget.steps", message: expect.stringContaining("at least 6") as string }],
        });
        await pauseGoal(driver.db, operator, goal);
        expect(await resumeGoal(driver.db, operator, goal, { steps: 7 })).toMatchObject({
          goal: { status: "queued", budget_steps: 7 },
        });
        expect((await resumeGoal(driver.db, operator, goal)).kind).toBe("unchanged");
      });

      test("a goal that ended otherwise stays ended", async () => {
        const goal = await driver.submit();
        await cancelGoal(driver.db, operator, goal, null);
        expect((await resumeGoal(driver.db, operator, goal, { steps: 1000 })).kind).toBe("refused");
      });

      test("a price that is not known is no money budget, so only none at all is taken", async () => {
        const goal = await driver.submit("dear", { microUsd: 1_000_000 });
        const { t1 } = await driver.plan(goal, { t1: [] });
        const claim = await driver.claim(goal, t1!);
        const hold = { tokens: 100, need_tokens: 100, micro_usd: 0, need_micro_usd: 0, unpriced: true };
        expect(await commit(goal, claim, { hold })).toMatchObject({ spent: "cost_budget" });
        await endExhausted(goal);
        await expect(resumeGoal(driver.db, operator, goal, { microUsd: 9_000_000 })).rejects.toMatchObject({
          fields: [{ field: "budget.usd" }],
        });
        expect((await resumeGoal(driver.db, operator, goal, { microUsd: null })).kind).toBe("moved");
      });
    });

    describe("the warning", () => {
      test("comes once at 80 % of steps, tokens and money, and again at 80 % of more", async () => {
        const goal = await driver.submit("warned", { steps: 5, tokens: 1000, microUsd: 2_000_000 });
        const { t1 } = await driver.plan(goal, { t1: [] });
        const claim = await driver.claim(goal, t1!);
        await spend(goal, claim, 790, 100_000, { reserve: 1 });
        expect(await warnings(goal)).toEqual([]);
        await spend(goal, claim, 10, 100_000, { reserve: 1 });
        expect(await warnings(goal)).toEqual([{ budget: "tokens", used: 800, limit: 1000 }]);
        await spend(goal, claim, 1, 1_400_000, { reserve: 1 });
        await spend(goal, claim, 1, 0, { reserve: 1 });
        expect((await warnings(goal)).slice(1)).toEqual([
          { budget: "usd", used: 1.6, limit: 2 },
          { budget: "steps", used: 4, limit: 5 },
        ]);
        await resumeGoal(driver.db, operator, goal, { steps: 10 });
        for (let n = 0; n < 4; n++) await spend(goal, claim, 1, 0, { reserve: 1 });
        expect((await warnings(goal)).slice(3)).toEqual([{ budget: "steps", used: 8, limit: 10 }]);
      });

      test("comes once at 80 % of the wall clock, which no commit drives, and again when there was more", async () => {
        const goal = await driver.submit("slow", { wallMs: 100_000 });
        const pass = (seconds: number) =>
          sql`UPDATE goals SET deadline_at = deadline_at - make_interval(secs => ${seconds}), wall_warn_at = wall_warn_at - make_interval(secs => ${seconds}) WHERE id = ${goal}`.execute(
            driver.db,
          );
        const ours = async () => (await warnOfWall(driver.db, 100)).filter((each) => each.goalId === goal);
        await pass(70);
        expect(await ours()).toEqual([]);
        await pass(12);
        expect(await ours()).toEqual([{ goalId: goal, eventSeq: 2 }]);
        expect(await ours()).toEqual([]);
        expect(await warnings(goal)).toEqual([
          {
            budget: "wall_ms",
            used: expect.toSatisfy((used: number) => used >= 82_000 && used < 90_000) as number,
            limit: 100_000,
          },
        ]);
        await resumeGoal(driver.db, operator, goal, { wallMs: 200_000 });
        expect(await ours()).toEqual([]);
        await pass(80);
        expect(await ours()).toHaveLength(1);
      });

      test("stands still with the wall clock in a pause", async () => {
        const goal = await driver.submit("paused", { wallMs: 100_000 });
        await pauseGoal(driver.db, operator, goal);
        await sql`UPDATE goals SET paused_at = paused_at - interval '90 seconds', deadline_at = deadline_at - interval '90 seconds', wall_warn_at = wall_warn_at - interval '90 seconds' WHERE id = ${goal}`.execute(
          driver.db,
        );
        expect((await warnOfWall(driver.db, 100)).map((each) => each.goalId)).not.toContain(goal);
        await resumeGoal(driver.db, operator, goal);
        expect((await warnOfWall(driver.db, 100)).map((each) => each.goalId)).not.toContain(goal);
      });
    });

    describe("tokens and money", () => {
      test("are held before a call: what would pass the budget waits while others hold some of it, then ends the goal", async () => {
        const goal = await driver.submit("small", { tokens: 1000 });
        const ids = await driver.plan(goal, { t1: [], t2: [] });
        const one = await driver.claim(goal, ids["t1"]!);
        const two = await driver.claim(goal, ids["t2"]!);
        const hold = (tokens: number, need = tokens) => ({
          tokens,
          need_tokens: need,
          micro_usd: 0,
          need_micro_usd: 0,
        });
        expect(await commit(goal, one, { hold: hold(700) })).toMatchObject({ spent: null, held: { tokens: 700 } });
        // Less than asked for, but what is needed.
        const cut = await commit(goal, two, { hold: hold(900, 200) });
        expect(cut).toMatchObject({ spent: null });
        expect(cut.outcome === "won" && cut.held.tokens).toBe(300);
        expect(await commit(goal, two, { hold: hold(400) })).toMatchObject({ spent: "wait" });
        // The bill is less than was held; the rest is free for the other.
        await spend(goal, one, 150);
        expect(await commit(goal, two, { hold: hold(400) })).toMatchObject({ spent: null, held: { tokens: 400 } });
        await spend(goal, two, 400);
        expect(await goalRow(goal)).toMatchObject({ tokens_used: 550, tokens_reserved: 0 });
        expect(await commit(goal, two, { hold: hold(451) })).toMatchObject({ spent: "token_budget" });
        expect(await goalRow(goal)).toMatchObject({ exhausted: "token_budget", exhausted_period: null });
      });

      test("a refused claim comes back for all that it needs, so two that hold a part never wait for one another", async () => {
        const goal = await driver.submit("small", { steps: 3 });
        const ids = await driver.plan(goal, { t1: [], t2: [] });
        const [one, two] = [await driver.claim(goal, ids["t1"]!), await driver.claim(goal, ids["t2"]!)];
        for (const claim of [one, two]) {
          expect(await commit(goal, claim, { reserve: 2 })).toMatchObject({ spent: "wait" });
        }
        for (const claim of [one, two]) await commit(goal, claim, { move: { to: "released" } });
        const again = await driver.claim(goal, ids["t1"]!);
        expect(again.held.steps).toBe(3);
        expect((await claimTasks(driver.db, goal, "execute", [ids["t2"]!], driver.lease, 1)).claimed).toEqual([]);
        await commit(goal, again, { move: { to: "released" } });
      });

      test("money is held like tokens", async () => {
        const goal = await driver.submit("small", { microUsd: 1000 });
        const ids = await driver.plan(goal, { t1: [], t2: [] });
        const [one, two] = [await driver.claim(goal, ids["t1"]!), await driver.claim(goal, ids["t2"]!)];
        const hold = (micro: number) => ({ tokens: 10, need_tokens: 10, micro_usd: micro, need_micro_usd: micro });
        expect(await commit(goal, one, { hold: hold(700) })).toMatchObject({
          spent: null,
          held: { microUsd: 700, money: true },
        });
        expect(await commit(goal, two, { hold: hold(400) })).toMatchObject({ spent: "wait" });
        await spend(goal, one, 10, 650);
        expect(await commit(goal, two, { hold: hold(400) })).toMatchObject({ spent: "cost_budget" });
      });

      test("whatever eight workers ask for, spend and give back at once, the books never pass the budget", async () => {
        const random = seededRandom(20_261_121);
        const upTo = (most: number) => Math.floor(random() * (most + 1));
        for (let round = 0; round < 5; round += 1) {
          const goal = await driver.submit("shared", { steps: 60, tokens: 5000, microUsd: 5000 });
          const ids = await driver.plan(
            goal,
            Object.fromEntries(Array.from({ length: 8 }, (_, index) => [`t${index + 1}`, []])),
          );
          const check = async () => {
            const row = await goalRow(goal);
            expect(row.steps_used + row.steps_reserved).toBeLessThanOrEqual(60);
            expect(row.tokens_used + row.tokens_reserved).toBeLessThanOrEqual(5000);
            expect(row.cost_micro_usd + row.cost_reserved).toBeLessThanOrEqual(5000);
          };
          await Promise.all(
            Object.values(ids).map(async (id) => {
              for (let turn = 0; turn < 12; turn += 1) {
                await sql`UPDATE tasks SET due_at = clock_timestamp() WHERE id = ${id}`.execute(driver.db);
                const [claim] = (await claimTasks(driver.db, goal, "execute", [id], driver.lease, 1)).claimed;
                if (claim === undefined) continue;
                const need = { need_tokens: upTo(700), need_micro_usd: upTo(700) };
                const hold = {
                  ...need,
                  tokens: need.need_tokens + upTo(500),
                  micro_usd: need.need_micro_usd + upTo(500),
                };
                const asked = await commit(goal, claim, { hold, reserve: upTo(3) });
                await check();
                if (asked.outcome === "won" && asked.spent === null && random() < 0.8) {
                  // A provider bills at most what was held for the call.
                  const { tokens, microUsd } = asked.held;
                  await spend(goal, claim, upTo(tokens), upTo(microUsd), random() < 0.5 ? { reserve: upTo(2) } : {});
                  await check();
                }
                // Some give back, some die: the next claim finds what the dead one held.
                if (random() < 0.7) await commit(goal, claim, { move: { to: "released" } });
                else await sql`UPDATE tasks SET lease_id = NULL WHERE id = ${id}`.execute(driver.db);
                await check();
              }
            }),
          );
          expect(await brokenInvariants(driver.db)).toEqual([]);
          const row = await goalRow(goal);
          expect(row.tokens_used + row.steps_used).toBeGreaterThan(500);
        }
      }, 120_000);

      test("W2: a refusal whose reply was lost is a refusal when the write comes again", async () => {
        const goal = await driver.submit("small", { steps: 1 });
        const { t1 } = await driver.plan(goal, { t1: [] });
        const claim = await driver.claim(goal, t1!);
        const write = { id: createId("write"), goal, task: t1!, fence: claim.fence, reserve: 3 } as const;
        expect(await driver.door.commit(write)).toMatchObject({ outcome: "won", spent: "step_budget" });
        expect(await driver.door.commit(write)).toMatchObject({ outcome: "won", spent: "wait" });
      });

      test("what a planner holds goes back with its claim", async () => {
        const goal = await driver.submit("small", { tokens: 10_000 });
        const planner = (await claimGoal(driver.db, goal, driver.lease))!;
        const write = () => ({ id: createId("write"), goal, fence: planner.fence });
        expect(planner.held).toMatchObject({ steps: 1, tokens: 625 });
        const hold = { tokens: 9000, need_tokens: 5000, micro_usd: 0, need_micro_usd: 0 };
        expect(await driver.door.commit({ ...write(), hold })).toMatchObject({ spent: null, held: { tokens: 9000 } });
        const { rows } = taskRows({ t1: [] });
        await driver.door.commit({ ...write(), plan: { tasks: rows, read: planner.row.plan_wanted } });
        expect(await goalRow(goal)).toMatchObject({ tokens_reserved: 0, plan_tokens_reserved: 0 });
      });
    });
  });
}

/** mulberry32: the same run every time. */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
