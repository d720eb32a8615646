/**
 * Two sessions on real PostgreSQL: every pair of store operations that may meet, each begun before the other has
 * committed. A third session holds the goal's row until both wait for it, in a known order, so nothing is left to
 * chance and nothing sleeps: the test looks in pg_locks for who waits.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  answerQuestion,
  cancelGoal,
  claimGoal,
  claimTasks,
  createId,
  dispatchDue,
  openDatabase,
  pauseGoal,
  resumeGoal,
  signalGoal,
  decideApproval,
  fireDueWaits,
  loadWaits,
  noGuardCounts,
  type WaitId,
  type ClaimedGoal,
  type ClaimedTask,
  type Database,
  type GoalId,
  type LeaseId,
  type TaskChange,
  type TaskId,
  type TaskWrite,
} from "@outerloop/core";
import { sql } from "kysely";
import { sized } from "../crash/support/size.ts";
import { createRandom } from "../support/seeded-random.ts";
import { cloneDatabase, describeWithServers, type ClonedDatabase } from "../support/servers.ts";
import {
  brokenInvariants,
  createDriver,
  newLease,
  operator,
  questionRow,
  taskRows,
  waitRow,
  type Driver,
} from "../support/goal-driver.ts";

/** A goal in the middle of its life: something of it can meet everything else. */
interface Scene {
  readonly goal: GoalId;
  readonly ids: Readonly<Record<string, TaskId>>;
  /** Running, claimed by a process that lives. */
  readonly running: ClaimedTask;
  /** What it has seen of what it waits for: a decision, a timer that is due, a signal. */
  readonly wakes: number;
  readonly approval: WaitId;
  /** Running, claimed by a process that died. */
  readonly orphan: ClaimedTask;
  /** In reflection, claimed. */
  readonly reflecting: ClaimedTask;
  /** Another one in reflection, claimed. */
  readonly reflectingToo: ClaimedTask;
  readonly planner: ClaimedGoal;
  /** Due, where its planner has asked already. */
  readonly question: string | null;
  readonly takeover: LeaseId;
}

type Operation = (driver: Driver, scene: Scene) => Promise<unknown>;

const write = (scene: Scene, claim: ClaimedTask, change: TaskChange): TaskWrite => ({
  id: createId("write"),
  goal: scene.goal,
  task: claim.task.id,
  fence: claim.fence,
  ...change,
});

/** Positions in the journal are taken once, so each write takes its own. */
let position = 0;

