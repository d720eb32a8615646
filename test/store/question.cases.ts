/** What a goal asks its submitter, and who may answer when, on whichever database. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  answerQuestion,
  asPrincipal,
  cancelGoal,
  claimGoal,
  claimTasks,
  createId,
  createSubmitter,
  defaultBudget,
  eventsAfter,
  fireDueWaits,
  getGoal,
  noGuardCounts,
  pauseGoal,
  resumeGoal,
  submitGoal,
  type ClaimedGoal,
  type Database,
  type GoalChange,
  type GoalId,
  type NewGoal,
  type Principal,
  type QuestionRow,
  type TenantId,
} from "@outerloop/core";
import { sql } from "kysely";
import {
  brokenInvariants,
  createDriver,
  newLease,
  operator,
  questionRow,
  taskRows,
  type Driver,
} from "../support/goal-driver.ts";

export function questionCases(name: string, open: () => Promise<Database>): void {
  describe(`questions to a submitter on ${name}`, () => {
    let database: Database;
    let driver: Driver;
    let goal: GoalId;
    let claim: ClaimedGoal;
    beforeAll(async () => {
      database = await open();
      driver = await createDriver(database.db);
    }, 60_000);
    afterAll(() => database?.close());
    beforeEach(async () => {
      goal = await driver.submit();
      claim = (await claimGoal(driver.db, goal, driver.lease))!;
    });

    const commit = (change: GoalChange, id = createId("write"), fence = claim.fence) =>
      driver.door.commit({ id, goal, fence, ...change });
    const ask = async (more: Partial<QuestionRow> = {}) => {
      const question = questionRow(more);
      expect(await commit({ ask: question })).toMatchObject({ outcome: "won", goalStatus: "waiting" });
      return question;
    };
    const answer = (text: string, question: string | null = null, by = "Ann") =>
      answerQuestion(driver.db, operator, goal, { question, text, by });
    const row = () => driver.db.selectFrom("goals").selectAll().where("id", "=", goal).executeTakeFirstOrThrow();
    const questions = () =>
      driver.db.selectFrom("questions").selectAll().where("goal_id", "=", goal).orderBy("asked_at").execute();
    const typesOf = async () => (await eventsAfter(driver.db, goal, 0, 100)).map((event) => event.type);

    test("a goal that asks gives its claim and its reservations back, is planned by nobody, and wants its plan still", async () => {
      await commit({ reserve: 3 });
      await ask();
      expect(await row()).toMatchObject({
        status: "waiting",
        lease_id: null,
        dispatched_at: null,
        plan_wanted: 1,
        plan_reserved: 0,
        steps_reserved: 0,
        tokens_reserved: 0,
      });
      expect(await claimGoal(driver.db, goal, driver.lease)).toBeUndefined();
      expect(await brokenInvariants(driver.db)).toEqual([]);
    });

    test("its wall clock stands still until the answer is there", async () => {
      await ask();
      const { asleep_at: asleepAt, deadline_at: deadline } = await row();
      expect(asleepAt).not.toBeNull();
      await sql`UPDATE goals SET asleep_at = asleep_at - interval '1 hour' WHERE id = ${goal}`.execute(driver.db);
      await answer("go on");
      const after = await row();
      expect(after.asleep_at).toBeNull();
      const shiftMs = new Date(after.deadline_at).getTime() - new Date(deadline).getTime();
      expect(shiftMs).toBeGreaterThanOrEqual(3_600_000);
      expect(shiftMs).toBeLessThan(3_700_000);
    });

    test("an answer is kept with the goal, wakes its planner, and is told", async () => {
      const { id } = await ask({ about: "drift", text: "which?" });
      expect(await answer("the harbour", id)).toMatchObject({ kind: "moved", goal: { status: "running" } });
      const { clarifications, status } = await row();
      expect(clarifications).toMatchObject([{ about: "drift", question: "which?", answer: "the harbour", by: "Ann" }]);
      expect(status).toBe("running");
      expect(await typesOf()).toEqual(["goal.created", "goal.asked", "goal.answered"]);
      expect((await claimGoal(driver.db, goal, driver.lease))?.goal.clarifications).toHaveLength(1);
    });

    test("a question is answered once: the same answer again changes nothing, another is refused with who was first", async () => {
      const { id } = await ask();
      await answer("one", id);
      expect(await answer("one", id, "Ben")).toMatchObject({ kind: "unchanged" });
      expect(await answer("two", id, "Ben")).toMatchObject({ kind: "refused", why: expect.stringMatching(/Ann: one/) });
      expect(await answer("two")).toMatchObject({ kind: "refused", why: expect.stringMatching(/asks nothing now/) });
      expect((await row()).clarifications).toHaveLength(1);
      expect((await typesOf()).filter((type) => type === "goal.answered")).toHaveLength(1);
    });

    test("of two answers at once one is heard", async () => {
      const { id } = await ask();
      const both = await Promise.all([answer("one", id), answer("two", id, "Ben")]);
      expect(both.map((each) => each.kind).toSorted()).toEqual(["moved", "refused"]);
      expect((await row()).clarifications).toHaveLength(1);
      expect((await questions())[0]?.answer).toBe(both[0]!.kind === "moved" ? "one" : "two");
    });

    test("where nobody answers in time the default is taken, once, and a late answer is told so", async () => {
      const { id } = await ask({ for_ms: 0, default: "what there is" });
      const [fired, late] = await Promise.all([fireDueWaits(driver.db, 500), answer("late", id)]);
      const kept = (await questions())[0];
      if (late.kind === "moved") expect(kept).toMatchObject({ status: "answered", answer: "late", answered_by: "Ann" });
      else {
        expect(fired).toMatchObject({ fired: 1 });
        expect(kept).toMatchObject({ status: "answered", answer: "what there is", answered_by: null });
        expect(late).toMatchObject({ kind: "refused", why: expect.stringMatching(/by its default/) });
      }
      expect((await row()).clarifications).toHaveLength(1);
      expect(await fireDueWaits(driver.db, 500)).toMatchObject({ fired: 0 });
      expect((await row()).status).toBe("running");
    });

    test("the next deadline of a question is what upkeep wakes for", async () => {
      await ask({ for_ms: 1000 });
      const { nextMs } = await fireDueWaits(driver.db, 500);
      expect(nextMs).toBeGreaterThan(0);
      expect(nextMs).toBeLessThanOrEqual(1000);
      await answer("go on");
    });

    test("a question of a goal that is cancelled is withdrawn; nothing answers it any more", async () => {
      const { id } = await ask({ for_ms: 0 });
      const [cancelled, answered] = await Promise.all([cancelGoal(driver.db, operator, goal, null), answer("go", id)]);
      expect(cancelled).toMatchObject({ kind: "moved" });
      expect((await questions())[0]?.status).toBe(answered.kind === "moved" ? "answered" : "withdrawn");
      await fireDueWaits(driver.db, 500);
      expect(await answer("again", id)).toMatchObject({ kind: "refused" });
      expect((await row()).status).toBe("cancelled");
      expect((await typesOf()).at(-1)).toBe("goal.cancelled");
    });

    test("a goal that is paused while it asks is answered all the same, and goes on when it is resumed", async () => {
      const { id } = await ask();
      await pauseGoal(driver.db, operator, goal);
      expect((await getGoal(driver.db, operator, goal))?.question?.id).toBe(id);
      expect(await answer("go", id)).toMatchObject({
        kind: "moved",
        goal: { status: "paused", paused_from: "running" },
      });
      expect(await claimGoal(driver.db, goal, driver.lease)).toBeUndefined();
      await resumeGoal(driver.db, operator, goal);
      expect(await claimGoal(driver.db, goal, driver.lease)).toBeDefined();
    });

    test("one that is paused and resumed before the answer asks still, and its clock stands still again", async () => {
      await ask();
      await pauseGoal(driver.db, operator, goal);
      expect((await row()).asleep_at).toBeNull();
      await resumeGoal(driver.db, operator, goal);
      const after = await row();
      expect(after.status).toBe("waiting");
      expect(after.asleep_at).not.toBeNull();
      expect(await answer("go")).toMatchObject({ kind: "moved" });
    });

    test("a question whose deadline passes in a pause is answered by its default", async () => {
      await ask({ for_ms: 0 });
      await pauseGoal(driver.db, operator, goal);
      expect(await fireDueWaits(driver.db, 500)).toMatchObject({ fired: 1 });
      expect(await row()).toMatchObject({ status: "paused", paused_from: "running" });
    });

    test("a goal that is paused asks nothing; what was paid for may be given back", async () => {
      await pauseGoal(driver.db, operator, goal);
      expect(await commit({ ask: questionRow() })).toEqual({ outcome: "refused", why: "paused" });
      expect(await questions()).toEqual([]);
      expect(await commit({ release: { due_in_ms: 0 } })).toMatchObject({ outcome: "won" });
    });

    test("W3: a claim that was taken over asks nothing", async () => {
      await driver.db.updateTable("goals").set({ lease_id: null }).where("id", "=", goal).execute();
      await claimGoal(driver.db, goal, await newLease(driver.db));
      expect(await commit({ ask: questionRow(), guards: { ...noGuardCounts, stall: 2 } })).toEqual({
        outcome: "stale",
      });
      expect(await questions()).toEqual([]);
      expect(await row()).toMatchObject({ status: "planning", guards: {} });
    });

    test("W2: the same ask sent again asks once and wins twice", async () => {
      const id = createId("write");
      const question = questionRow();
      const intake = {
        intent: "x",
        entities: [],
        constraints: [],
        deliverable: "",
        risk: "",
        evidence: [],
        questions: [],
      };
      const change: GoalChange = {
        intake,
        ask: question,
        events: [{ type: "goal.understood", data: { intent: "x" } }],
      };
      for (let time = 0; time < 2; time += 1)
        expect(await commit(change, id)).toMatchObject({ outcome: "won", goalStatus: "waiting" });
      expect(await questions()).toHaveLength(1);
      expect(await row()).toMatchObject({ intake });
      await answer("go", question.id);
      expect(await commit(change, id), "whose answer came meanwhile").toMatchObject({ outcome: "won" });
      expect(await questions()).toHaveLength(1);
      expect(await typesOf()).toEqual(["goal.created", "goal.understood", "goal.asked", "goal.answered"]);
    });

    test("a goal waits for one answer at a time, whoever asks", async () => {
      await ask();
      const second = sql`SELECT ask_question(${goal}, ${JSON.stringify(questionRow())}::jsonb)`.execute(driver.db);
      await expect(second).rejects.toThrow(/questions_open_of_goal/);
      await answer("go");
      claim = (await claimGoal(driver.db, goal, driver.lease))!;
      await ask({ about: "stall" });
      expect(await questions()).toHaveLength(2);
    });

    test("what runs while its goal asks may finish; nothing else of it begins", async () => {
      const { rows, ids } = taskRows({ t1: [], t2: [] });
      await commit({ plan: { tasks: rows, read: 1 } });
      const running = await driver.claim(goal, ids["t1"]!);
      await sql`UPDATE goals SET plan_wanted = 1 WHERE id = ${goal}`.execute(driver.db);
      claim = (await claimGoal(driver.db, goal, driver.lease))!;
      await ask();
      const task = ids["t1"]!;
      const write = { id: createId("write"), goal, task, fence: running.fence };
      expect(await driver.door.commit({ ...write, move: { to: "reflecting", result: "r" } as const })).toMatchObject({
        outcome: "won",
        goalStatus: "waiting",
      });
      for (const [queue, key] of [
        ["reflect", "t1"],
        ["execute", "t2"],
      ] as const)
        expect((await claimTasks(driver.db, goal, queue, [ids[key]!], driver.lease, 1)).claimed).toEqual([]);
      await answer("go");
      expect((await claimTasks(driver.db, goal, "reflect", [task], driver.lease, 1)).claimed).toHaveLength(1);
      expect(await brokenInvariants(driver.db)).toEqual([]);
    });

    test("what was understood and counted stands when the goal is claimed again", async () => {
      const intake = {
        intent: "x",
        entities: [],
        constraints: [],
        deliverable: "",
        risk: "",
        evidence: [],
        questions: [],
      };
      const guards = { ...noGuardCounts, stall: 2 };
      await commit({ intake, guards });
      await commit({ release: { due_in_ms: 0 } });
      const again = await claimGoal(driver.db, goal, driver.lease);
      expect(again?.goal).toMatchObject({ intake, guards });
    });

    test("a review that asks for another plan wakes the planner, whatever the cadence", async () => {
      const { rows, ids } = taskRows({ t1: [], t2: [] });
      await commit({ plan: { tasks: rows, read: 1 } });
      for (const key of ["t1", "t2"]) await driver.execute(goal, ids[key]!);
      const [first] = (await claimTasks(driver.db, goal, "reflect", [ids["t1"]!], driver.lease, 1)).claimed;
      const write = { id: createId("write"), goal, task: ids["t1"]!, fence: first!.fence };
      await driver.door.commit({
        ...write,
        move: { to: "done", replan: true, reason: "its review asks for: more" } as const,
      });
      expect(await row()).toMatchObject({ plan_wanted: 1, live_tasks: 1 });
      const done = await driver.db.selectFrom("tasks").select("reason").where("id", "=", ids["t1"]!).executeTakeFirst();
      expect(done?.reason).toBe("its review asks for: more");
    });

    test("another tenant sees no question and answers none", async () => {
      const other = { ...operator, tenantId: "t_other" as TenantId } as Principal;
      await sql`INSERT INTO tenants (id, name) VALUES ('t_other', 'other') ON CONFLICT DO NOTHING`.execute(driver.db);
      const { id } = await ask();
      expect(await getGoal(driver.db, other, goal)).toBeUndefined();
      for (const question of [id, null])
        expect(await answerQuestion(driver.db, other, goal, { question, text: "mine", by: "Eve" })).toEqual({
          kind: "gone",
        });
      // Also where a statement forgets to name the tenant: the database does.
      const seen = (principal: Principal) =>
        asPrincipal(driver.db, principal, (trx) =>
          trx.selectFrom("questions").selectAll().where("id", "=", id).execute(),
        );
      const taken = (principal: Principal) =>
        asPrincipal(driver.db, principal, (trx) =>
          trx.updateTable("questions").set({ text: "mine" }).where("id", "=", id).executeTakeFirst(),
        );
      expect(await seen(other)).toEqual([]);
      expect((await taken(other)).numUpdatedRows).toBe(0n);
      expect(await seen(operator)).toHaveLength(1);
      await answer("go", id);
    });

    test("how long a goal may wait is kept, whichever way it was submitted", async () => {
      const posted = (questionsWaitMs: number | null, session: string | null = null): NewGoal => ({
        text: "a goal",
        session,
        budget: defaultBudget,
        planning: { cadence: "adaptive" },
        priority: 0,
        labels: {},
        attachments: [],
        questionsWaitMs,
        idempotency: null,
      });
      const submitter = createSubmitter(driver.db, createId);
      const submitted = await Promise.all([
        submitGoal(driver.db, operator, posted(5000), createId),
        submitter.submit(operator, posted(6000)),
        submitter.submit(operator, posted(7000, "s")),
        submitter.submit(operator, posted(null)),
      ]);
      const waits = submitted.map((each) => (each.kind === "created" ? each.goal.questions_wait_ms : "?"));
      expect(waits).toEqual([5000, 6000, 7000, null]);
      await expect(submitGoal(driver.db, operator, posted(0), createId)).rejects.toThrow(/questions_wait_ms/);
    });
  });
}
