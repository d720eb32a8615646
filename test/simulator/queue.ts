/** A model of BullMQ as the product uses it: ids once, locks, FIFO with a front, and everything that Redis may do to it. */
import type { QueueName } from "@outerloop/core";
import { callOver, type Weather } from "./network.ts";
import type { Random } from "./random.ts";
import { currentActor, type Actor, type World } from "./world.ts";

interface ModelJob {
  readonly id: string;
  readonly data: unknown;
  state: "waiting" | "active" | "completed" | "failed";
  lock: string | null;
  lockedUntil: number;
}

interface Lane {
  jobs: Map<string, ModelJob>;
  waiting: string[];
  /** Whether who waits is told of what lies there: BullMQ's marker, which a failover may lose. */
  announced: boolean;
  readonly fetches: {
    readonly actor: Actor | null;
    readonly take: (job: ModelJob | undefined) => void;
    open: boolean;
  }[];
}

export interface QueueFaults {
  /** Of a job that is taken and never there. */
  drops: number;
  /** Of a job that is handed out twice. */
  duplicates: number;
  /** Of a job that goes somewhere into the line. */
  reorders: number;
  delays: number;
  /** Of a job that nobody who waits is told of. */
  unannounced: number;
}

const fetchMs = 5000;
const lockMs = 30_000;
/** Finished jobs that are kept: a re-add of their id is swallowed. */
const kept = 1000;
const names = ["plan", "execute", "reflect"] as const;

export interface ModelQueue {
  /** What one process sees of it: the part of QueueBackend that stages use. */
  backend(): unknown;
  /** Redis is emptied. */
  flush(): void;
}

