/** What the one door promises, on whichever database: run by `door.test.ts` for each. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  cancelGoal,
  claimGoal,
  claimTasks,
  createId,
  defaultBudget,
  eventsAfter,
  getGoal,
  getStep,
  goalMoves,
  goalStatuses,
  listArtifacts,
  listOwnClaims,
  listSteps,
  loadSteps,
  mayGoalMove,
  pauseGoal,
  readArtifact,
  journalFormat,
  releaseDeadClaims,
  releaseOwnClaim,
  renewLease,
  resolveGoalId,
  resumeGoal,
  signalGoal,
  approvalHash,
  decideApproval,
  fireDueWaits,
  listApprovals,
  loadEffects,
  loadWaits,
  type Decision,
  type TaskChange,
  type WaitId,
  submitGoal,
  taskMoves,
  taskStatuses,
  type Database,
  type GoalId,
  type TaskId,
  type TaskWrite,
  type TenantId,
  wakePlanners,
} from "@outerloop/core";
import { sql } from "kysely";
import {
  brokenInvariants,
  createDriver,
  newLease,
  operator,
  taskRows,
  waitRow,
  type Driver,
} from "../support/goal-driver.ts";

export function doorCases(name: string, open: () => Promise<Database>): void {
  describe(`the one door on ${name}`, () => {
    let database: Database;
    let driver: Driver;
    beforeAll(async () => {
      database = await open();
      driver = await createDriver(database.db);
    }, 60_000);
    afterAll(() => database?.close());

    const statusOf = async (task: TaskId) =>
      (await driver.db.selectFrom("tasks").select("status").where("id", "=", task).executeTakeFirstOrThrow()).status;
    const goalRow = (goal: GoalId) =>
      driver.db.selectFrom("goals").selectAll().where("id", "=", goal).executeTakeFirstOrThrow();

    test("W1: the store refuses every move that is not in the domain's tables, and no other", async () => {
      const goal = await driver.submit();
      const { t1 } = await driver.plan(goal, { t1: [] });
      for (const from of taskStatuses) {
        for (const to of taskStatuses) {
          if (from === to) continue;
          const attempt = sql`DO $$ BEGIN
            PERFORM set_config('session_replication_role', 'replica', true);
            UPDATE tasks SET status = '${sql.raw(from)}', blockers = 0 WHERE id = '${sql.raw(t1!)}';
            PERFORM set_config('session_replication_role', 'origin', true);
            UPDATE tasks SET status = '${sql.raw(to)}' WHERE id = '${sql.raw(t1!)}';
          END $$`.execute(driver.db);
          if (taskMoves[from].includes(to)) await expect(attempt, `${from} → ${to}`).resolves.toBeDefined();
          else await expect(attempt, `${from} → ${to}`).rejects.toThrow(/no move/);
        }
      }
      for (const from of goalStatuses) {
        for (const to of goalStatuses) {
          if (from === to) continue;
          const attempt = sql`DO $$ BEGIN
            PERFORM set_config('session_replication_role', 'replica', true);
            UPDATE goals SET status = '${sql.raw(from)}', paused_from = 'running', reason = 'step_budget', ended_at = CASE WHEN '${sql.raw(from)}' IN ('succeeded', 'failed', 'abandoned', 'cancelled') THEN now() END WHERE id = '${sql.raw(goal)}';
            PERFORM set_config('session_replication_role', 'origin', true);
            UPDATE goals SET status = '${sql.raw(to)}', ended_at = CASE WHEN '${sql.raw(to)}' IN ('succeeded', 'failed', 'abandoned', 'cancelled') THEN now() END WHERE id = '${sql.raw(goal)}';
          END $$`.execute(driver.db);
          if (mayGoalMove(from, to, "step_budget")) await expect(attempt, `${from} → ${to}`).resolves.toBeDefined();
          else await expect(attempt, `${from} → ${to}`).rejects.toThrow(/no move/);
        }
      }
      expect(Object.keys(goalMoves)).toEqual([...goalStatuses]);
      await sql`DELETE FROM goals WHERE id = ${goal}`.execute(driver.db);
      await sql`DELETE FROM events WHERE goal_id = ${goal}`.execute(driver.db);
    });

    test("W2: the same write sent twice is applied once and won twice", async () => {
      const goal = await driver.submit();
      const { t1 } = await driver.plan(goal, { t1: [] });
      const { fence } = await driver.claim(goal, t1!);
      const write = {
        id: createId("write"),
        goal,
        task: t1!,
        fence,
        files: [{ path: "log.txt", mode: "append", base64: Buffer.from("one line\n").toString("base64"), hash: "h" }],
        steps: [
          {
            attempt: 1,
            seq: 1,
            phase: "result",
            stage: "execute",
            kind: "tool",
            name: "append_to_file",
            input: {},
            output: {},
            ok: true,
            duration_ms: 1,
          },
        ],
        events: [{ type: "step.tool", task: t1!, data: {} }],
      } as const;
      expect(await driver.door.commit(write)).toMatchObject({ outcome: "won" });
      expect(await driver.door.commit(write)).toMatchObject({ outcome: "won" });
      expect(new TextDecoder().decode(await readArtifact(driver.db, goal, "log.txt"))).toBe("one line\n");
      expect((await eventsAfter(driver.db, goal, 0, 100)).filter((event) => event.type === "step.tool")).toHaveLength(
        1,
      );
    });

    test("W2: a write that was applied is won again even when another of the same turn was applied after it", async () => {
      const goal = await driver.submit();
      const { t1 } = await driver.plan(goal, { t1: [] });
      const { fence } = await driver.claim(goal, t1!);
      const step = (seq: number) =>
        ({
          id: createId("write"),
          goal,
          task: t1!,
          fence,
          steps: [
            {
              attempt: 1,
              seq,
              phase: "result",
              stage: "execute",
              kind: "tool",
              name: "x",
              input: {},
              output: {},
              ok: true,
              duration_ms: 1,
            },
          ],
        }) as const;
      const [first, second] = [step(1), step(2)];
      await driver.door.commit(first);
      await driver.door.commit(second);
      expect(await driver.door.commit(first)).toMatchObject({ outcome: "won" });
      expect(
        await driver.db.selectFrom("steps").select("seq").where("subject_id", "=", t1!).orderBy("seq").execute(),
      ).toEqual([{ seq: 1 }, { seq: 2 }]);
    });

    test("W3: a worker whose task was taken over changes nothing", async () => {
      const goal = await driver.submit();
      const { t1 } = await driver.plan(goal, { t1: [] });
      const dead = await newLease(driver.db);
      const { claimed } = await claimTasks(driver.db, goal, "execute", [t1!], dead, 1);
      const old = claimed[0]!;
      expect(
        (await claimTasks(driver.db, goal, "execute", [t1!], driver.lease, 1)).claimed,
        "a claim that lives is not taken",
      ).toEqual([]);
      await driver.db.deleteFrom("leases").where("id", "=", dead).execute();
      const taken = await driver.claim(goal, t1!);
      expect(taken.fence).toBeGreaterThan(old.fence);
      expect(taken.task.attempt, "a crash does not end the attempt").toBe(old.task.attempt);

      const before = await goalRow(goal);
      expect(
        await driver.door.commit({
          id: createId("write"),
          goal,
          task: t1!,
          fence: old.fence,
          move: { to: "reflecting", result: "late" },
          events: [{ type: "step.tool", data: {} }],
        }),
      ).toEqual({ outcome: "stale" });
      expect(await goalRow(goal)).toEqual(before);
      expect(await statusOf(t1!)).toBe("running");
    });

    test("W4: while a process lives that reads only older journals, who renews a lease is told to write those", async () => {
      const renew = () => renewLease(driver.db, { id: driver.lease, service: "test", host: "test", pid: 1 }, 60_000);
      expect(await renew()).toBe(journalFormat);
      // As code writes it that knows nothing of formats.
      await sql`INSERT INTO leases (id, service, host, pid, expires_at) VALUES ('l_old', 'executor', 'h', 1, clock_timestamp() + interval '1 minute')`.execute(
        driver.db,
      );
      expect(await renew()).toBe(1);
      const expire = (ago: string) =>
        sql`UPDATE leases SET expires_at = clock_timestamp() - ${ago}::interval WHERE id = 'l_old'`.execute(driver.db);
      await expire("4 minutes");
      expect(await renew(), "it may come back after an outage").toBe(1);
      await expire("6 minutes");
      expect(await renew()).toBe(journalFormat);
      await sql`DELETE FROM leases WHERE id = 'l_old'`.execute(driver.db);
    });

    test("W3: the reconciler frees what a dead process held, and its fence is stale from then on", async () => {
      const goal = await driver.submit();
      const { t1 } = await driver.plan(goal, { t1: [] });
      const dead = await newLease(driver.db);
      const { claimed } = await claimTasks(driver.db, goal, "execute", [t1!], dead, 1);
      await driver.db
        .updateTable("leases")
        .set({ expires_at: sql`clock_timestamp() - interval '1 second'` })
        .where("id", "=", dead)
        .execute();
      expect(await releaseDeadClaims(driver.db, 100)).toBeGreaterThan(0);
      expect(
        await driver.door.commit({
          id: createId("write"),
          goal,
          task: t1!,
          fence: claimed[0]!.fence,
          move: { to: "reflecting", result: "late" },
        }),
      ).toEqual({ outcome: "stale" });
      expect((await driver.claim(goal, t1!)).task.attempt).toBe(1);
    });

    test("W4: a position in the journal is written once; another write to it changes nothing at all", async () => {
      const goal = await driver.submit();
      const { t1 } = await driver.plan(goal, { t1: [] });
      const { fence } = await driver.claim(goal, t1!);
      const step = {
        attempt: 1,
        seq: 1,
        phase: "result",
        stage: "execute",
        kind: "model",
        name: "m",
        input: {},
        output: { said: "first" },
        ok: true,
        duration_ms: 1,
      } as const;
      await driver.door.commit({
        id: createId("write"),
        goal,
        task: t1!,
        fence,
        steps: [step],
        settle: { steps: 1, tokens: 5, cost_micro_usd: 0, cost_unknown: false },
      });
      const before = await goalRow(goal);
      await expect(
        driver.door.commit({
          id: createId("write"),
          goal,
          task: t1!,
          fence,
          steps: [step],
          settle: { steps: 1, tokens: 5, cost_micro_usd: 0, cost_unknown: false },
        }),
      ).rejects.toThrow(/duplicate key/);
      expect(await goalRow(goal)).toEqual(before);
    });

    test("W4: long texts of a step are kept once by hash, and every way to read it gives them back", async () => {
      const goal = await driver.submit();
      const { t1 } = await driver.plan(goal, { t1: [] });
      const { fence, task } = await driver.claim(goal, t1!);
      const long = "ä".repeat(9000);
      const args = { path: "a.txt", text: long, list: [{ again: long }, "short"] };
      const message = { role: "assistant", text: long, toolCalls: [{ id: "c", name: "write_file", args }] } as const;
      const base = { attempt: 1, phase: "result", stage: "execute", ok: true, duration_ms: 1 } as const;
      const model = { message, stop: "tool_calls", provider: "p", model: "m" };
      const committed = await driver.door.commit({
        id: createId("write"),
        goal,
        task: t1!,
        fence,
        steps: [
          { ...base, seq: 1, kind: "model", name: "p/m", input: {}, output: model },
          { ...base, seq: 2, kind: "tool", name: "write_file", input: args, output: { callId: "c", text: long } },
          { ...base, seq: 3, kind: "tool", name: "look", input: {}, output: { callId: "d", text: "short" } },
        ],
      });
      expect(committed).toMatchObject({ outcome: "won" });
      const row = await goalRow(goal);
      const { rows } = await sql<{ stored: number; blobs: number }>`
        SELECT (SELECT sum(length(input::text) + length(output::text)) FROM steps WHERE goal_id = ${goal})::integer AS stored,
          (SELECT count(*) FROM blobs WHERE goal_id = ${goal})::integer AS blobs`.execute(driver.db);
      expect(rows[0]!.blobs).toBe(1);
      expect(rows[0]!.stored).toBeLessThan(3000);

      const steps = await loadSteps(driver.db, row, t1!, task.attempt);
      expect(steps.map((step) => step.output)).toEqual([
        model,
        { callId: "c", text: long },
        { callId: "d", text: "short" },
      ]);
      expect(steps[1]).toMatchObject({ kind: "tool", args });
      const listed = await listSteps(driver.db, operator, { goalId: goal, limit: 10, after: 0 });
      expect(listed.map((step) => step.output)).toEqual(steps.map((step) => step.output));
      expect((await getStep(driver.db, operator, `${t1}.1.2`))?.row).toMatchObject({
        input: args,
        output: { callId: "c", text: long },
      });
      await driver.db.deleteFrom("blobs").where("goal_id", "=", goal).execute();
      expect((await getStep(driver.db, operator, `${t1}.1.2`))?.row.output).toEqual({
        callId: "c",
        text: "(forgotten: 9000 characters)",
      });
    });

    test("W5: a signal that came while the task decided to wait is not lost", async () => {
      const goal = await driver.submit();
      const { t1 } = await driver.plan(goal, { t1: [] });
      const { fence } = await driver.claim(goal, t1!);
      const commit = (change: TaskChange) =>
        driver.door.commit({ id: createId("write"), goal, task: t1!, fence, ...change });
      const signal = () =>
        signalGoal(driver.db, operator, goal, { name: "go", payload: { n: 1 }, task: null, key: null, by: "test" });
      expect(await commit({ waits: [waitRow("signal", 1)] })).toMatchObject({ outcome: "won" });
      const seen = await loadWaits(driver.db, t1!, 1);
      expect(await signal()).toMatchObject({ kind: "moved" });
      expect(await commit({ move: { to: "waiting", wakes: seen.wakes } })).toEqual({
        outcome: "refused",
        why: "woken",
      });
      const now = await loadWaits(driver.db, t1!, 1);
      expect(now.bySeq.get(1)?.resolution).toMatchObject({ by: "signal", payload: { n: 1 } });
      // Nothing that it waits for is open, so it cannot sleep either.
      expect(await commit({ move: { to: "waiting", wakes: now.wakes } })).toEqual({ outcome: "refused", why: "woken" });

      expect(await commit({ waits: [waitRow("signal", 2)] })).toMatchObject({ outcome: "won" });
      const { wakes, bySeq } = await loadWaits(driver.db, t1!, 1);
      // The first signal was read by this attempt already.
      expect(bySeq.get(2)?.resolution).toBeNull();
      expect(await commit({ move: { to: "waiting", wakes } })).toMatchObject({ outcome: "won" });
      expect(await statusOf(t1!)).toBe("waiting");
      expect(await signal()).toMatchObject({ kind: "moved", woke: 1 });
      expect((await driver.claim(goal, t1!)).task.attempt).toBe(1);
    });

    test("a signal that came before anybody waited is there for each attempt, and is heard once by it", async () => {
      const goal = await driver.submit();
      const { t1 } = await driver.plan(goal, { t1: [] });
      await signalGoal(driver.db, operator, goal, { name: "go", payload: "early", task: null, key: null, by: "test" });
      const { fence } = await driver.claim(goal, t1!);
      await driver.door.commit({
        id: createId("write"),
        goal,
        task: t1!,
        fence,
        waits: [waitRow("signal", 1), waitRow("signal", 2)],
      });
      const { bySeq } = await loadWaits(driver.db, t1!, 1);
      expect(bySeq.get(1)?.resolution).toMatchObject({ payload: "early" });
      expect(bySeq.get(2)?.resolution).toBeNull();
    });

    test("a signal with the same key is the same signal, another one with it is refused", async () => {
      const goal = await driver.submit();
      const signal = { name: "go", payload: { a: 1, b: 2 }, task: null, key: "k1", by: "test" };
      expect(await signalGoal(driver.db, operator, goal, signal)).toMatchObject({ kind: "moved" });
      expect(await signalGoal(driver.db, operator, goal, { ...signal, payload: { b: 2, a: 1 } })).toMatchObject({
        kind: "unchanged",
      });
      expect(await signalGoal(driver.db, operator, goal, { ...signal, name: "stop" })).toMatchObject({
        kind: "refused",
      });
      expect((await goalRow(goal)).signal_seq).toBe(1);
    });

    test("a wait whose time has come ends by the database's clock, its task goes on, and an open one stays", async () => {
      const goal = await driver.submit();
      const { t1 } = await driver.plan(goal, { t1: [] });
      const { fence } = await driver.claim(goal, t1!);
      const commit = (change: TaskChange) =>
        driver.door.commit({ id: createId("write"), goal, task: t1!, fence, ...change });
      await commit({ waits: [waitRow("timer", 1, { for_ms: 0 }), waitRow("timer", 2)] });
      const { wakes } = await loadWaits(driver.db, t1!, 1);
      expect(await commit({ move: { to: "waiting", wakes } })).toMatchObject({ outcome: "won" });
      expect((await goalRow(goal)).asleep_at).not.toBeNull();
      const fired = await fireDueWaits(driver.db, 100);
      expect(fired.fired).toBe(1);
      expect(Object.keys(fired.events)).toEqual([goal]);
      expect(fired.nextMs).toBeGreaterThan(3_500_000);
      expect(await statusOf(t1!)).toBe("running");
      const { bySeq } = await loadWaits(driver.db, t1!, 1);
      expect([bySeq.get(1)?.resolution, bySeq.get(2)?.resolution]).toEqual([{ by: "deadline" }, null]);
    });

    test("the wall clock of a goal stands still while all its work waits", async () => {
      const goal = await driver.submit();
      const { t1 } = await driver.plan(goal, { t1: [] });
      const { fence } = await driver.claim(goal, t1!);
      const commit = (change: TaskChange) =>
        driver.door.commit({ id: createId("write"), goal, task: t1!, fence, ...change });
      await commit({ waits: [waitRow("signal", 1)] });
      const { wakes } = await loadWaits(driver.db, t1!, 1);
      await commit({ move: { to: "waiting", wakes } });
      const { deadline_at: before } = await goalRow(goal);
      // As if it had slept for three weeks, long past its wall clock.
      await sql`UPDATE goals SET asleep_at = asleep_at - interval '21 days', deadline_at = deadline_at - interval '21 days' WHERE id = ${goal}`.execute(
        driver.db,
      );
      await wakePlanners(driver.db, 100);
      expect((await goalRow(goal)).exhausted).toBeNull();
      await signalGoal(driver.db, operator, goal, { name: "go", payload: null, task: null, key: null, by: "test" });
      const { deadline_at: after, asleep_at } = await goalRow(goal);
      expect(asleep_at).toBeNull();
      expect(after.getTime()).toBeGreaterThanOrEqual(before.getTime());
      await wakePlanners(driver.db, 100);
      expect((await goalRow(goal)).exhausted).toBeNull();
    });

    test("an approval is decided once, bound to what was seen, and taken back with its task", async () => {
      const goal = await driver.submit();
      const { t1 } = await driver.plan(goal, { t1: [] });
      const { fence } = await driver.claim(goal, t1!);
      const subject = { tool: "send", version: "1", policy: "p", args: { to: "a" } };
      const rows = [1, 2, 3].map((seq) => waitRow("approval", seq, { subject, on_deadline: "reject" }));
      await driver.door.commit({ id: createId("write"), goal, task: t1!, fence, waits: rows });
      const [first, second, third] = rows.map((row) => row.id);
      const decide = (id: WaitId, decision: Decision, hash?: string) =>
        decideApproval(driver.db, operator, "key k1", id, decision, hash);

      expect(await decide(first!, { decision: "happened" })).toMatchObject({ kind: "refused", why: /takes approve/ });
      expect(await decide(first!, { decision: "approve" }, "another")).toMatchObject({ kind: "refused" });
      const both = await Promise.all([
        decide(first!, { decision: "approve" }, "h"),
        decide(first!, { decision: "reject", reason: "no" }, "h"),
      ]);
      expect(both.map((each) => each.kind).sort()).toEqual(["decided", "refused"]);
      const won = both[0]!.kind === "decided" ? "approve" : "reject";
      expect(await decide(first!, { decision: won })).toMatchObject({ kind: "unchanged" });

      expect(await decide(second!, { decision: "edit", args: { to: "b" } })).toMatchObject({ kind: "decided" });
      const { bySeq } = await loadWaits(driver.db, t1!, 1);
      expect(bySeq.get(2)?.hash).toBe(approvalHash({ ...subject, args: { to: "b" } }));

      expect(
        (await listApprovals(driver.db, operator, { status: "open", goalId: goal, limit: 10 })).map((each) => each.id),
      ).toEqual([third]);
      await cancelGoal(driver.db, operator, goal, null);
      expect(await decide(third!, { decision: "approve" })).toMatchObject({ kind: "refused", why: /no longer asked/ });
      expect(await listApprovals(driver.db, operator, { status: "open", goalId: goal, limit: 10 })).toEqual([]);
      const stranger = { ...operator, tenantId: "other" as TenantId };
      expect(await decideApproval(driver.db, stranger, "x", first!, { decision: "approve" })).toEqual({ kind: "gone" });
    });

    test("an external call has one owner: a second intent is refused, taking over names the turn that was seen", async () => {
      const goal = await driver.submit();
      const { t1, t2 } = await driver.plan(goal, { t1: [], t2: [] });
      const one = await driver.claim(goal, t1!);
      const two = await driver.claim(goal, t2!);
      const intend = (claim: typeof one, task: TaskId, turn?: number, key = "k", sendKey = `send ${key}`) =>
        driver.door.commit({
          id: createId("write"),
          goal,
          task,
          fence: claim.fence,
          effects: [
            {
              status: "intended",
              key,
              send_key: sendKey,
              root: task,
              attempt: 1,
              seq: 2,
              tool: "send",
              version: "1",
              args: { to: "a" },
              ...(turn !== undefined && { turn }),
            },
          ],
        });
      const settle = (status: "done" | "failed" | "unknown") =>
        driver.door.commit({
          id: createId("write"),
          goal,
          task: t1!,
          fence: one.fence,
          effects: [{ status, key: "k", result: { text: status } }],
        });
      expect(await intend(one, t1!)).toMatchObject({ outcome: "won" });
      expect(await intend(two, t2!)).toEqual({ outcome: "refused", why: "effect" });
      expect((await loadEffects(driver.db, goal, t2!, ["k"])).get("k")).toMatchObject({ elsewhere: true, turn: 1 });
      expect((await loadEffects(driver.db, goal, t1!, ["send k"])).get("send k")).toMatchObject({
        elsewhere: false,
        status: "intended",
      });
      expect(await intend(two, t2!, 1)).toMatchObject({ outcome: "won" });
      expect(await intend(one, t1!, 1)).toEqual({ outcome: "refused", why: "effect" });
      await settle("failed");
      expect(await intend(one, t1!)).toMatchObject({ outcome: "won" });
      await settle("done");
      expect(await intend(two, t2!)).toEqual({ outcome: "refused", why: "effect" });
      expect((await loadEffects(driver.db, goal, t2!, ["k"])).get("k")).toMatchObject({
        status: "done",
        result: "done",
        elsewhere: false,
      });
      // What is done is done, whatever turn was seen; and the receiver is given one key once.
      expect(await intend(two, t2!, 3)).toEqual({ outcome: "refused", why: "effect" });
      expect(await intend(two, t2!, undefined, "edited into the same", "send k")).toEqual({
        outcome: "refused",
        why: "effect",
      });
      await pauseGoal(driver.db, operator, goal);
      expect(await intend(one, t1!, undefined, "another")).toEqual({ outcome: "refused", why: "paused" });
    });

    test("W6: what depended on a split task depends on its subtasks, also when it is planned after the split", async () => {
      const goal = await driver.submit();
      const ids = await driver.plan(goal, { t1: [], t2: ["t1"] });
      await driver.execute(goal, ids["t1"]!);
      const { claimed } = await claimTasks(driver.db, goal, "reflect", [ids["t1"]!], driver.lease, 1);
      const split = taskRows({ t1a: [], t1b: [] }, ids["t1"]!);
      expect(
        await driver.door.commit({
          id: createId("write"),
          goal,
          task: ids["t1"]!,
          fence: claimed[0]!.fence,
          move: { to: "split" },
          tasks: split.rows,
        }),
      ).toMatchObject({ outcome: "won" });
      const later = await claimGoal(driver.db, goal, driver.lease);
      const added = taskRows({ t3: ["t1"] }, null, ids);
      expect(
        await driver.door.commit({
          id: createId("write"),
          goal,
          fence: later!.fence,
          plan: { tasks: added.rows, read: later!.row.plan_wanted },
        }),
      ).toMatchObject({ outcome: "won" });
      const view = await getGoal(driver.db, operator, goal);
      const dependsOn = Object.fromEntries(view!.tasks.map((each) => [each.task.key, [...each.dependsOn].sort()]));
      expect(dependsOn).toMatchObject({ t2: ["t1a", "t1b"], t3: ["t1a", "t1b"] });
      for (const key of ["t1a", "t1b"]) {
        expect(await statusOf(ids["t2"]!)).toBe("pending");
        await driver.execute(goal, split.ids[key]!);
        await driver.reflect(goal, split.ids[key]!, "done");
      }
      expect(await statusOf(ids["t2"]!)).toBe("ready");
      expect(await statusOf(added.ids["t3"]!)).toBe("ready");
    });

    test("W6: a plan that depends on a dead task is refused whole and says which", async () => {
      const goal = await driver.submit();
      const ids = await driver.plan(goal, { t1: [], t2: [] });
      await driver.execute(goal, ids["t1"]!);
      await driver.reflect(goal, ids["t1"]!, "abandoned");
      const claimed = await claimGoal(driver.db, goal, driver.lease);
      const { rows } = taskRows({ t3: [], t4: ["t1"] }, null, ids);
      expect(
        await driver.door.commit({
          id: createId("write"),
          goal,
          fence: claimed!.fence,
          plan: { tasks: rows, read: claimed!.row.plan_wanted },
        }),
      ).toEqual({ outcome: "refused", why: expect.stringContaining("t1") as string });
      expect((await getGoal(driver.db, operator, goal))!.tasks.map((each) => each.task.key)).toEqual(["t1", "t2"]);
    });

    test("W6: done is refused while tasks are live", async () => {
      const goal = await driver.submit();
      const ids = await driver.plan(goal, { t1: [], t2: [] });
      await driver.execute(goal, ids["t1"]!);
      await driver.reflect(goal, ids["t1"]!, "abandoned");
      const claimed = await claimGoal(driver.db, goal, driver.lease);
      expect(
        await driver.door.commit({
          id: createId("write"),
          goal,
          fence: claimed!.fence,
          end: { to: "succeeded", answer: "done" },
        }),
      ).toEqual({ outcome: "refused", why: "tasks are live" });
      expect((await goalRow(goal)).status).toBe("planning");
    });

    test("a task that can never start is cancelled with what it waited for, and the planner is asked", async () => {
      const goal = await driver.submit();
      const ids = await driver.plan(goal, { t1: [], t2: ["t1"], t3: ["t2"], t4: [] });
      await driver.execute(goal, ids["t1"]!);
      await driver.reflect(goal, ids["t1"]!, "abandoned");
      expect(await Promise.all([statusOf(ids["t2"]!), statusOf(ids["t3"]!), statusOf(ids["t4"]!)])).toEqual([
        "cancelled",
        "cancelled",
        "ready",
      ]);
      expect((await goalRow(goal)).plan_wanted).toBe(1);
    });

    test("W7: due tasks of one goal share a job of at most eight, and nothing is sent twice", async () => {
      const goal = await driver.submit();
      const before = driver.jobs.length;
      await driver.plan(goal, Object.fromEntries(Array.from({ length: 11 }, (_, index) => [`t${index + 1}`, []])));
      const jobs = driver.jobs.slice(before);
      expect(jobs.map((job) => job.tasks.length)).toEqual([8, 3]);
      for (const job of jobs) expect(job.job).toMatch(new RegExp(`^${goal}-\\d+-1$`));
      expect(new Set(jobs.flatMap((job) => job.tasks)).size).toBe(11);
    });

    test("W9: events are numbered without gap or repeat", async () => {
      const goal = await driver.submit();
      const ids = await driver.plan(goal, { t1: [], t2: [] });
      await Promise.all([driver.execute(goal, ids["t1"]!), driver.execute(goal, ids["t2"]!)]);
      const events = await eventsAfter(driver.db, goal, 0, 1000);
      expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index + 1));
      expect(await eventsAfter(driver.db, goal, events.length - 1, 1000)).toHaveLength(1);
    });

    test("W10: an append is a row of its own; a file is its last write and the appends after it", async () => {
      const goal = await driver.submit();
      const { t1 } = await driver.plan(goal, { t1: [] });
      const { fence } = await driver.claim(goal, t1!);
      const file = (mode: "write" | "append", text: string) => ({
        path: "a.txt",
        mode,
        base64: Buffer.from(text).toString("base64"),
        hash: text,
      });
      await driver.door.commit({
        id: createId("write"),
        goal,
        task: t1!,
        fence,
        files: [file("append", "1"), file("append", "2")],
      });
      await driver.door.commit({
        id: createId("write"),
        goal,
        task: t1!,
        fence,
        files: [file("write", "3"), file("append", "4")],
      });
      expect(new TextDecoder().decode(await readArtifact(driver.db, goal, "a.txt"))).toBe("34");
      expect(await listArtifacts(driver.db, goal)).toMatchObject([
        { path: "a.txt", version: 4, size: 2, origin: "written" },
      ]);
    });

    test("a step is reserved before it runs: what would pass the budget waits while others hold some of it, then ends the goal", async () => {
      const goal = await driver.submit("small", { steps: 4 });
      const ids = await driver.plan(goal, { t1: [], t2: [], t3: [], t4: [], t5: [] });
      const claims = await Promise.all(
        Object.values(ids).map((id) => claimTasks(driver.db, goal, "execute", [id], driver.lease, 1)),
      );
      const claimed = claims.flatMap((each) => each.claimed);
      expect(claimed).toHaveLength(4);
      expect(await goalRow(goal)).toMatchObject({ steps_used: 0, steps_reserved: 4, exhausted: null });

      // One gives its step back, so the fifth gets it; the others spend theirs.
      const [giver, ...spenders] = claimed;
      await driver.door.commit({
        id: createId("write"),
        goal,
        task: giver!.task.id,
        fence: giver!.fence,
        move: { to: "failed", reason: "gave up" },
      });
      const waiting = Object.values(ids).find((id) => !claimed.some((each) => each.task.id === id))!;
      await driver.db
        .updateTable("tasks")
        .set({ due_at: sql`clock_timestamp()` })
        .where("id", "=", waiting)
        .execute();
      const fifth = await driver.claim(goal, waiting);
      const settle = { steps: 1, tokens: 1, cost_micro_usd: 0, cost_unknown: false };
      for (const each of [...spenders, fifth]) {
        const change = { id: createId("write"), goal, task: each.task.id, fence: each.fence, settle, reserve: 1 };
        const spent = each === fifth ? "step_budget" : "wait";
        expect(await driver.door.commit(change)).toMatchObject({ outcome: "won", spent });
      }
      expect(await goalRow(goal)).toMatchObject({ steps_used: 4, steps_reserved: 0, exhausted: "step_budget" });
    });

    test("a pause is not spent: the wall clock stands still in it", async () => {
      const goal = await driver.submit("slow", { wallMs: 60_000 });
      await driver.plan(goal, { t1: [] });
      const before = await goalRow(goal);
      await pauseGoal(driver.db, operator, goal);
      await driver.db
        .updateTable("goals")
        .set({ paused_at: sql`clock_timestamp() - interval '1 day'` })
        .where("id", "=", goal)
        .execute();
      await resumeGoal(driver.db, operator, goal);
      const after = await goalRow(goal);
      expect(after.deadline_at.getTime() - before.deadline_at.getTime()).toBeGreaterThanOrEqual(86_400_000);
      expect(after.paused_at).toBeNull();
    });

    test("a goal that goes on with a session works on the session's files, unless it brings its own", async () => {
      const session = `s-${createId("goal")}`;
      const post = async (attachments: readonly { path: string; bytes: Uint8Array }[]) => {
        const submitted = await submitGoal(
          driver.db,
          operator,
          {
            text: "go on",
            session,
            budget: defaultBudget,
            planning: { cadence: "adaptive" },
            priority: 0,
            labels: {},
            attachments,
            questionsWaitMs: null,
            idempotency: null,
          },
          createId,
        );
        if (submitted.kind !== "created") throw new Error(submitted.kind);
        return submitted.goal.id as GoalId;
      };
      const paths = async (goal: GoalId) => (await listArtifacts(driver.db, goal)).map((file) => file.path);
      await post([
        { path: "a.txt", bytes: Buffer.from("a") },
        { path: "b.txt", bytes: Buffer.from("b") },
      ]);
      const second = await post([]);
      expect(await paths(second)).toEqual(["a.txt", "b.txt"]);
      expect(new TextDecoder().decode(await readArtifact(driver.db, second, "b.txt"))).toBe("b");
      await post([{ path: "c.txt", bytes: Buffer.from("c") }]);
      expect(await paths(await post([]))).toEqual(["c.txt"]);
      expect((await goalRow(second)).file_seq).toBe(2);
    });

    test("cancelling ends every task in the same commit, and whoever works finds a stale fence", async () => {
      const goal = await driver.submit();
      const ids = await driver.plan(goal, { t1: [], t2: ["t1"] });
      const { fence } = await driver.claim(goal, ids["t1"]!);
      expect((await cancelGoal(driver.db, operator, goal, "enough")).kind).toBe("moved");
      expect(await Promise.all(Object.values(ids).map(statusOf))).toEqual(["cancelled", "cancelled"]);
      expect(
        await driver.door.commit({
          id: createId("write"),
          goal,
          task: ids["t1"]!,
          fence,
          move: { to: "reflecting", result: "late" },
        }),
      ).toEqual({ outcome: "stale" });
      expect((await cancelGoal(driver.db, operator, goal, "again")).kind).toBe("unchanged");
    });

    test("a paused goal lets a running call be journaled, starts nothing, and goes on where it was", async () => {
      const goal = await driver.submit();
      const ids = await driver.plan(goal, { t1: [], t2: [] });
      const { fence } = await driver.claim(goal, ids["t1"]!);
      await pauseGoal(driver.db, operator, goal);
      expect(
        await driver.door.commit({
          id: createId("write"),
          goal,
          task: ids["t1"]!,
          fence,
          events: [{ type: "step.model", data: {} }],
        }),
      ).toMatchObject({ outcome: "won", goalStatus: "paused", spent: null });
      expect((await claimTasks(driver.db, goal, "execute", [ids["t2"]!], driver.lease, 1)).claimed).toEqual([]);
      await driver.door.commit({ id: createId("write"), goal, task: ids["t1"]!, fence, move: { to: "released" } });
      await resumeGoal(driver.db, operator, goal);
      expect((await goalRow(goal)).status).toBe("running");
      await driver.execute(goal, ids["t1"]!);
      await driver.execute(goal, ids["t2"]!);
    });

    test("a goal that is paused while its planner thinks journals what was paid for, and goes on", async () => {
      const goal = await driver.submit();
      const planner = (await claimGoal(driver.db, goal, driver.lease))!;
      await pauseGoal(driver.db, operator, goal);
      const { rows } = taskRows({ t1: [] });
      const plan = { id: createId("write"), goal, fence: planner.fence };
      expect(await driver.door.commit({ ...plan, plan: { tasks: rows, read: 1 } })).toEqual({
        outcome: "refused",
        why: "paused",
      });
      expect(await driver.door.commit({ ...plan, id: createId("write"), release: { due_in_ms: 0 } })).toMatchObject({
        outcome: "won",
      });
      await resumeGoal(driver.db, operator, goal);
      await driver.plan(goal, { t1: [] });
    });

    test("what waits in a paused goal leaves the tenant's cap to others", async () => {
      const goal = await driver.submit();
      await driver.plan(goal, { t1: [], t2: [] });
      await pauseGoal(driver.db, operator, goal);
      const rowsInFlight = await driver.db
        .selectFrom("tasks")
        .select("key")
        .where("goal_id", "=", goal)
        .where("dispatched_at", "is not", null)
        .execute();
      expect(rowsInFlight).toEqual([]);
    });

    test("a claim that nobody in its process works on is given back, with the next fence", async () => {
      const goal = await driver.submit();
      const { t1 } = await driver.plan(goal, { t1: [] });
      const { fence } = await driver.claim(goal, t1!);
      const own = (await listOwnClaims(driver.db, driver.lease)).find((claim) => claim.id === t1);
      expect(own).toEqual({ kind: "task", id: t1, fence });
      await releaseOwnClaim(driver.db, driver.lease, own!);
      const late: TaskWrite = { id: createId("write"), goal, task: t1!, fence, move: { to: "released" } };
      expect(await driver.door.commit(late)).toEqual({ outcome: "stale" });
      expect((await driver.claim(goal, t1!)).task.attempt).toBe(1);
    });

    test("hostile texts are stored, not refused: NUL and halves of a character, in values and keys", async () => {
      const goal = await driver.submit();
      const { t1 } = await driver.plan(goal, { t1: [] });
      const { fence } = await driver.claim(goal, t1!);
      expect(
        await driver.door.commit({
          id: createId("write"),
          goal,
          task: t1!,
          fence,
          steps: [
            {
              attempt: 1,
              seq: 1,
              phase: "result",
              stage: "execute",
              kind: "tool",
              name: "x",
              input: { "a\0": "b\ud83d" },
              output: { callId: "c", text: "\0" },
              ok: true,
              duration_ms: 1,
            },
          ],
          events: [{ type: "step.tool", data: { about: "\ud83d" } }],
        }),
      ).toMatchObject({ outcome: "won" });
    });

    test("a goal is found by any beginning of its id", async () => {
      const goal = await driver.submit();
      for (const length of [8, 12, goal.length])
        expect(await resolveGoalId(driver.db, operator, goal.slice(0, length))).toBe(goal);
    });

    test("another tenant sees and moves nothing, whatever the query says", async () => {
      const goal = await driver.submit();
      await sql`INSERT INTO tenants (id, name) VALUES ('other', 'Other') ON CONFLICT DO NOTHING`.execute(driver.db);
      const stranger = { ...operator, tenantId: "other" as never };
      expect(await getGoal(driver.db, stranger, goal)).toBeUndefined();
      expect((await cancelGoal(driver.db, stranger, goal, null)).kind).toBe("gone");
      const seen = await driver.db.transaction().execute(async (trx) => {
        await sql`SELECT set_config('outerloop.tenant', 'other', true), set_config('role', 'outerloop_api', true)`.execute(
          trx,
        );
        return sql<{
          n: number;
        }>`SELECT (SELECT count(*) FROM goals) + (SELECT count(*) FROM tasks) + (SELECT count(*) FROM events) + (SELECT count(*) FROM steps) + (SELECT count(*) FROM artifacts) AS n`.execute(
          trx,
        );
      });
      expect(Number(seen.rows[0]?.n)).toBe(0);
    });

    test("after all of this every counter agrees with what it counts", async () => {
      expect(await brokenInvariants(driver.db)).toEqual([]);
    });
  });
}
