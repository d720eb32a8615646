/** Batches through the one door, on whichever database: together is the same as one by one. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  claimWork,
  commitWrites,
  createId,
  defaultBudget,
  type ClaimRequest,
  type Database,
  type GoalId,
  type SealedWrite,
  type TaskId,
  type TaskMove,
  type Write,
} from "@outerloop/core";
import { sql } from "kysely";
import { sized } from "../crash/support/size.ts";
import { brokenInvariants, createDriver, taskRows, type Driver } from "../support/goal-driver.ts";
import { createRandom, type SeededRandom } from "../support/seeded-random.ts";

/** One goal twice: in each world the same is done to it. */
interface Twin {
  readonly goals: readonly [GoalId, GoalId];
  /** Ids of its tasks in both worlds. */
  readonly tasks: Map<string, readonly [TaskId, TaskId]>;
  /** What was won before, to be sent again. */
  readonly sent: (readonly [Write, Write])[];
}

interface Held {
  readonly subject: string;
  readonly fence: number;
  readonly stage: "execute" | "reflect" | "plan";
  readonly attempt: number;
  readonly read: number;
}

const goalsOfRun = 12;
const rounds = 10;
const worlds = [0, 1] as const;

export function doorBatchCases(name: string, open: () => Promise<Database>): void {
  describe(`batches through the one door on ${name}`, () => {
    let database: Database;
    let driver: Driver;
    beforeAll(async () => {
      database = await open();
      driver = await createDriver(database.db);
    }, 60_000);
    afterAll(() => database?.close());

    /** Everything that is stored of a goal, with names for its ids and without its times. */
    async function contents(twin: Twin, world: 0 | 1): Promise<unknown> {
      const goal = twin.goals[world];
      const { rows } = await sql<{ all: Record<string, Record<string, unknown>[] | null> }>`
        SELECT jsonb_build_object(
          'goal', (SELECT jsonb_agg(to_jsonb(g)) FROM goals g WHERE g.id = ${goal}),
          'tasks', (SELECT jsonb_agg(to_jsonb(t) ORDER BY number) FROM tasks t WHERE t.goal_id = ${goal}),
          'needs', (SELECT jsonb_agg(to_jsonb(d) ORDER BY a.number, b.number) FROM task_dependencies d JOIN tasks a ON a.id = d.task_id
            JOIN tasks b ON b.id = d.depends_on WHERE d.goal_id = ${goal}),
          'steps', (SELECT jsonb_agg(to_jsonb(s) ORDER BY number) FROM steps s WHERE s.goal_id = ${goal}),
          'events', (SELECT jsonb_agg(to_jsonb(e) ORDER BY seq) FROM events e WHERE e.goal_id = ${goal}),
          'files', (SELECT jsonb_agg(to_jsonb(a) ORDER BY version) FROM artifacts a WHERE a.goal_id = ${goal}),
          'memory', (SELECT jsonb_agg(to_jsonb(m) ORDER BY text) FROM memory_entries m WHERE m.goal_id = ${goal}),
          'blobs', (SELECT jsonb_agg(to_jsonb(b) ORDER BY hash) FROM blobs b WHERE b.goal_id = ${goal})) AS all`.execute(
        driver.db,
      );
      let text = JSON.stringify(rows[0]!.all, (key, value: unknown) => {
        // What any commit of the tenant puts on its way depends on which commits there are.
        if (key === "dispatch" || key === "dispatched_at" || key === "job_id") return undefined;
        // Whether there is an instant is compared, which one cannot be.
        if (key === "at" || key.endsWith("_at")) return value === null ? null : value === "infinity" ? value : "set";
        return value;
      });
      text = text.replaceAll(goal, "the-goal");
      for (const [key, ids] of twin.tasks) text = text.replaceAll(ids[world], `task-${key}`);
      for (const [index, writes] of twin.sent.entries()) text = text.replaceAll(writes[world].id, `write-${index}`);
      return JSON.parse(text.replaceAll(/"mem_\w+"/g, '"a memory"'));
    }

    async function createTwin(random: SeededRandom): Promise<Twin> {
      const budget = random.pick([
        {},
        {},
        {},
        { steps: 12 },
        { tokens: 300_000 },
        { tokens: 900_000 },
        { microUsd: 1_000_000 },
      ]);
      const goals = [
        await driver.submit("a goal", { ...defaultBudget, ...budget }),
        await driver.submit("a goal", { ...defaultBudget, ...budget }),
      ] as const;
      const cadence = random.pick(["adaptive", "adaptive", "every-step", "every-n"]);
      await driver.db
        .updateTable("goals")
        .set({ planning: cadence, planning_every: cadence === "every-n" ? 2 : 1 })
        .where("id", "in", [...goals])
        .execute();
      return { goals, tasks: new Map(), sent: [] };
    }

    /** Claims the same in both worlds: in one all at once, in the other one after another. */
    async function claim(twins: readonly Twin[], random: SeededRandom): Promise<Map<Twin, Held[]>> {
      const asked: { readonly twin: Twin; readonly requests: readonly [ClaimRequest, ClaimRequest] }[] = [];
      for (const twin of twins) {
        if (random.chance(0.8))
          asked.push({
            twin,
            requests: both((world) => ({ queue: "plan", goal: twin.goals[world], tasks: [], limit: 1 })),
          });
        for (const queue of ["execute", "reflect"] as const) {
          const keys = random.shuffle([...twin.tasks.keys()]).slice(0, random.int(1, 6));
          // Several jobs of one goal meet in a batch.
          for (const part of [keys.slice(0, 3), keys.slice(3)]) {
            if (part.length === 0) continue;
            const limit = random.int(1, 3);
            asked.push({
              twin,
              requests: both((world) => ({
                queue,
                goal: twin.goals[world],
                tasks: part.map((key) => twin.tasks.get(key)![world]),
                limit,
              })),
            });
          }
        }
      }
      const order = random.shuffle(asked);
      const together = await claimWork(
        driver.db,
        order.map((each) => each.requests[0]),
        driver.lease,
        true,
      );
      const held = new Map<Twin, Held[]>();
      for (const [index, { twin, requests }] of order.entries()) {
        const [alone] = await claimWork(driver.db, [requests[1]], driver.lease, true);
        const got = worlds.map((world) => {
          const claimed = world === 0 ? together[index] : alone;
          if (claimed?.kind === "goal")
            return claimed.claim === undefined
              ? []
              : [
                  {
                    subject: "goal",
                    fence: claimed.claim.fence,
                    stage: "plan" as const,
                    attempt: claimed.claim.row.plan_round + 1,
                    read: claimed.claim.row.plan_wanted,
                  },
                ];
          if (claimed?.kind !== "tasks") throw new Error(`busy, though it waited: ${JSON.stringify(requests[world])}`);
          return claimed.claims.claimed.map((each) => ({
            subject: each.task.key,
            fence: each.fence,
            stage: requests[world].queue,
            attempt: each.task.attempt,
            read: 0,
          }));
        });
        expect(got[0], "claimed in a batch").toEqual(got[1]);
        held.set(twin, [...(held.get(twin) ?? []), ...got[0]!]);
      }
      return held;
    }

    /** One write of a claim, in both worlds. */
    function writeOf(twin: Twin, claim: Held, seq: number, random: SeededRandom): readonly [Write, Write] {
      const again = random.chance(0.05) && twin.sent.length > 0 ? random.pick(twin.sent) : undefined;
      if (again !== undefined) return again;
      const steps = random.int(0, 2);
      const stage = claim.stage;
      const tokens = random.int(0, 30_000);
      const text = `text ${seq}`;
      const journal = {
        steps: Array.from({ length: steps }, (_, index) => ({
          attempt: claim.attempt,
          seq: seq * 10 + index,
          phase: "result" as const,
          stage,
          kind: random.pick(["model", "tool"] as const),
          name: "x",
          input: { text },
          output: { text },
          ok: true,
          duration_ms: 1,
          output_tokens: tokens,
        })),
        ...(random.chance(0.3) && { blobs: [{ hash: `h${seq % 3}`, body: "b" }] }),
        ...(random.chance(0.3) && { files: [{ path: "log", mode: "append" as const, base64: "eA==", hash: "h" }] }),
        settle: { steps, tokens, cost_micro_usd: random.int(0, 20_000), cost_unknown: random.chance(0.05) },
        events: Array.from({ length: random.int(0, 2) }, () => ({ type: "step.model" as const, data: { text } })),
      };
      const fence = claim.fence - (random.chance(0.05) ? 1 : 0);
      const hasMemory = random.chance(0.3);
      const memory = () => [
        { id: `mem_${createId("write")}`, kind: "note" as const, text, embedding: "[1,2,3]", embedding_model: "m" },
      ];
      if (claim.stage === "plan") {
        const kind = random.int(0, 9);
        const planned: Record<string, string[]> = {};
        const made = random.int(kind === 0 ? 0 : 1, 4);
        const old = [...twin.tasks.keys()];
        for (let n = 0; n < made; n += 1) {
          const needs = [...Object.keys(planned), ...(random.chance(0.2) ? old : [])];
          planned[`t${twin.tasks.size + n}`] = needs.filter(() => random.chance(0.3));
        }
        const [one, two] = both((world) =>
          taskRows(planned, null, Object.fromEntries([...twin.tasks].map(([key, ids]) => [key, ids[world]]))),
        );
        const ends = kind >= 8;
        if (!ends) for (const key of Object.keys(planned)) twin.tasks.set(key, [one.ids[key]!, two.ids[key]!]);
        return both((world) => ({
          id: createId("write"),
          goal: twin.goals[world],
          fence,
          ...journal,
          ...(ends
            ? { end: { to: "succeeded" as const, answer: "x" } }
            : { plan: { tasks: world === 0 ? one.rows : two.rows, read: claim.read } }),
        }));
      }
      const reserves = random.chance(0.7);
      const hold = { tokens: random.int(0, 60_000), need_tokens: 1000, micro_usd: 1000, need_micro_usd: 100 };
      const holds = random.chance(0.5);
      const moves: readonly (TaskMove | null)[] =
        claim.stage === "execute"
          ? [null, { to: "reflecting", result: "r" }, { to: "reflecting", result: "r" }, { to: "released" }]
          : [
              null,
              { to: "done" },
              { to: "done" },
              { to: "done" },
              { to: "ready", hint: "h" },
              { to: "abandoned", reason: "r" },
            ];
      const move = random.pick(moves);
      return both((world) => ({
        id: createId("write"),
        goal: twin.goals[world],
        task: twin.tasks.get(claim.subject)![world],
        fence,
        ...journal,
        ...(hasMemory && { memory: memory() }),
        ...(reserves && { reserve: 1 }),
        ...(holds && { hold }),
        ...(move !== null && { move }),
      }));
    }

    const seal = (write: Write): SealedWrite => ({ write, text: JSON.stringify(write) });

    test(
      "W1: seeded random batches for many goals leave the same rows and give the same outcomes as one by one",
      async () => {
        for (let seed = 1; seed <= sized(1, 40); seed += 1) {
          const random = createRandom(seed);
          const twins: Twin[] = [];
          for (let n = 0; n < goalsOfRun; n += 1) twins.push(await createTwin(random));
          let seq = 0;
          const seen: Record<string, number> = {};
          for (let round = 0; round < rounds; round += 1) {
            const held = await claim(twins, random);
            const turns = random.int(1, 3);
            for (let turn = 0; turn < turns; turn += 1) {
              const batch: { readonly twin: Twin; readonly writes: readonly [Write, Write] }[] = [];
              for (const [twin, claims] of held)
                for (const each of claims) {
                  const writes = writeOf(twin, each, (seq += 1), random);
                  if (batch.some((other) => other.writes[0].id === writes[0].id)) continue;
                  if (!twin.sent.includes(writes)) twin.sent.push(writes);
                  batch.push({ twin, writes });
                }
              const order = random.shuffle(batch);
              if (order.length === 0) continue;
              const together = await commitWrites(
                driver.db,
                order.map((each) => seal(each.writes[0])),
                true,
                100_000,
              );
              const byId = new Map(together.writes.map((each) => [each.id, each]));
              for (const [index, { writes }] of order.entries()) {
                const alone = await commitWrites(driver.db, [seal(writes[1])], true, 100_000);
                const [one, two] = [byId.get(writes[0].id), alone.writes[0]];
                expect({ ...one, id: "" }, `seed ${seed}, round ${round}, write ${index}`).toEqual({ ...two, id: "" });
                seen[one!.outcome] = (seen[one!.outcome] ?? 0) + 1;
              }
            }
            for (const [index, twin] of twins.entries())
              expect(await contents(twin, 0), `seed ${seed}, round ${round}, goal ${index}`).toEqual(
                await contents(twin, 1),
              );
          }
          expect(seen["won"], "won").toBeGreaterThan(50);
          expect(seen["stale"], "stale").toBeGreaterThan(0);
        }
        // These writers settle whether they have reserved or not.
        const broken = await brokenInvariants(driver.db);
        expect(broken.filter((each) => !/ used \d+ and reserved 0 of \d+ steps$/.test(each))).toEqual([]);
      },
      sized(120_000, 1_800_000),
    );
  });
}

function both<Value>(make: (world: 0 | 1) => Value): readonly [Value, Value] {
  return [make(0), make(1)];
}