const operations: Readonly<Record<string, Operation>> = {
  plan: (driver, scene) => {
    const { rows } = taskRows({ n1: [], n2: ["n1", "split_me", "finish_me"] }, null, scene.ids);
    return driver.door.commit({
      id: createId("write"),
      goal: scene.goal,
      fence: scene.planner.fence,
      plan: { tasks: rows, read: scene.planner.row.plan_wanted },
    });
  },
  "plan done": (driver, scene) =>
    driver.door.commit({
      id: createId("write"),
      goal: scene.goal,
      fence: scene.planner.fence,
      end: { to: "succeeded", answer: "x" },
    }),
  ask: (driver, scene) =>
    driver.door.commit({
      id: createId("write"),
      goal: scene.goal,
      fence: scene.planner.fence,
      ask: questionRow({ about: "drift" }),
      guards: { ...noGuardCounts, drift: 2 },
    }),
  answer: (driver, scene) => answer(driver, scene, "go on"),
  "answer otherwise": (driver, scene) => answer(driver, scene, "stop"),
  "journal a step": (driver, scene) =>
    driver.door.commit(
      write(scene, scene.running, {
        steps: [
          {
            attempt: 1,
            seq: (position += 1),
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
      }),
    ),
  "finish execution": (driver, scene) =>
    driver.door.commit(write(scene, scene.running, { move: { to: "reflecting", result: "r" } })),
  "start waiting": (driver, scene) =>
    driver.door.commit(write(scene, scene.running, { move: { to: "waiting", wakes: scene.wakes } })),
  "ask to wait": (driver, scene) =>
    driver.door.commit(write(scene, scene.running, { waits: [waitRow("signal", (position += 1))] })),
  decide: (driver, scene) =>
    decideApproval(driver.db, operator, "test", scene.approval, { decision: "reject", reason: "no" }),
  "fire timers": (driver) => fireDueWaits(driver.db, 500),
  "reflect done": (driver, scene) => driver.door.commit(write(scene, scene.reflecting, { move: { to: "done" } })),
  "reflect abandoned": (driver, scene) =>
    driver.door.commit(write(scene, scene.reflecting, { move: { to: "abandoned", reason: "r" } })),
  "reflect retry": (driver, scene) =>
    driver.door.commit(write(scene, scene.reflecting, { move: { to: "ready", hint: "h" } })),
  split: (driver, scene) =>
    driver.door.commit(
      write(scene, scene.reflectingToo, {
        move: { to: "split" },
        tasks: taskRows({ sa: [], sb: ["sa"] }, scene.reflectingToo.task.id).rows,
      }),
    ),
  signal: (driver, scene) => sendGo(driver, scene.goal),
  claim: (driver, scene) => claimTasks(driver.db, scene.goal, "execute", [scene.ids["ready_one"]!], driver.lease, 1),
  "take over": (driver, scene) =>
    claimTasks(driver.db, scene.goal, "execute", [scene.orphan.task.id], scene.takeover, 1),
  "late write of the dead": (driver, scene) =>
    driver.door.commit(write(scene, scene.orphan, { move: { to: "reflecting", result: "late" } })),
  cancel: (driver, scene) => cancelGoal(driver.db, operator, scene.goal, null),
  pause: (driver, scene) => pauseGoal(driver.db, operator, scene.goal),
  resume: (driver, scene) => resumeGoal(driver.db, operator, scene.goal),
  dispatch: (driver) => dispatchDue(driver.db, operator.tenantId, 100_000, 500),
};

/** These do not lock the goal's row, so they never wait for its holder. */
const lockless = new Set(["dispatch", "fire timers"]);

/** What may meet while a goal waits for its submitter. */
const whileAsking = [
  "ask",
  "answer",
  "answer otherwise",
  "fire timers",
  "cancel",
  "pause",
  "resume",
  "finish execution",
  "reflect abandoned",
  "signal",
  "dispatch",
] as const;

const answer = (driver: Driver, { goal, question }: Scene, text: string) =>
  answerQuestion(driver.db, operator, goal, { question, text, by: "test" });

const sendGo = (driver: Driver, goal: GoalId) =>
  signalGoal(driver.db, operator, goal, { name: "go", payload: null, task: null, key: null, by: "test" });

async function setScene(driver: Driver): Promise<Scene> {
  const goal = await driver.submit();
  const ids = await driver.plan(goal, {
    run_me: [],
    orphan: [],
    finish_me: [],
    split_me: [],
    ready_one: [],
    after: ["finish_me", "split_me"],
    later: ["after"],
  });
  const running = await driver.claim(goal, ids["run_me"]!);
  // Enough open ends that no single one wakes it for good.
  const approval = waitRow("approval", (position += 1), { on_deadline: "reject" });
  const due = waitRow("timer", (position += 1), { for_ms: 0 });
  await driver.door.commit({
    id: createId("write"),
    goal,
    task: running.task.id,
    fence: running.fence,
    waits: [approval, due, waitRow("signal", (position += 1))],
  });
  const { wakes } = await loadWaits(driver.db, running.task.id, 1);
  const dead = await newLease(driver.db);
  const orphan = (await claimTasks(driver.db, goal, "execute", [ids["orphan"]!], dead, 1)).claimed[0]!;
  await driver.db.deleteFrom("leases").where("id", "=", dead).execute();
  for (const key of ["finish_me", "split_me"]) await driver.execute(goal, ids[key]!);
  const reflecting = (await claimTasks(driver.db, goal, "reflect", [ids["finish_me"]!], driver.lease, 1)).claimed[0]!;
  const reflectingToo = (await claimTasks(driver.db, goal, "reflect", [ids["split_me"]!], driver.lease, 1)).claimed[0]!;
  await driver.db.updateTable("goals").set({ plan_wanted: 1 }).where("id", "=", goal).execute();
  const planner = (await claimGoal(driver.db, goal, driver.lease))!;
  return {
    goal,
    ids,
    running,
    wakes,
    approval: approval.id,
    orphan,
    reflecting,
    reflectingToo,
    planner,
    question: null,
    takeover: await newLease(driver.db),
  };
}

/** The same goal, whose planner has asked what nobody answered until now. */
async function setAskingScene(driver: Driver): Promise<Scene> {
  const scene = await setScene(driver);
  const ask = questionRow({ for_ms: 0 });
  const write = { id: createId("write"), goal: scene.goal, fence: scene.planner.fence, ask };
  expect(await driver.door.commit(write)).toMatchObject({ outcome: "won", goalStatus: "waiting" });
  return { ...scene, question: ask.id };
}

/** Plays worker and planner until the goal ends; a stuck task or a lost wake-up shows as a round without progress. */
async function playToEnd(driver: Driver, goal: GoalId): Promise<string> {
  // Whoever held claims before is gone; fences decide what of theirs still counts.
  await driver.db.updateTable("goals").set({ lease_id: null }).where("id", "=", goal).execute();
  await driver.db.updateTable("tasks").set({ lease_id: null }).where("goal_id", "=", goal).execute();
  // Ends: a goal of this size is played out in far fewer rounds.
  for (let round = 0; round < 60; round += 1) {
    const row = await driver.db.selectFrom("goals").selectAll().where("id", "=", goal).executeTakeFirstOrThrow();
    if (row.ended_at !== null) return row.status;
    if (row.status === "paused") await resumeGoal(driver.db, operator, goal);
    await answerQuestion(driver.db, operator, goal, { question: null, text: "go on", by: "test" });
    const tasks = await driver.db
      .selectFrom("tasks")
      .selectAll()
      .where("goal_id", "=", goal)
      .orderBy("number")
      .execute();
    for (const task of tasks) {
      if (task.status === "waiting") await sendGo(driver, goal);
      if (task.status === "ready" || task.status === "running") await driver.execute(goal, task.id as TaskId);
      if (task.status === "reflecting") await driver.reflect(goal, task.id as TaskId, "done");
    }
    const planner = await claimGoal(driver.db, goal, driver.lease);
    if (planner !== undefined) {
      const commit = { id: createId("write"), goal, fence: planner.fence };
      const ended = await driver.door.commit({ ...commit, end: { to: "succeeded", answer: "x" } });
      if (ended.outcome === "refused")
        await driver.door.commit({
          ...commit,
          id: createId("write"),
          plan: { tasks: [], read: planner.row.plan_wanted },
        });
    }
  }
  return "stuck";
}

describeWithServers("two sessions on real PostgreSQL", () => {
  let clone: ClonedDatabase;
  let database: Database;
  let driver: Driver;
  beforeAll(async () => {
    clone = await cloneDatabase();
    database = await openDatabase({
      kind: "server",
      url: clone.url,
      maxConnections: 12,
      applicationName: "interleavings",
    });
    driver = await createDriver(database.db);
  }, 60_000);
  afterAll(async () => {
    await database?.close();
    await clone?.drop();
  });

  /** Resolves when this many sessions of ours wait for a lock. */
  async function untilWaiting(count: number): Promise<void> {
    // Ends: each session either comes to wait or ends its statement; the test's own timeout bounds a fault.
    for (;;) {
      const { rows } = await sql<{
        n: number;
      }>`SELECT count(DISTINCT pid)::integer AS n FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()`.execute(
        driver.db,
      );
      if ((rows[0]?.n ?? 0) >= count) return;
    }
  }

  async function meet(first: string, second: string, set = setScene): Promise<Scene> {
    const scene = await set(driver);
    const holder = await database.pool.connect();
    const running: Promise<unknown>[] = [];
    try {
      await holder.query("BEGIN");
      await holder.query("SELECT FROM goals WHERE id = $1 FOR UPDATE", [scene.goal]);
      let waiting = 0;
      for (const name of [first, second]) {
        const operation = operations[name]!(driver, scene);
        operation.catch(() => undefined);
        running.push(operation);
        if (lockless.has(name)) await operation;
        else await untilWaiting((waiting += 1));
      }
    } finally {
      await holder.query("COMMIT");
      holder.release();
    }
    await Promise.all(running);
    expect(await brokenInvariants(driver.db), `${first} met by ${second}`).toEqual([]);
    expect(await playToEnd(driver, scene.goal), `${first} met by ${second}`).not.toBe("stuck");
    expect(await brokenInvariants(driver.db), `after ${first} met by ${second}`).toEqual([]);
    return scene;
  }

  const names = Object.keys(operations);
  for (const first of names) {
    test(`${first}: whoever comes while it commits, no wake-up is lost, no task is stuck, no stale write counts`, async () => {
      for (const second of names) await meet(first, second);
    }, 120_000);
  }

  for (const first of whileAsking) {
    test(`${first}, while the goal asks: whoever comes, its question is answered once or withdrawn, and it goes on`, async () => {
      for (const second of whileAsking) {
        const { goal, question } = await meet(first, second, setAskingScene);
        const { rows } = await sql<{ status: string; answers: number; asked: number }>`
          SELECT status, (SELECT count(*)::integer FROM events WHERE goal_id = ${goal} AND type = 'goal.answered') AS answers,
            (SELECT count(*)::integer FROM questions WHERE goal_id = ${goal}) AS asked
          FROM questions WHERE id = ${question}`.execute(driver.db);
        // The late ask of a planner that has asked already is stale.
        expect(rows, `${first} met by ${second}`).toEqual([
          {
            status: expect.stringMatching(/answered|withdrawn/),
            answers: rows[0]?.status === "answered" ? 1 : 0,
            asked: 1,
          },
        ]);
      }
    }, 120_000);
  }

  test("random operations and batches from 4 writers on shared goals: no deadlock, and every counter agrees at the end", async () => {
    const scenes = await Promise.all(Array.from({ length: sized(25, 100) }, () => setScene(driver)));
    const { next: random, pick, shuffle } = createRandom(20_261_121);
    const faults: unknown[] = [];
    let left = sized(3000, Infinity);
    const until = performance.now() + 60_000;

    async function act(): Promise<void> {
      const at = Math.floor(random() * scenes.length);
      const scene = scenes[at]!;
      const kind = random();
      if (kind < 0.01) {
        // A goal is used up in time; a new one takes its place.
        await cancelGoal(driver.db, operator, scene.goal, null);
        scenes[at] = await setScene(driver);
      } else if (kind < 0.06) {
        await (random() < 0.5 ? pauseGoal : resumeGoal)(driver.db, operator, scene.goal);
      } else if (kind < 0.4) {
        await operations[pick(names.filter((name) => name !== "cancel" && name !== "plan done"))]!(driver, scene);
      } else if (kind < 0.5) {
        // A process with many tasks in work: one batch for several goals, each write as it comes.
        const several = shuffle(scenes).slice(0, 12);
        const names = ["journal a step", "finish execution", "reflect done", "late write of the dead", "ask to wait"];
        await Promise.all(several.map((each) => operations[pick(names)]!(driver, each)));
      } else {
        // A worker: claims what it finds and moves it on with the fence that it got.
        const tasks = await driver.db
          .selectFrom("tasks")
          .select(["id", "status"])
          .where("goal_id", "=", scene.goal)
          .where("status", "in", ["ready", "reflecting", "running"])
          .execute();
        if (tasks.length === 0) return;
        const task = pick(tasks);
        const queue = task.status === "reflecting" ? "reflect" : "execute";
        const { claimed } = await claimTasks(driver.db, scene.goal, queue, [task.id as TaskId], driver.lease, 1);
        for (const claim of claimed) {
          const move =
            queue === "execute"
              ? pick([{ to: "reflecting", result: "r" }, { to: "released" }] as const)
              : pick([{ to: "done" }, { to: "ready", hint: "h" }, { to: "abandoned", reason: "r" }] as const);
          await driver.door.commit(write(scene, claim, { move, events: [{ type: "step.model", data: {} }] }));
        }
      }
    }

    await Promise.all(
      Array.from({ length: 4 }, async () => {
        while (left-- > 0 && performance.now() < until) await act().catch((thrown: unknown) => faults.push(thrown));
      }),
    );
    expect(faults).toEqual([]);
    const { rows } = await sql<{
      deadlocks: number;
    }>`SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`.execute(driver.db);
    expect(rows[0]?.deadlocks).toBe(0);
    expect(await brokenInvariants(driver.db)).toEqual([]);
    for (const scene of scenes) expect(await playToEnd(driver, scene.goal)).not.toBe("stuck");
    expect(await brokenInvariants(driver.db)).toEqual([]);
  }, 300_000);
});
