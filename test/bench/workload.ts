/**
 * Goals in numbers, submitted through the HTTP API and watched from outside. A measurement counts only if every goal
 * succeeded with all its steps in the journal: a quick wrong answer is an error.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { createClient, type Client } from "@outerloop/client";
import { withClient } from "./servers.ts";
import { kinds, type Deployment, type PerKind } from "./deployment.ts";
import { stepsOfGoal } from "./provider.ts";

/** POSTs under way at the same time. */
const postsAtOnce = 32;
/** Between looks at how many goals are still live: of one indexed count, and 4 of them a second. */
const lookMs = 250;

export interface Burst {
  readonly goals: number;
  readonly goalsPerSecond: number;
  /** From the first POST to the last one answered. */
  readonly postedMs: number;
  /** From the first POST until the last goal's end, by the database's clock, which is this machine's. */
  readonly makespanMs: number;
  readonly cpuMsPerGoal: PerKind & { readonly all: number };
  /** Of the bench itself, which shares the machine: no part of `all`. */
  readonly driverCpuMsPerGoal: number;
  readonly commitsPerGoal: number;
  /** Of the journal, with ids and counters. */
  readonly stepBytes: number;
  readonly memoryMb: PerKind;
}

export function clientOf({ url, apiKey }: Pick<Deployment, "url" | "apiKey">): Client {
  return createClient({ baseUrl: url, apiKey });
}

export interface BurstOptions {
  readonly goals: number;
  readonly timeoutMs: number;
}

/** Submits so many goals at once and waits for all of them. Postgres deployments only. */
export async function runBurst(deployment: Deployment, { goals, timeoutMs }: BurstOptions): Promise<Burst> {
  const { databaseUrl } = deployment;
  if (databaseUrl === null) throw new Error("a burst is counted in PostgreSQL");
  const client = clientOf(deployment);
  // Connected once: a new connection is a new server process, whose start would be counted.
  return withClient(databaseUrl, async (db) => {
    const commits = async () => {
      // Sessions report what they counted at most once a second.
      await sleep(1100);
      await db.query("SELECT pg_stat_clear_snapshot()");
      const { rows } = await db.query<{ n: string }>(
        "SELECT xact_commit AS n FROM pg_stat_database WHERE datname = current_database()",
      );
      return Number(rows[0]?.n);
    };
    const idleMs = 2000;
    // What the processes commit while they have nothing to do is theirs, not the goals'.
    const before = await commits();
    const commitsBefore = before;
    const cpuBefore = deployment.cpu();
    const driverBefore = process.cpuUsage();
    const startedAt = Date.now();
    await postMany(client, goals);
    const postedMs = Date.now() - startedAt;
    let looks = 0;
    const giveUpAt = startedAt + timeoutMs;
    // Ends: with the last goal, or with an error when the time is up.
    for (;;) {
      const { rows } = await db.query<{ live: number }>(
        "SELECT count(*)::int AS live FROM goals WHERE status IN ('queued', 'planning', 'running', 'waiting')",
      );
      looks += 1;
      if (rows[0]?.live === 0) break;
      if (Date.now() > giveUpAt)
        throw new Error(`${rows[0]?.live} of ${goals} goals are not done after ${timeoutMs / 1000} s`);
      await sleep(lookMs);
    }
    const cpuAfter = deployment.cpu();
    const driver = process.cpuUsage(driverBefore);
    const memory = deployment.memory();
    const commitsAfter = await commits();
    void idleMs;

    const since = new Date(startedAt);
    const { rows: ends } = await db.query<{ succeeded: number; last: Date; steps: string; bytes: number }>(
      `SELECT count(*) FILTER (WHERE g.status = 'succeeded')::int AS succeeded, max(g.ended_at) AS last,
              sum(s.n) AS steps, avg(s.bytes)::float AS bytes
       FROM goals g CROSS JOIN LATERAL (
         SELECT count(*) AS n, avg(pg_column_size(steps.*)) AS bytes FROM steps
         WHERE goal_id = g.id AND phase = 'result') s
       WHERE g.created_at >= $1`,
      [since],
    );
    const end = ends[0]!;
    if (end.succeeded !== goals || Number(end.steps) !== goals * stepsOfGoal)
      throw new Error(
        `of ${goals} goals ${end.succeeded} succeeded, with ${end.steps} steps in place of ${goals * stepsOfGoal}`,
      );
    const makespanMs = end.last.getTime() - startedAt;
    const cpuMsPerGoal = Object.fromEntries(
      kinds.flatMap((kind) => {
        const after = cpuAfter[kind];
        return after === undefined ? [] : [[kind, (after - (cpuBefore[kind] ?? 0)) / goals]];
      }),
    ) as PerKind;
    return {
      goals,
      goalsPerSecond: (goals / makespanMs) * 1000,
      postedMs,
      makespanMs,
      cpuMsPerGoal: { ...cpuMsPerGoal, all: Object.values(cpuMsPerGoal).reduce((sum, ms) => sum + ms, 0) },
      driverCpuMsPerGoal: (driver.user + driver.system) / 1000 / goals,
      // The bench's own looks are commits too.
      commitsPerGoal: (commitsAfter - commitsBefore - looks - 1) / goals,
      stepBytes: end.bytes,
      memoryMb: memory,
    };
  });
}

/** Resolves when every goal was accepted. */
async function postMany(client: Client, count: number): Promise<void> {
  let next = 0;
  const poster = async () => {
    while (next < count) {
      const number = (next += 1);
      await client.goals.create({ text: goalText(number) });
    }
  };
  await Promise.all(Array.from({ length: Math.min(postsAtOnce, count) }, poster));
}

export const goalText = (number: number) =>
  `Look up the figures of all parts of machine ${number} and say what they mean together.`;
