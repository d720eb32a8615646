/**
 * Goals in numbers, submitted through the HTTP API and watched from outside. A measurement counts only if every goal
 * succeeded with all its steps in the journal: a quick wrong answer is an error.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { z } from "zod";
import { machineBusyMs } from "./cpu.ts";
import { kinds, type Deployment, type PerKind } from "./deployment.ts";
import { openDoor, type Door } from "./door.ts";
import { stepsOfGoal } from "./provider.ts";
import { withClient, type BenchServers } from "./servers.ts";
import { countStatements, roundTrips, type CountedStatement } from "./statements.ts";
import { percentile } from "./statistics.ts";

/** POSTs under way at the same time. */
const postsAtOnce = 32;
/** Between looks at how many goals are still live: one indexed count, 4 times a second. */
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
  /** Of the machine's processors, what others took meanwhile: high, and the figures say little. */
  readonly othersCpuPercent: number;
  /** Of the journal: its row, with ids and counters, and what the step gave. */
  readonly stepBytes: number;
  readonly outputBytes: number;
  readonly memoryMb: PerKind;
  /** Goals under way at the same time, the most that was seen. */
  readonly mostLive: number;
}

export interface BurstOptions {
  readonly goals: number;
  readonly timeoutMs: number;
}

/** Submits so many goals at once and waits for all of them. */
export async function runBurst(deployment: Deployment, options: BurstOptions): Promise<Burst> {
  if (deployment.databaseUrl === null) throw new Error("this burst is watched in PostgreSQL");
  // Connected before anything is measured: a new connection is a new server process.
  return withClient(deployment.databaseUrl, (db) => burst(deployment, db, options));
}

async function burst(deployment: Deployment, db: pg.Client, { goals, timeoutMs }: BurstOptions): Promise<Burst> {
  const door = openDoor(deployment);
  try {
    const meter = startMeter(deployment);
    const startedAt = Date.now();
    await postMany(door, goals);
    const postedMs = Date.now() - startedAt;
    const mostLive = await untilNoneIsLive(db, startedAt + timeoutMs);
    const spent = meter.stop(goals);
    const memoryMb = deployment.memory();
    const { rows } = await db.query<{ succeeded: number; last: Date; steps: string; bytes: number; output: number }>(
      `SELECT count(*) FILTER (WHERE g.status = 'succeeded')::int AS succeeded, max(g.ended_at) AS last,
              sum(s.n) AS steps, avg(s.bytes)::float AS bytes, avg(s.output)::float AS output
       FROM goals g CROSS JOIN LATERAL (
         SELECT count(*) AS n, avg(pg_column_size(steps.*)) AS bytes, avg(octet_length(output::text)) AS output
         FROM steps WHERE goal_id = g.id AND goal_day = g.goal_day AND phase = 'result') s
       WHERE g.created_at >= $1`,
      [new Date(startedAt)],
    );
    const { succeeded, last, steps, bytes, output } = rows[0]!;
    if (succeeded !== goals || Number(steps) !== goals * stepsOfGoal)
      throw new Error(
        `of ${goals} goals ${succeeded} succeeded, with ${steps} steps in place of ${goals * stepsOfGoal}`,
      );
    const makespanMs = last.getTime() - startedAt;
    return {
      goals,
      goalsPerSecond: (goals / makespanMs) * 1000,
      postedMs,
      makespanMs,
      ...spent,
      stepBytes: bytes,
      outputBytes: output,
      memoryMb,
      mostLive,
    };
  } finally {
    door.close();
  }
}

/** What each kind of process, the bench and everybody else spend from now on. */
export function startMeter(deployment: Pick<Deployment, "cpu">) {
  const startedAt = performance.now();
  const [before, busyBefore, driverBefore] = [deployment.cpu(), machineBusyMs(), process.cpuUsage()];
  return {
    stop(goals: number): Pick<Burst, "cpuMsPerGoal" | "driverCpuMsPerGoal" | "othersCpuPercent"> {
      const [after, busyMs, driver] = [deployment.cpu(), machineBusyMs() - busyBefore, process.cpuUsage(driverBefore)];
      const tookMs = performance.now() - startedAt;
      const spent = kinds.flatMap((kind) => {
        const end = after[kind];
        return end === undefined ? [] : [[kind, end - (before[kind] ?? 0)] as const];
      });
      const allMs = spent.reduce((sum, [, ms]) => sum + ms, 0);
      const driverMs = (driver.user + driver.system) / 1000;
      return {
        cpuMsPerGoal: {
          ...(Object.fromEntries(spent.map(([kind, ms]) => [kind, ms / goals])) as PerKind),
          all: allMs / goals,
        },
        driverCpuMsPerGoal: driverMs / goals,
        othersCpuPercent: Math.max(0, ((busyMs - allMs - driverMs) / tookMs) * 100),
      };
    },
  };
}

/** Resolves when every goal was accepted. */
async function postMany(door: Door, count: number): Promise<void> {
  let next = 0;
  const poster = async () => {
    while (next < count) await door.post(goalText((next += 1)));
  };
  await Promise.all(Array.from({ length: Math.min(postsAtOnce, count) }, poster));
}

const goalText = (number: number) =>
  `Look up the figures of all parts of machine ${number} and say what they mean together.`;