export function createModelQueue(world: World, random: Random, weather: Weather, faults: QueueFaults): ModelQueue {
  const lanes = Object.fromEntries(
    names.map((name) => [name, { jobs: new Map(), waiting: [], announced: false, fetches: [] } as Lane]),
  ) as unknown as Record<QueueName, Lane>;
  const broken = () => new Error("Connection is closed.");
  const call = <Reply>(answer: () => Reply) => callOver(world, random, weather, answer, broken);

  function add(lane: Lane, job: ModelJob, front: boolean): void {
    if (lane.jobs.has(job.id) || random.chance(faults.drops)) return;
    lane.jobs.set(job.id, job);
    const enqueue = () => {
      if (lane.jobs.get(job.id) !== job) return;
      if (random.chance(faults.reorders)) lane.waiting.splice(random.int(0, lane.waiting.length), 0, job.id);
      else if (front) lane.waiting.unshift(job.id);
      else lane.waiting.push(job.id);
      if (!random.chance(faults.unannounced)) lane.announced = true;
      serve(lane);
    };
    if (random.chance(faults.delays)) world.after(random.int(1, 5000), null, enqueue);
    else enqueue();
  }

  function serve(lane: Lane): void {
    while (lane.announced && lane.waiting.length > 0) {
      // Sockets of processes that died are still there for a while: what they are handed is lost with them.
      const fetch = lane.fetches.shift();
      if (fetch === undefined) return;
      if (fetch.open) hand(lane, fetch);
    }
  }

  /** The next job, if one lies there; who takes one announces the rest. */
  function hand(lane: Lane, fetch: Lane["fetches"][number]): void {
    fetch.open = false;
    const job = nextJob(lane);
    if (job !== undefined) {
      job.state = "active";
      job.lockedUntil = world.now + lockMs;
      if (random.chance(faults.duplicates)) lane.waiting.push(job.id);
    }
    lane.announced = lane.waiting.length > 0;
    world.after(random.int(0, 3), fetch.actor, () => fetch.take(job));
  }

  function nextJob(lane: Lane): ModelJob | undefined {
    for (let id = lane.waiting.shift(); id !== undefined; id = lane.waiting.shift()) {
      const job = lane.jobs.get(id);
      if (job !== undefined) return job;
    }
    return undefined;
  }

  function finish(lane: Lane, job: ModelJob, token: string, state: "completed" | "failed"): void {
    const there = lane.jobs.get(job.id);
    if (there === undefined) throw new Error(`Missing key for job ${job.id}`);
    if (there.lock !== token || there.lockedUntil < world.now) throw new Error(`Missing lock for job ${job.id}`);
    there.state = state;
    const done = [...lane.jobs.values()].filter((each) => each.state === state);
    for (const old of done.slice(0, Math.max(done.length - kept, 0))) lane.jobs.delete(old.id);
  }

  /** A job whose lock has run out is failed, never handed out again. */
  function failStalled(lane: Lane): void {
    for (const job of lane.jobs.values())
      if (job.state === "active" && job.lockedUntil < world.now) job.state = "failed";
  }

  const queueOf = (lane: Lane) => ({
    addBulk: (jobs: readonly { data: unknown; opts: { jobId: string; lifo: boolean } }[]) =>
      call(() => {
        for (const { data, opts } of jobs)
          add(
            lane,
            { id: opts.jobId, data: structuredClone(data), state: "waiting", lock: null, lockedUntil: 0 },
            opts.lifo,
          );
      }),
    getJobState: (id: string) => call(() => lane.jobs.get(id)?.state ?? "unknown"),
  });

  let workers = 0;
  const createWorker = (name: QueueName) => {
    const lane = lanes[name];
    let closed = false;
    const fetches: Lane["fetches"] = [];
    const handle = (job: ModelJob) => ({
      id: job.id,
      data: job.data,
      moveToCompleted: (_: unknown, token: string) => call(() => finish(lane, job, token, "completed")),
      moveToFailed: (_: unknown, token: string) => call(() => finish(lane, job, token, "failed")),
      extendLock: (token: string) =>
        call(() => {
          const there = lane.jobs.get(job.id);
          if (there === undefined || there.lock !== token) throw new Error(`Missing lock for job ${job.id}`);
          there.lockedUntil = world.now + lockMs;
        }),
    });
    return {
      id: `worker-${workers++}`,
      waitUntilReady: async () => undefined,
      startStalledCheckTimer: async () => {
        const check = setInterval(() => {
          if (closed) clearInterval(check);
          else failStalled(lane);
        }, lockMs);
      },
      getNextJob: (token: string, { block }: { block: boolean }) =>
        new Promise<unknown>((resolve, reject) => {
          if (closed) return resolve(undefined);
          if (weather.awayUntil > world.now) return void world.after(500, currentActor(), () => reject(broken()));
          const fetch: Lane["fetches"][number] = {
            actor: currentActor(),
            open: true,
            take: (job) => {
              if (job !== undefined) job.lock = token;
              resolve(job === undefined ? undefined : handle(job));
            },
          };
          fetches.push(fetch);
          if (!block) return void world.after(random.int(0, 2), null, () => fetch.open && hand(lane, fetch));
          lane.fetches.push(fetch);
          world.after(fetchMs, currentActor(), () => {
            if (!fetch.open) return;
            fetch.open = false;
            fetch.take(undefined);
          });
          world.after(random.int(0, 2), null, () => serve(lane));
        }),
      close: async () => {
        closed = true;
        for (const fetch of fetches) if (fetch.open) fetch.open = false;
      },
    };
  };

  return {
    backend: () => ({
      kind: "redis",
      fetchMs,
      queues: { plan: queueOf(lanes.plan), execute: queueOf(lanes.execute), reflect: queueOf(lanes.reflect) },
      createWorker,
      ping: () => call(() => undefined),
      dropWorker: (worker: { close(): Promise<void> }) => void worker.close(),
    }),
    flush() {
      for (const name of names) {
        lanes[name].jobs = new Map();
        lanes[name].waiting = [];
        lanes[name].announced = false;
      }
    },
  };
}
