/**
 * BullMQ on Redis/Valkey or on Postgres, chosen by configuration; nothing above this folder knows which. Jobs carry ids
 * and nothing else, are tried once, and can all be made again from Postgres (DESIGN §1.1).
 */
import { createPostgresBackend, Queue, runMigrations, Worker, type Job, type WorkerOptions } from "bullmq";
import pg from "pg";
import { messageOf, OuterloopError } from "../domain/errors.ts";
import { within } from "../probes/within.ts";
import type { DueJob, QueueName } from "../store/commit.ts";
import type { RedisSettings } from "../redis-settings.ts";
import type { Database } from "../store/database.ts";
import type { JobPayload } from "./payload.ts";
import { createRedisConnection, mastersOf, type RedisConnection } from "./redis.ts";

export const queueNames = ["plan", "execute", "reflect"] as const satisfies readonly QueueName[];

export type JobQueue = Queue<JobPayload>;
export type JobWorker = Worker<JobPayload>;
export type QueueJob = Job<JobPayload>;

export interface QueueBackend {
  readonly kind: "redis" | "postgres";
  readonly queues: Readonly<Record<QueueName, JobQueue>>;
  createWorker(name: QueueName): JobWorker;
  /** How long a fetch waits for a job before it returns with none. */
  readonly fetchMs: number;
  /** Closes a worker and what only it was connected by, without waiting for what may never answer. */
  dropWorker(worker: JobWorker): void;
  /** `send`: the connection by which jobs are sent; `listen`: one of its own. null on the Postgres backend. */
  connectRedis(purpose: "send" | "listen"): RedisConnection | null;
  ping(): Promise<void>;
  close(): Promise<void>;
}

export interface QueueOptions {
  readonly redis: RedisSettings | null;
  /** Finished jobs that stay for Bull Board. */
  readonly keepCompleted: number;
  readonly keepFailed: number;
  /** Separates what shares one Redis, as in tests. */
  readonly prefix: string;
  /** Whether a queue in Postgres makes its tables where they are missing; a service that may not migrate finds them there. */
  readonly migrates: boolean;
  /** Told why, where Redis cannot be reached at the start and the process is of use without it; else that ends the start. */
  readonly startsWithout?: (why: string) => void;
}

/** What Redis or Postgres is waited for before its connection counts as dead. A job that was sent or not is looked up later. */
const answerMs = 2000;
/** Of the queue in Postgres, whose statements all are short. */
const queueStatementMs = 10_000;
/** Many commands at once, each of which has an end of its own once there was a first connection. */
const bulkMs = 10_000;
/** Of the first connection. */
const startMs = 10_000;
/** A job's lock, extended by the worker shell; losing it is a metric, not a loss of work. */
export const jobLockMs = 30_000;

/**
 * `maxStalledCount: 0`: a job is never run a second time by BullMQ, only by our own dispatch. A fetch blocks for up to
 * `drainDelay` seconds; a new job wakes it, unless its connection broke unnoticed.
 */
const workerOptions = {
  autorun: false,
  maxStalledCount: 0,
  stalledInterval: 30_000,
  lockDuration: jobLockMs,
  drainDelay: 5,
} as const satisfies Partial<WorkerOptions>;
/** No connection that could break: polling less keeps an idle process idle. */
const embeddedOptions = { drainDelay: 30 } as const satisfies Partial<WorkerOptions>;

/** Of a connection that fetches: longer than a fetch blocks. */
const fetchAnswerMs = 2 * 1000 * workerOptions.drainDelay;

export async function openQueueBackend(database: Database, options: QueueOptions): Promise<QueueBackend> {
  return options.redis === null ? openPostgresBackend(database, options) : openRedisBackend(options.redis, options);
}

function defaultJobOptions(options: QueueOptions) {
  return {
    attempts: 1,
    removeOnComplete: { count: options.keepCompleted },
    removeOnFail: { count: options.keepFailed },
  };
}

