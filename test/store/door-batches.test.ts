/**
 * What a batch does for its writes and claims on real PostgreSQL: one that the database refuses, goals that somebody else
 * holds, bounds, connections that end after the commit. Nothing sleeps: who waits for a lock is read in pg_locks.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  claimGoal,
  claimTasks,
  createClaimer,
  createDoor,
  createId,
  createStore,
  defaultBatchLimits,
  dispatchDue,
  manyInFlight,
  openDatabase,
  OuterloopError,
  readConfig,
  type ClaimedTask,
  type Database,
  type Door,
  type DoorOptions,
  type DueJob,
  type GoalId,
  type LeaseId,
  type SealedWrite,
  type Store,
  type TaskChange,
  type TaskId,
  type TaskWrite,
} from "@outerloop/core";
import { sql } from "kysely";
import { recordFigures, sized } from "../crash/support/size.ts";
import { brokenInvariants, createDriver, newLease, taskRows, type Driver } from "../support/goal-driver.ts";
import { startPostgresProxy } from "../support/postgres-proxy.ts";
import { cloneDatabase, describeWithServers, type ClonedDatabase } from "../support/servers.ts";

interface Sent {
  readonly writes: readonly SealedWrite[];
  readonly wait: boolean;
}

const step = (seq: number): TaskChange => ({
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
  settle: { steps: 1, tokens: 1, cost_micro_usd: 0, cost_unknown: false },
  reserve: 1,
  events: [{ type: "step.tool", data: {} }],
});

const writeOf = (claim: ClaimedTask, change: TaskChange): TaskWrite => ({
  id: createId("write"),
  goal: claim.goal.id,
  task: claim.task.id,
  fence: claim.fence,
  ...change,
  ...(change.events && { events: change.events.map((event) => ({ ...event, task: claim.task.id })) }),
});

describeWithServers("batches on real PostgreSQL", () => {
  let clone: ClonedDatabase;
  let database: Database;
  let driver: Driver;
  beforeAll(async () => {
    clone = await cloneDatabase();
    database = await openDatabase({ kind: "server", url: clone.url, maxConnections: 8, applicationName: "batches" });
    driver = await createDriver(database.db);
  }, 60_000);
  afterAll(async () => {
    await database?.close();
    await clone?.drop();
  });

  /** A door that tells what it sent. */
  function watchedDoor(options: Partial<DoorOptions> = {}, fault?: (sent: Sent) => Error | undefined) {
    const sent: Sent[] = [];
    const store = createStore(driver.db);
    const commitWrites: Store["commitWrites"] = async (writes, wait, cap) => {
      sent.push({ writes, wait });
      const thrown = fault?.({ writes, wait });
      if (thrown !== undefined) throw thrown;
      return store.commitWrites(writes, wait, cap);
    };
    return { sent, door: openDoor({ commitWrites }, options) };
  }

  function openDoor(store: Pick<Store, "commitWrites">, options: Partial<DoorOptions> = {}, jobs: DueJob[] = []): Door {
    return createDoor(
      store,
      { jobs: async (due) => void jobs.push(...due), events: () => undefined },
      {
        tenantCap: 100_000,
        ...defaultBatchLimits,
        clock: Date.now,
        pause: () => new Promise((resolve) => setImmediate(resolve)),
        ...options,
      },
    );
  }

  /** Claimed tasks, each of a goal of its own. */
  async function claimMany(count: number): Promise<ClaimedTask[]> {
    return Promise.all(
      Array.from({ length: count }, async () => {
        const goal = await driver.submit();
        const { t1 } = await driver.plan(goal, { t1: [] });
        return driver.claim(goal, t1!);
      }),
    );
  }

  async function hold(goal: GoalId): Promise<{ letGo(): Promise<void> }> {
    const holder = await database.pool.connect();
    await holder.query("BEGIN");
    await holder.query("SELECT FROM goals WHERE id = $1 FOR UPDATE", [goal]);
    return {
      async letGo() {
        await holder.query("COMMIT");
        holder.release();
      },
    };
  }

  /** Resolves when this many sessions of ours wait for a lock. */
  async function untilWaiting(count: number): Promise<void> {
    // Ends: whoever was asked for a held goal comes to wait for it; the test's own timeout bounds a fault.
    for (;;) {
      const { rows } = await sql<{ n: number }>`
        SELECT count(DISTINCT pid)::integer AS n FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE NOT granted AND datname = current_database()`.execute(driver.db);
      if ((rows[0]?.n ?? 0) >= count) return;
    }
  }

  const stepsOf = async (claim: ClaimedTask) =>
    (
      await driver.db.selectFrom("steps").select("seq").where("subject_id", "=", claim.task.id).orderBy("seq").execute()
    ).map((row) => row.seq);

  test("W1: what comes at the same time is one statement, and what comes meanwhile the next", async () => {
    const claims = await claimMany(6);
    const { sent, door } = watchedDoor();
    const first = claims.slice(0, 4).map((claim) => door.commit(writeOf(claim, step(1))));
    const second = first[0]!.then(() =>
      Promise.all(claims.slice(4).map((claim) => door.commit(writeOf(claim, step(1))))),
    );
    expect((await Promise.all([...first, second])).flat().map((each) => each.outcome)).toEqual(Array(6).fill("won"));
    expect(sent.map((each) => each.writes.length)).toEqual([4, 2]);
  });

  test("W2: a write that the database refuses fails alone, wherever it is in its batch, and all others commit", async () => {
    for (const culprit of [0, 5, 11]) {
      const claims = await claimMany(12);
      const { sent, door } = watchedDoor();
      const bad = {
        memory: [{ id: createId("write"), kind: "note", text: "t", embedding: "no vector", embedding_model: "m" }],
      } as const;
      const settled = await Promise.allSettled(
        claims.map((claim, index) => door.commit(writeOf(claim, index === culprit ? bad : step(1)))),
      );
      expect(settled.map((each) => each.status)).toEqual(
        claims.map((_, index) => (index === culprit ? "rejected" : "fulfilled")),
      );
      expect(settled[culprit]).toMatchObject({
        reason: { message: expect.stringContaining("invalid input syntax for type vector") },
      });
      for (const [index, claim] of claims.entries()) expect(await stepsOf(claim)).toEqual(index === culprit ? [] : [1]);
      // All, and then halves: not one by one.
      expect(sent.length).toBeLessThan(claims.length);
    }
  });

  test("a goal that somebody else holds comes back busy, the others commit, and it commits once it is free", async () => {
    const claims = await claimMany(4);
    const { sent, door } = watchedDoor();
    const { letGo } = await hold(claims[1]!.goal.id);
    let isCommitted = false;
    const held = door.commit(writeOf(claims[1]!, step(1))).finally(() => (isCommitted = true));
    const others = claims.filter((_, index) => index !== 1).map((claim) => door.commit(writeOf(claim, step(1))));
    expect((await Promise.all(others)).map((each) => each.outcome)).toEqual(["won", "won", "won"]);
    await untilWaiting(1);
    expect(isCommitted).toBe(false);
    expect(sent.at(-1), "the one that waits").toMatchObject({
      writes: [{ write: { goal: claims[1]!.goal.id } }],
      wait: true,
    });
    await letGo();
    expect(await held).toMatchObject({ outcome: "won" });
    expect(await stepsOf(claims[1]!)).toEqual([1]);
  });

  test("a goal that somebody else holds holds up nobody else, even if its write came first and all of its tasks write", async () => {
    const goal = await driver.submit();
    const ids = await driver.plan(goal, { a: [], b: [], c: [], d: [] });
    const ofGoal = await Promise.all(Object.values(ids).map((id) => driver.claim(goal, id)));
    const others = await claimMany(3);
    const { letGo } = await hold(goal);
    const held = [driver.door.commit(writeOf(ofGoal[0]!, step(1)))];
    await untilWaiting(1);
    held.push(...ofGoal.slice(1).map((claim) => driver.door.commit(writeOf(claim, step(1)))));
    for (const claim of others)
      expect(await driver.door.commit(writeOf(claim, step(1)))).toMatchObject({ outcome: "won" });
    await untilWaiting(2);
    await letGo();
    expect((await Promise.all(held)).map((each) => each.outcome)).toEqual(Array(4).fill("won"));
    for (const claim of ofGoal) expect(await stepsOf(claim)).toEqual([1]);
  });

  test("OUTERLOOP_COMMIT_WRITES and OUTERLOOP_COMMIT_BYTES bound a batch, and one larger write goes by itself", async () => {
    const claims = await claimMany(7);
    const config = readConfig({ OUTERLOOP_COMMIT_WRITES: "3", OUTERLOOP_COMMIT_BYTES: "65536" });
    const { sent, door } = watchedDoor({ maxWrites: config.commit.maxWrites, maxBytes: config.commit.maxBytes });
    await Promise.all(claims.map((claim) => door.commit(writeOf(claim, step(1)))));
    expect(sent.map((each) => each.writes.length)).toEqual([3, 3, 1]);
    sent.length = 0;
    const long = (chars: number) =>
      ({ ...step(2), events: [{ type: "step.tool", data: { text: "x".repeat(chars) } }] }) as const;
    const sizes = [30_000, 30_000, 30_000, 100_000, 1, 1];
    await Promise.all(sizes.map((chars, index) => door.commit(writeOf(claims[index]!, long(chars)))));
    expect(sent.map((each) => each.writes.length)).toEqual([2, 1, 1, 2]);
  });

  test("a split goes by itself, whatever comes with it", async () => {
    const goal = await driver.submit();
    const { t1 } = await driver.plan(goal, { t1: [] });
    await driver.execute(goal, t1!);
    const split = (await claimTasks(driver.db, goal, "reflect", [t1!], driver.lease, 1)).claimed[0]!;
    const claims = await claimMany(3);
    const { sent, door } = watchedDoor();
    await Promise.all([
      ...claims.map((claim) => door.commit(writeOf(claim, step(1)))),
      door.commit(writeOf(split, { move: { to: "split" }, tasks: taskRows({ a: [], b: ["a"] }, t1!).rows })),
    ]);
    const sizes = sent.map((each) => [
      each.writes.length,
      each.writes.some(({ write }) => write.id && "tasks" in write),
    ]);
    expect(sizes).toContainEqual([1, true]);
    expect(sizes).toContainEqual([3, false]);
    expect(sent).toHaveLength(2);
  });

  test("a prompt that is known to be stored is not sent again, until a connection was lost", async () => {
    const [claim] = await claimMany(1);
    let isAway = false;
    const { sent, door } = watchedDoor({}, () => {
      if (!isAway) return undefined;
      isAway = false;
      return new OuterloopError("store_unavailable", "the wire broke", { retry: "backoff" });
    });
    const prompts = [{ hash: "prompt-1", body: "you are" }];
    const carried = () => sent.splice(0).map((each) => each.writes[0]!.write.prompts?.length ?? 0);
    await door.commit(writeOf(claim!, { ...step(1), prompts }));
    await door.commit(writeOf(claim!, { ...step(2), prompts }));
    expect(carried()).toEqual([1, 0]);
    isAway = true;
    await door.commit(writeOf(claim!, step(3)));
    await door.commit(writeOf(claim!, { ...step(4), prompts }));
    await door.commit(writeOf(claim!, { ...step(5), prompts }));
    expect(carried()).toEqual([0, 0, 1, 0]);
    expect(await stepsOf(claim!)).toEqual([1, 2, 3, 4, 5]);
  });

  test("a connection that ends after COMMIT and before the reply, again and again, under batches of many tasks: nobody is stale, nothing is there twice", async () => {
    const times = sized(20, 200);
    const goals = 4;
    const keys = ["a", "b"];
    const claims: ClaimedTask[] = [];
    for (let n = 0; n < goals; n += 1) {
      const goal = await driver.submit("a goal", { steps: 10_000, tokens: 1_000_000_000 });
      const ids = await driver.plan(goal, Object.fromEntries(keys.map((key) => [key, []])));
      for (const id of Object.values(ids)) claims.push(await driver.claim(goal, id));
    }
    const rounds = Array.from({ length: times }, (_, round) => claims.map((claim) => writeOf(claim, step(round + 1))));
    const proxy = await startPostgresProxy(
      clone.url,
      rounds.map((writes, round) => ({
        name: `round ${round}`,
        statement: new RegExp(writes[0]!.id),
        cut: "unanswered" as const,
      })),
    );
    const far = await openDatabase({
      kind: "server",
      url: proxy.url,
      maxConnections: 2,
      applicationName: "batches-far",
    });
    try {
      const { commitWrites } = createStore(far.db);
      let statements = 0;
      const door = openDoor({
        commitWrites: (...args) => {
          statements += 1;
          return commitWrites(...args);
        },
      });
      for (const writes of rounds) {
        const outcomes = await Promise.all(writes.map((write) => door.commit(write)));
        expect(outcomes.map((each) => each.outcome)).toEqual(writes.map(() => "won"));
      }
      expect(proxy.met).toHaveLength(times);
      // Each batch of 8 twice: as it was lost, and again.
      expect(statements).toBe(times * 2);
      const seqs = Array.from({ length: times }, (_, round) => round + 1);
      for (const claim of claims) {
        expect(await stepsOf(claim)).toEqual(seqs);
        const { count } = await driver.db
          .selectFrom("events")
          .select(({ fn }) => fn.countAll<number>().as("count"))
          .where("task_id", "=", claim.task.id)
          .where("type", "=", "step.tool")
          .executeTakeFirstOrThrow();
        expect(count).toBe(times);
      }
      const goalIds = [...new Set(claims.map((claim) => claim.goal.id))];
      for (const id of goalIds) {
        const row = await driver.db.selectFrom("goals").selectAll().where("id", "=", id).executeTakeFirstOrThrow();
        expect(row.steps_used).toBe(times * keys.length);
      }
      expect(await brokenInvariants(driver.db)).toEqual([]);
      recordFigures("connections ended after COMMIT under batches", {
        cuts: proxy.met.length,
        writes: times * claims.length,
      });
    } finally {
      await far.close();
      await proxy.close();
    }
  }, 120_000);

  test("W3: several jobs of one goal in one batch of claims: each task is claimed once, and what is over a worker's slots goes back", async () => {
    const goal = await driver.submit();
    const ids = await driver.plan(goal, { a: [], b: [], c: [], d: [], e: [] });
    const [a, b, c, d, e] = Object.values(ids) as [TaskId, TaskId, TaskId, TaskId, TaskId];
    const { claimer, asked } = watchedClaimer(driver.lease);
    const [one, two, again] = await Promise.all([
      claimer.claimTasks({ queue: "execute", goal, tasks: [a, b, c], limit: 2 }),
      claimer.claimTasks({ queue: "execute", goal, tasks: [d, e], limit: 8 }),
      // A job that was delivered twice.
      claimer.claimTasks({ queue: "execute", goal, tasks: [d, e], limit: 8 }),
    ]);
    expect(asked).toEqual([3]);
    expect(one.claimed.map((each) => each.task.id)).toEqual([a, b]);
    expect(one.dispatchAgain, "the tenant whose rest is due").toBe(one.claimed[0]!.goalRow.tenant_id);
    expect([...two.claimed, ...again.claimed].map((each) => each.task.id).toSorted()).toEqual([d, e].toSorted());
    expect(
      await driver.db.selectFrom("tasks").select(["status", "dispatched_at", "fence"]).where("id", "=", c).execute(),
    ).toEqual([{ status: "ready", dispatched_at: null, fence: 0 }]);
    expect(await brokenInvariants(driver.db)).toEqual([]);
  });

  test("W3: a goal that somebody else holds is claimed once it is free, and claims of others do not wait for it", async () => {
    const made = await Promise.all(
      ["held", "free"].map(async () => {
        const goal = await driver.submit();
        const { t1 } = await driver.plan(goal, { t1: [] });
        return { goal, task: t1! };
      }),
    );
    const { claimer } = watchedClaimer(driver.lease);
    const { letGo } = await hold(made[0]!.goal);
    const claim = ({ goal, task }: { goal: GoalId; task: TaskId }) =>
      claimer.claimTasks({ queue: "execute", goal, tasks: [task], limit: 1 });
    const held = claim(made[0]!);
    expect((await claim(made[1]!)).claimed).toHaveLength(1);
    await untilWaiting(1);
    await letGo();
    expect((await held).claimed.map((each) => each.task.id)).toEqual([made[0]!.task]);
  });

  test("W7: what plans of one commit made goes out goal by goal, so that a goal's tasks share a job", async () => {
    const goals = [await driver.submit(), await driver.submit()];
    const claims = await Promise.all(goals.map((goal) => claimGoal(driver.db, goal, driver.lease)));
    // Room for nobody: what is due stays in Postgres.
    const { sent, door } = watchedDoor({ tenantCap: 0 });
    await Promise.all(
      claims.map((claim) =>
        door.commit({
          id: createId("write"),
          goal: claim!.goal.id,
          fence: claim!.fence,
          plan: { tasks: taskRows({ a: [], b: [], c: [] }).rows, read: claim!.row.plan_wanted },
        }),
      ),
    );
    expect(sent.map((each) => each.writes.length)).toEqual([2]);
    const jobs = await dispatchDue<DueJob>(driver.db, claims[0]!.goal.tenantId, 100_000, 3);
    expect(jobs.map(({ tasks }) => tasks.length)).toEqual([3]);
    const rest = await dispatchDue<DueJob>(driver.db, claims[0]!.goal.tenantId, 100_000, 100);
    expect([...jobs, ...rest].map(({ goal }) => goal).toSorted()).toEqual(goals.toSorted());
  });

  test("a commit that makes something due tells how much is in flight, and one that does not is silent", async () => {
    const claims = await claimMany(20);
    const told: number[] = [];
    const store = createStore(driver.db);
    const door = createDoor(
      store,
      { jobs: async () => undefined, events: () => undefined, inFlight: (tasks) => void told.push(tasks) },
      { tenantCap: 100_000, ...defaultBatchLimits, clock: Date.now, pause: async () => undefined },
    );
    await door.commit(writeOf(claims[0]!, step(1)));
    expect(told).toEqual([]);
    await door.commit(writeOf(claims[0]!, { ...step(2), move: { to: "reflecting", result: "found" } }));
    expect(told, "no more is counted than matters").toEqual([manyInFlight]);
  });

  test("W3: processes that claim the same tasks at once get each task once", async () => {
    const goals = await Promise.all(
      Array.from({ length: 12 }, async () => {
        const goal = await driver.submit();
        return { goal, tasks: Object.values(await driver.plan(goal, { a: [], b: [], c: [], d: [] })) };
      }),
    );
    const leases = await Promise.all([newLease(driver.db), newLease(driver.db), newLease(driver.db)]);
    const claimed = await Promise.all(
      leases.map(async (lease) => {
        const { claimer } = watchedClaimer(lease);
        return (
          await Promise.all(
            goals.map(({ goal, tasks }) => claimer.claimTasks({ queue: "execute", goal, tasks, limit: 4 })),
          )
        ).flatMap((each) => each.claimed.map(({ task }) => task.id));
      }),
    );
    expect(claimed.flat().toSorted()).toEqual(goals.flatMap(({ tasks }) => tasks).toSorted());
    for (const [index, lease] of leases.entries()) {
      const rows = await driver.db.selectFrom("tasks").select("id").where("lease_id", "=", lease).execute();
      expect(rows.map((row) => row.id).toSorted(), "what the process was told is what it holds").toEqual(
        claimed[index]!.toSorted(),
      );
    }
    expect(await brokenInvariants(driver.db)).toEqual([]);
  });

  /** Claims of one process, with the sizes of its batches. */
  function watchedClaimer(lease: LeaseId) {
    const asked: number[] = [];
    const store = createStore(driver.db);
    const claimer = createClaimer(
      {
        claimWork: (requests, ...rest) => {
          asked.push(requests.length);
          return store.claimWork(requests, ...rest);
        },
      },
      lease,
      { maxClaims: 64, gatherMs: () => 0 },
    );
    return { claimer, asked };
  }
});
