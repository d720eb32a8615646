/** Bare BullMQ flows as the floor that throughput, latency and CPU of the runtime are compared with, in the same run. */
import { randomBytes } from "node:crypto";
import { Queue, QueueEvents } from "bullmq";
import { Redis } from "ioredis";
import { cpuMs } from "../cpu.ts";
import { makeFolder, removeFolder } from "../folders.ts";
import { startProcess } from "../processes.ts";
import type { BenchServers } from "../servers.ts";
import { percentile } from "../statistics.ts";
import { finalPlanId, firstPlan, flowQueues, type FlowKind } from "./shape.ts";

/** Jobs at once in each process: more did not make it faster here, fewer made it slower. */
const concurrency = 32;
const timeoutMs = 300_000;

export interface Flows {
  /** So many goals at once: how many a second, and what they cost. */
  burst(goals: number): Promise<{
    readonly goalsPerSecond: number;
    readonly cpuMsPerGoal: { readonly valkey: number; readonly workers: number; readonly all: number };
  }>;
  /** One after the other: from adding the first job to the news that the last is done. */
  alone(times: number): Promise<{ readonly p50Ms: number; readonly p99Ms: number }>;
  stop(): Promise<void>;
}

export async function startFlows(servers: BenchServers, kind: FlowKind): Promise<Flows> {
  const folder = makeFolder();
  const prefix = `flows-${randomBytes(4).toString("hex")}`;
  const env = {
    REDIS_URL: servers.valkey.url,
    OUTERLOOP_QUEUE_PREFIX: prefix,
    OUTERLOOP_BENCH_CONCURRENCY: String(concurrency),
  };
  const workers = await Promise.all(
    flowQueues.map((queue) =>
      startProcess({ name: `flows-${queue}`, main: "test/bench/flows/worker.ts", args: [queue, kind], env, folder }),
    ),
  );
  const sender = new Redis(servers.valkey.url);
  const listener = new Redis(servers.valkey.url, { maxRetriesPerRequest: null });
  const plans = new Queue("plan", { connection: sender, prefix });
  const events = new QueueEvents("plan", { connection: listener, prefix });
  await events.waitUntilReady();
  const done = new Map<string, (at: number) => void>();
  events.on("completed", ({ jobId }) => {
    done.get(jobId)?.(performance.now());
    done.delete(jobId);
  });
  let goals = 0;
  const begin = (count: number) =>
    Array.from({ length: count }, () => {
      const goal = `goal-${(goals += 1)}`;
      return { goal, ended: new Promise<number>((resolve) => done.set(finalPlanId(goal), resolve)) };
    });
  const inTime = async <Result>(work: Promise<Result>): Promise<Result> => {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new Error(`bare flows are not done after ${timeoutMs / 1000} s`)),
      timeoutMs,
    );
    return Promise.race([work, late.promise]).finally(() => clearTimeout(timer));
  };
  const cpu = () => ({
    valkey: cpuMs(servers.valkey.pid()),
    workers: workers.reduce((sum, worker) => sum + cpuMs(worker.pid), 0),
  });
  return {
    async burst(count) {
      const begun = begin(count);
      const before = cpu();
      const startedAt = performance.now();
      await plans.addBulk(begun.map(({ goal }) => firstPlan(goal, kind)));
      const ends = await inTime(Promise.all(begun.map((each) => each.ended)));
      const after = cpu();
      const valkey = (after.valkey - before.valkey) / count;
      const own = (after.workers - before.workers) / count;
      return {
        goalsPerSecond: (count / (Math.max(...ends) - startedAt)) * 1000,
        cpuMsPerGoal: { valkey, workers: own, all: valkey + own },
      };
    },
    async alone(times) {
      const tookMs: number[] = [];
      for (const { goal, ended } of begin(times)) {
        const startedAt = performance.now();
        const { name, data, opts } = firstPlan(goal, kind);
        await plans.add(name, data, opts);
        tookMs.push((await inTime(ended)) - startedAt);
      }
      return { p50Ms: percentile(tookMs, 0.5), p99Ms: percentile(tookMs, 0.99) };
    },
    async stop() {
      await Promise.all(workers.map((worker) => worker.stop()));
      await Promise.allSettled([plans.close(), events.close()]);
      sender.disconnect();
      listener.disconnect();
      removeFolder(folder);
    },
  };
}