async function openRedisBackend(settings: RedisSettings, options: QueueOptions): Promise<QueueBackend> {
  // Who sends fails at once while Redis is away (the reconciler sends it later); who listens waits for it. Dropped packets are
  // no error that anybody tells: without a limit a commit would wait for ever to send its jobs.
  const producer = createRedisConnection(settings, { failsFast: true, answerMs, commandMs: answerMs });
  const connections = new Set([producer]);
  // Sentinels are asked again and again, so it would never end by itself.
  await within(
    startMs,
    producer.connect().then(() => refuseEviction(producer)),
  ).catch((cause: unknown) => {
    const why = `REDIS_URL: ${cannotReach[settings.mode]} (${messageOf(cause)})`;
    // It goes on trying by itself.
    if (options.startsWithout !== undefined && !(cause instanceof OuterloopError)) return options.startsWithout(why);
    producer.disconnect();
    throw cause instanceof OuterloopError ? cause : new OuterloopError("config", why, { cause });
  });
  const connectListener = () => {
    const connection = createRedisConnection(settings, {
      failsFast: false,
      answerMs: fetchAnswerMs,
      commandMs: null,
    });
    connections.add(connection);
    return connection;
  };
  // All keys of a queue in one slot of a Cluster, and the queues in several.
  const prefixOf = (name: QueueName) => (settings.mode === "cluster" ? `{${options.prefix}:${name}}` : options.prefix);
  const owned = new WeakMap<JobWorker, RedisConnection>();
  const queues = createQueues(
    (name) =>
      new Queue<JobPayload>(name, {
        connection: producer,
        prefix: prefixOf(name),
        defaultJobOptions: defaultJobOptions(options),
      }),
  );
  return {
    kind: "redis",
    queues,
    fetchMs: 1000 * workerOptions.drainDelay,
    createWorker(name) {
      const connection = connectListener();
      const worker = quiet(
        new Worker<JobPayload>(name, null, { ...workerOptions, connection, prefix: prefixOf(name) }),
      );
      owned.set(worker, connection);
      return worker;
    },
    dropWorker(worker) {
      void worker.close(true).catch(() => undefined);
      const connection = owned.get(worker);
      connection?.disconnect();
      if (connection !== undefined) connections.delete(connection);
    },
    connectRedis: (purpose) => (purpose === "send" ? producer : connectListener()),
    // A Cluster is asked for what each queue stands on: it may answer a PING and serve nothing.
    ping: async () => {
      const keys = new Set(queueNames.map((name) => `${prefixOf(name)}:ping`));
      await Promise.all([...keys].map((key) => producer.exists(key)));
    },
    close: async () => {
      await Promise.allSettled(Object.values(queues).map((queue) => queue.close()));
      for (const connection of connections) connection.disconnect();
    },
  };
}

const cannotReach = {
  single: "Redis cannot be reached. Start it, or unset REDIS_URL to queue in Postgres.",
  sentinel: "no sentinel named there tells of a master that answers. REDIS_SENTINEL_NAME is what they call it.",
  cluster:
    "none of these nodes tells of a Cluster whose slots are all served. CLUSTER INFO on a node says what is wrong.",
} as const satisfies Record<RedisSettings["mode"], string>;

/** @throws OuterloopError `config` where a server may drop keys, and jobs with them */
async function refuseEviction(connection: RedisConnection): Promise<void> {
  for (const master of mastersOf(connection)) {
    const policy = /maxmemory_policy:(\S+)/.exec(await master.info("memory"))?.[1];
    if (policy === undefined || policy === "noeviction") continue;
    const name = `${master.options.host}:${master.options.port}`;
    throw new OuterloopError(
      "config",
      `REDIS_URL: the Redis at ${name} evicts keys (maxmemory-policy ${policy}), which loses jobs. Fix: CONFIG SET maxmemory-policy noeviction, and the same in its configuration file.`,
    );
  }
}

/** Makes BullMQ's own tables where they are missing; safe to repeat, and by several at once. */
export async function migrateQueue(database: Database): Promise<void> {
  const client = await database.sessions.connect();
  try {
    await runMigrations(client, "bullmq");
    // The embedded database is one session: what BullMQ names without a schema must be found on it too.
    if (database.url === null) await client.query("SET search_path = public, bullmq");
  } finally {
    client.release();
  }
}

