/**
 * Bugs planted into the real store's functions: the conformance of the model shows each of them within a few seeds. What the
 * tests themselves are worth, in other words.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { openDatabase, type Database, type Db } from "@outerloop/core";
import { sql } from "kysely";
import { cloneDatabase, describeWithServers } from "../support/servers.ts";
import { createFollower, emptyStore, takeOverClock, type Difference } from "./real-store.ts";
import { simulate } from "./simulation.ts";
import { plantedBugs } from "./size.ts";

interface Bug {
  readonly in: string;
  readonly replaces: string;
  readonly by: string;
}

const bugs: Readonly<Record<string, Bug>> = {
  "a retry stays behind": { in: "move_task", replaces: "front = front OR v_move = 'ready'", by: "front = front" },
  "of a batch's steps one is counted": {
    in: "apply_plain_changes",
    replaces: "g.steps_used + s.settled_steps",
    by: "g.steps_used + least(s.settled_steps, 1)",
  },
  "a stale fence writes": { in: "guard_write", replaces: "t.fence <> (w ->> 'fence')::bigint OR ", by: "" },
  "a claim of a batch keeps its fence": { in: "claim_work", replaces: "fence = t.fence + 1, ", by: "" },
  "a batch counts blockers down twice": {
    in: "apply_plain_changes",
    replaces: "SET blockers = t.blockers - d.n,",
    by: "SET blockers = greatest(t.blockers - d.n - 1, 0),",
  },
  "a plain end leaves the planner's reservation": {
    in: "apply_plan_changes",
    replaces: "ELSE 0 END, plan_reserved = 0,",
    by: "ELSE 0 END, plan_reserved = g.plan_reserved,",
  },
  "a planner's stale fence writes": { in: "guard_write", replaces: "g.fence <> (w ->> 'fence')::bigint OR ", by: "" },
  "a claim keeps its fence": { in: "claim_tasks", replaces: "fence = fence + 1, ", by: "" },
  "blockers are counted down twice": {
    in: "move_task",
    replaces: "blockers = blockers - 1 WHERE",
    by: "blockers = greatest(blockers - 2, 0) WHERE",
  },
  "a wake-up is not counted": { in: "wake_tasks", replaces: "SET wakes = wakes + 1", by: "SET wakes = wakes" },
  "an event's number is skipped": {
    in: "append_events",
    replaces: "event_seq = event_seq + n",
    by: "event_seq = event_seq + n + (event_seq % 7 = 3)::int",
  },
  "a plan forgets requests that came meanwhile": {
    in: "move_goal",
    replaces: "greatest(plan_wanted - (w #>> '{plan,read}')::integer, 0)",
    by: "0",
  },
  "a split's dependents forget a subtask": {
    in: "move_task",
    replaces: "unnest(v_new) n WHERE d.depends_on",
    by: "unnest(v_new[1:1]) n WHERE d.depends_on",
  },
  "a spent step is not counted": {
    in: "settle_write",
    replaces: "steps_used = steps_used + v_steps",
    by: "steps_used = steps_used + least(v_steps, 1) * (CASE WHEN v_reserve > 1 THEN 0 ELSE 1 END)",
  },
  "a task sleeps although something came": {
    in: "guard_write",
    replaces: "t.wakes <> (w #>> '{move,wakes}')::bigint",
    by: "false",
  },
  "the cap in flight is off by one": {
    in: "dispatch_due",
    replaces: "SELECT p_cap - count(*) INTO room",
    by: "SELECT p_cap + 1 - count(*) INTO room",
  },
};
/** Each was found within this many. */
const seedsEach = 40;

describeWithServers("what is planted into PostgreSQL", () => {
  let database: Database;
  beforeAll(async () => {
    const { url } = await cloneDatabase();
    database = await openDatabase({ kind: "server", url, maxConnections: 1, applicationName: "planted" });
    await takeOverClock(database.db);
  }, 60_000);
  afterAll(() => database?.close());

  test.for(Object.keys(bugs).slice(0, plantedBugs))("%s: found", { timeout: 300_000 }, async (name) => {
    const mend = await plant(database.db, bugs[name]!);
    try {
      let found: string | null = null;
      for (let seed = 1; seed <= seedsEach && found === null; seed += 1) found = await difference(database.db, seed);
      expect(found).not.toBeNull();
    } finally {
      await mend();
    }
  });
});

class Found extends Error {}

async function difference(db: Db, seed: number): Promise<string | null> {
  await emptyStore(db);
  const follower = createFollower(db);
  let first: Difference | null = null;
  await simulate({
    seed,
    singleSession: true,
    async follow(recorded, tables) {
      first = await follower.follow(recorded, tables);
      if (first !== null) throw new Found(first.what);
    },
  }).catch((thrown: unknown) => {
    if (!(thrown instanceof Found)) throw thrown;
  });
  return first === null ? null : `${seed} ${(first as Difference).what}`;
}

async function plant(db: Db, bug: Bug): Promise<() => Promise<void>> {
  const { rows } = await sql<{
    source: string;
  }>`SELECT pg_get_functiondef(oid) AS source FROM pg_proc WHERE proname = ${bug.in}`.execute(db);
  const source = rows[0]!.source;
  expect(source).toContain(bug.replaces);
  await sql.raw(source.replace(bug.replaces, () => bug.by)).execute(db);
  return async () => void (await sql.raw(source).execute(db));
}
