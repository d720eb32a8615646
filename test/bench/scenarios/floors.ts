/** What the parts can do at best on this machine, in this run: nothing that is built on them is quicker. */
import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";
import type { Bench } from "../bench.ts";
import { withClient, withRedis } from "../servers.ts";
import { median } from "../statistics.ts";
import { millis, perSecondOf } from "./figure-kinds.ts";

const kilobyte = "x".repeat(1000);

export async function floors({ servers, options, figures }: Bench): Promise<void> {
  const samples = options.isQuick ? 200 : 1000;
  for (let run = 0; run < options.runs; run += 1) {
    figures.add("floors/commit_ms", await commitMs(servers.postgres.url, samples), millis);
    figures.add("floors/redis_round_trip_ms", await redisMs(servers.valkey.url, samples), millis);
    figures.add("floors/bullmq_hop_ms", await hopMs(servers.valkey.url, samples / 4), millis);
    figures.add(
      "floors/bullmq_jobs_per_second",
      await jobsPerSecond(servers.valkey.url, samples * 5),
      perSecondOf("jobs"),
    );
    await servers.settle();
  }
}

/** One row of 1 KB, inserted and committed. */
function commitMs(url: string, samples: number): Promise<number> {
  return withClient(url, async (client) => {
    await client.query("DROP TABLE IF EXISTS bench_floor");
    await client.query("CREATE TABLE bench_floor (id int PRIMARY KEY, body text)");
    const tookMs = await timeEach(samples, (index) =>
      client.query({ name: "floor", text: "INSERT INTO bench_floor VALUES ($1, $2)", values: [index, kilobyte] }),
    );
    await client.query("DROP TABLE bench_floor");
    return median(tookMs);
  });
}

function redisMs(url: string, samples: number): Promise<number> {
  return withRedis(url, async (client) => {
    await client.ping();
    return median(await timeEach(samples, () => client.ping()));
  });
}

/** From adding a job to its processor, in one process. */
async function hopMs(url: string, samples: number): Promise<number> {
  let taken: ((at: number) => void) | undefined;
  return withQueue(
    url,
    1,
    async () => taken?.(performance.now()),
    async (queue) => {
      const tookMs: number[] = [];
      for (let index = 0; index < samples; index += 1) {
        const arrived = new Promise<number>((resolve) => (taken = resolve));
        const startedAt = performance.now();
        await queue.add("hop", {});
        tookMs.push((await arrived) - startedAt);
      }
      return median(tookMs);
    },
  );
}

/** Jobs that do nothing, added in bulk and worked off by one process at the same time. */
async function jobsPerSecond(url: string, jobs: number): Promise<number> {
  let left = jobs;
  const done = Promise.withResolvers<void>();
  const work = async () => {
    if ((left -= 1) === 0) done.resolve();
  };
  return withQueue(url, 32, work, async (queue) => {
    const startedAt = performance.now();
    await queue.addBulk(Array.from({ length: jobs }, () => ({ name: "nothing", data: {} })));
    await done.promise;
    return (jobs / (performance.now() - startedAt)) * 1000;
  });
}

async function withQueue<Result>(
  url: string,
  concurrency: number,
  work: () => Promise<void>,
  measure: (queue: Queue) => Promise<Result>,
): Promise<Result> {
  const [sender, fetcher] = [new Redis(url), new Redis(url, { maxRetriesPerRequest: null })];
  const prefix = "floor";
  const queue = new Queue("floor", { connection: sender, prefix, defaultJobOptions: { removeOnComplete: true } });
  const worker = new Worker("floor", work, { connection: fetcher, prefix, concurrency });
  try {
    await worker.waitUntilReady();
    return await measure(queue);
  } finally {
    await worker.close(true);
    await queue.close();
    sender.disconnect();
    fetcher.disconnect();
  }
}

async function timeEach(samples: number, work: (index: number) => Promise<unknown>): Promise<readonly number[]> {
  const tookMs: number[] = [];
  for (let index = 0; index < samples; index += 1) {
    const startedAt = performance.now();
    await work(index);
    tookMs.push(performance.now() - startedAt);
  }
  return tookMs;
}