async function openPostgresBackend(database: Database, options: QueueOptions): Promise<QueueBackend> {
  if (options.migrates) await migrateQueue(database);
  // A pool of its own, so that blocking waits and LISTEN never take a connection from the store.
  const pool =
    database.url === null
      ? database.pool
      : new pg.Pool({
          connectionString: database.url,
          max: 12,
          options: "-c search_path=bullmq,public",
          application_name: "outerloop-queue",
          keepAlive: true,
          connectionTimeoutMillis: 10_000,
          statement_timeout: queueStatementMs,
          query_timeout: queueStatementMs + answerMs,
        });
  if (database.url !== null) {
    pool.on("error", () => undefined);
    pool.on("connect", (connected) => void connected.on("error", () => undefined));
  }
  const queues = createQueues((name) =>
    quiet(
      new Queue<JobPayload>(
        name,
        { connection: pool, defaultJobOptions: defaultJobOptions(options) } as never,
        createPostgresBackend as never,
      ),
    ),
  );
  return {
    kind: "postgres",
    queues,
    fetchMs: 1000 * (database.url === null ? embeddedOptions : workerOptions).drainDelay,
    createWorker: (name) =>
      quiet(
        new Worker<JobPayload>(
          name,
          null,
          { ...workerOptions, ...(database.url === null && embeddedOptions), connection: pool } as never,
          createPostgresBackend as never,
        ),
      ),
    dropWorker: (worker) => void worker.close(true).catch(() => undefined),
    connectRedis: () => null,
    ping: async () => void (await pool.query("SELECT 1")),
    close: async () => {
      await Promise.allSettled(Object.values(queues).map((queue) => queue.close()));
      if (database.url !== null) await pool.end();
    },
  };
}

/** Connection errors repeat at every try; the queue's health is told by metrics and by `ping`. */
function quiet<Emitter extends { on(event: "error", listener: () => void): unknown }>(emitter: Emitter): Emitter {
  emitter.on("error", () => undefined);
  return emitter;
}

function createQueues(create: (name: QueueName) => JobQueue): Record<QueueName, JobQueue> {
  return { plan: quiet(create("plan")), execute: quiet(create("execute")), reflect: quiet(create("reflect")) };
}

/** Adds jobs in bulk, a round trip a queue. An id that is there already is left alone by BullMQ. Fails where it takes too long. */
export async function addJobs(backend: Pick<QueueBackend, "queues">, jobs: readonly DueJob[]): Promise<void> {
  for (const name of queueNames) {
    const own = jobs.filter((job) => job.queue === name);
    if (own.length === 0) continue;
    const adding = backend.queues[name].addBulk(
      own.map((job) => ({
        name,
        data: { goal: job.goal, tasks: job.tasks },
        opts: { jobId: job.job, lifo: job.front },
      })),
    );
    await within(bulkMs, adding);
  }
}

/** From the fetch of a job to the claim of its work takes a query; after this long its worker is dead or its claim failed. */
const takenMs = 2000;

/**
 * Which of these jobs, whose work nobody has claimed, their queue no longer moves: missing, finished, or taken by who is
 * gone. BullMQ finds those too, when the job's lock has run out and was looked at twice: in a minute.
 * @param taken since when this process has seen jobs taken, by its own stopwatch: the clock of who took them may be wrong.
 *   Kept from look to look.
 */
export async function findLostJobs(
  backend: Pick<QueueBackend, "queues">,
  jobs: readonly { readonly queue: QueueName; readonly job: string }[],
  taken: Map<string, number>,
): Promise<{ readonly queue: QueueName; readonly job: string }[]> {
  const states = await within(
    bulkMs,
    Promise.all(jobs.map(async (job) => ({ job, state: await backend.queues[job.queue].getJobState(job.job) }))),
  );
  const now = performance.now();
  const active = new Set(states.flatMap(({ job, state }) => (state === "active" ? [job.job] : [])));
  for (const id of taken.keys()) if (!active.has(id)) taken.delete(id);
  for (const id of active) if (!taken.has(id)) taken.set(id, now);
  return states
    .filter(({ job, state }) =>
      state === "active"
        ? now - taken.get(job.job)! >= takenMs
        : state === "unknown" || state === "completed" || state === "failed",
    )
    .map(({ job }) => job);
}