/** The most that were live at one look. */
async function untilNoneIsLive(db: pg.Client, giveUpAt: number): Promise<number> {
  let most = 0;
  // Ends: with the last goal, or with an error when the time is up.
  for (;;) {
    const { rows } = await db.query<{ live: number }>(
      "SELECT count(*)::int AS live FROM goals WHERE status IN ('queued', 'planning', 'running', 'waiting')",
    );
    const live = rows[0]?.live ?? 0;
    most = Math.max(most, live);
    if (live === 0) return most;
    if (Date.now() > giveUpAt) throw new Error(`${live} goals are not done in time`);
    await sleep(lookMs);
  }
}

/** One goal after the other, each from its POST until its watcher sees it succeed. */
export async function runAlone(
  deployment: Deployment,
  times: number,
): Promise<{ readonly p50Ms: number; readonly p99Ms: number }> {
  const door = openDoor(deployment);
  try {
    const tookMs: number[] = [];
    for (let number = 1; number <= times; number += 1) {
      const startedAt = performance.now();
      tookMs.push((await door.untilSucceeded(await door.post(goalText(number)))) - startedAt);
    }
    return { p50Ms: percentile(tookMs, 0.5), p99Ms: percentile(tookMs, 0.99) };
  } finally {
    door.close();
  }
}

export interface CountedBurst {
  readonly burst: Burst;
  /** Transactions, those that only read too, as the database counts them. */
  readonly commitsPerGoal: number;
  /** Those that wrote, each of which waits for the disk. */
  readonly writesPerGoal: number;
  readonly roundTripsPerGoal: number;
  readonly statements: readonly CountedStatement[];
}

/** A session tells what it counted when it has been idle for 10 s, if it was not busy since. */
const countsSettleMs = 11_000;
const idleSampleMs = 4000;

/** What a burst asks of PostgreSQL. Counting costs time, so this burst's time is not a figure. */
export async function countBurst(
  deployment: Deployment,
  servers: BenchServers,
  options: BurstOptions,
): Promise<CountedBurst> {
  const { databaseUrl } = deployment;
  if (databaseUrl === null) throw new Error("commits are counted in PostgreSQL");
  // From outside, so that this session's own transactions are none of that database's.
  return withClient(servers.postgres.url, async (db) => {
    const database = new URL(databaseUrl).pathname.slice(1);
    const counts = async () => {
      const { rows } = await db.query<{ commits: string; xid: string }>(
        `SELECT xact_commit AS commits, pg_snapshot_xmax(pg_current_snapshot())::text AS xid
         FROM pg_stat_database WHERE datname = $1`,
        [database],
      );
      return { commits: Number(rows[0]?.commits), xid: Number(rows[0]?.xid) };
    };
    // What the processes commit while nothing is to be done is theirs and not the goals'.
    await sleep(countsSettleMs);
    const idle = await counts();
    await sleep(idleSampleMs);
    const before = await counts();
    const idlePerMs = (before.commits - idle.commits) / idleSampleMs;
    const { result, statements } = await countStatements(servers, databaseUrl, async () => {
      const done = await runBurst(deployment, options);
      return { done, after: await counts() };
    });
    await sleep(countsSettleMs);
    const settled = await counts();
    const looks = Math.ceil(result.done.makespanMs / lookMs) + 2;
    return {
      burst: result.done,
      commitsPerGoal: Math.max(
        0,
        (settled.commits - before.commits - idlePerMs * countsSettleMs - looks) / options.goals,
      ),
      writesPerGoal: (result.after.xid - before.xid) / options.goals,
      roundTripsPerGoal: (roundTrips(statements) - looks) / options.goals,
      statements,
    };
  });
}

const page = z.object({ items: z.array(z.object({ ended_at: z.string().nullable() })) });

/** A burst where no database can be asked: watched through the API. */
export async function runBurstOverHttp(
  deployment: Deployment,
  { goals, timeoutMs }: BurstOptions,
): Promise<Omit<Burst, "stepBytes" | "outputBytes" | "mostLive">> {
  const door = openDoor(deployment);
  try {
    const meter = startMeter(deployment);
    const startedAt = Date.now();
    await postMany(door, goals);
    const postedMs = Date.now() - startedAt;
    const anyOf = async (status: string) =>
      page.parse(await door.getJson(`/v1/goals?status=${status}&limit=1`)).items.length > 0;
    // Ends: with the last goal, or with an error when the time is up.
    while ((await anyOf("running")) || (await anyOf("planning")) || (await anyOf("queued"))) {
      if (Date.now() > startedAt + timeoutMs) throw new Error(`not done after ${timeoutMs / 1000} s`);
      await sleep(lookMs);
    }
    const spent = meter.stop(goals);
    const ended = page.parse(await door.getJson("/v1/goals?status=succeeded&limit=100")).items;
    const own = ended.filter((goal) => Date.parse(goal.ended_at ?? "") >= startedAt);
    if (own.length !== Math.min(goals, 100)) throw new Error(`of ${goals} goals not all succeeded`);
    const makespanMs = Math.max(...own.map((goal) => Date.parse(goal.ended_at ?? ""))) - startedAt;
    return {
      goals,
      goalsPerSecond: (goals / makespanMs) * 1000,
      postedMs,
      makespanMs,
      ...spent,
      memoryMb: deployment.memory(),
    };
  } finally {
    door.close();
  }
}
