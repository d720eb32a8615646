/**
 * What every service stands on: the database, the queue, the one door, memory, models, a lease, the reconciler. A
 * service adds its own work and composes. Opening either succeeds whole or leaves nothing open.
 */
import { hostname } from "node:os";
import { join } from "node:path";
import type { Config } from "./config.ts";
import { awayMs } from "./domain/backoff.ts";
import { messageOf, type Retry } from "./domain/errors.ts";
import type { CreateId, LeaseId } from "./domain/ids.ts";
import { createLogger, type Logger } from "./logging.ts";
import { createMemory, type Memory } from "./memory/memory.ts";
import { createLocalEmbedder } from "./memory/local-embedder.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import { createModels, type Models } from "./models/index.ts";
import { createOfflineProvider } from "./models/offline/index.ts";
import { addJobs, openQueueBackend, type QueueBackend } from "./queue/backend.ts";
import { startClaimWatch, type ClaimWatch } from "./queue/claim-watch.ts";
import { openEventBus, type EventBus } from "./queue/event-bus.ts";
import { startReconciler } from "./queue/reconciler.ts";
import { startWorker, type StageHandler, type WorkerShell } from "./queue/worker.ts";
import { dispatchDue } from "./store/claims.ts";
import { createDoor, type Door, type DueJob, type QueueName } from "./store/commit.ts";
import { openDatabase, type Database, type Db } from "./store/database.ts";
import { createId } from "./store/ids.ts";
import { dropAllLeases, dropLease, dropOldLeases, renewLease } from "./store/leases.ts";
import { ensurePartitions, migrate } from "./store/migrate.ts";

export interface Runtime {
  readonly config: Config;
  readonly log: Logger;
  readonly database: Database;
  readonly db: Db;
  readonly queue: QueueBackend;
  readonly bus: EventBus;
  readonly door: Door;
  readonly claims: ClaimWatch;
  readonly memory: Memory;
  readonly models: Models;
  readonly metrics: Metrics;
  readonly lease: LeaseId;
  readonly createId: CreateId;
  /** How long work waits whose model, store or queue was away. */
  awayMs(retry: Exclude<Retry, "never">, backoffs: number): number;
  /** Adds jobs to their queues; what cannot be added now is sent again by the reconciler. */
  send(jobs: readonly DueJob[]): Promise<void>;
  /** Puts what is due for a tenant on its queues. What goes wrong is left to the reconciler. */
  dispatch(tenantId: string): Promise<void>;
  startWorker(queue: QueueName, handler: StageHandler, slots: number): WorkerShell;
  /** Drains workers, gives the lease back, closes connections. */
  close(): Promise<void>;
}

export interface RuntimeOptions {
  readonly service: string;
  /** stderr where stdout belongs to a person. */
  readonly logTo?: 1 | 2;
  readonly logLevel?: string;
  /** Whether this process has watchers to serve. */
  readonly listens?: boolean;
}

const upkeepEveryMs = 3_600_000;
const embeddedLeaseMs = 120_000;

export async function openRuntime(config: Config, options: RuntimeOptions): Promise<Runtime> {
  const log = createLogger(options.service, config.logLevel ?? options.logLevel ?? "info", options.logTo ?? 1);
  const models = createModels(config.models, {
    offline: createOfflineProvider(),
    localEmbedder: createLocalEmbedder(),
  });
  const closers: (() => Promise<unknown>)[] = [];
  /** In the opposite order of opening; one that fails does not keep the others open. */
  const closeAll = async () => {
    for (const close of closers.splice(0).toReversed())
      await close().catch((thrown: unknown) => log.warn({ event: "close_failed", error: messageOf(thrown) }));
  };

  try {
    const database = await openDatabase(
      config.databaseUrl === null
        ? { kind: "embedded", folder: join(config.dataDir, "db") }
        : {
            kind: "server",
            url: config.databaseUrl,
            maxConnections: config.dbConnections,
            applicationName: `outerloop-${options.service}`,
          },
    );
    closers.push(() => database.close());
    const { db } = database;
    if (config.migrate) for (const line of await migrate(db)) log.info({ event: "migration", what: line });
    await ensurePartitions(db);

    const queue = await openQueueBackend(database, {
      redisUrl: config.redisUrl,
      keepCompleted: 1000,
      keepFailed: 5000,
      prefix: config.queuePrefix,
    });
    closers.push(() => queue.close());
    const bus = await openEventBus(
      database,
      () => queue.connectRedis(),
      config.queuePrefix,
      options.listens ?? false,
      log,
    );
    closers.push(() => bus.close());

    const lease = createId("lease");
    if (database.kind === "embedded") await dropAllLeases(db);
    // Nobody else can take an embedded database's work over, so there is no haste.
    const leaseMs = database.kind === "embedded" ? Math.max(config.leaseMs, embeddedLeaseMs) : config.leaseMs;
    const holder = { id: lease, service: options.service, host: hostname(), pid: process.pid };
    await renewLease(db, holder, leaseMs);
    const heartbeat = setInterval(
      () =>
        void renewLease(db, holder, leaseMs).catch((thrown: unknown) =>
          log.warn({ event: "lease_renewal_failed", error: messageOf(thrown) }),
        ),
      leaseMs / 4,
    );
    closers.push(() => {
      clearInterval(heartbeat);
      return dropLease(db, lease);
    });

    const metrics = createMetrics();
    const send = (jobs: readonly DueJob[]) =>
      addJobs(queue, jobs).catch((thrown: unknown) =>
        log.warn({ event: "jobs_not_sent", jobs: jobs.length, error: messageOf(thrown) }),
      );
    const claims = startClaimWatch(db, lease, log);
    closers.push(async () => claims.stop());
    const reconciler = startReconciler(
      {
        db,
        queue,
        tenantCap: config.tenantInFlight,
        metrics,
        events: (goalId, newest) => bus.publish(goalId, newest),
      },
      config.reconcileMs,
      log,
    );
    closers.push(() => reconciler.stop());
    const upkeep = setInterval(
      () =>
        void Promise.all([ensurePartitions(db), dropOldLeases(db)]).catch((thrown: unknown) =>
          log.warn({ event: "upkeep_failed", error: messageOf(thrown) }),
        ),
      upkeepEveryMs,
    );
    upkeep.unref();
    closers.push(async () => clearInterval(upkeep));

    const workers: WorkerShell[] = [];
    closers.push(() => Promise.all(workers.map((worker) => worker.drain())));
    return {
      config,
      log,
      database,
      db,
      queue,
      bus,
      claims,
      models,
      metrics,
      lease,
      createId,
      awayMs: (retry, backoffs) => awayMs(retry, config.backoff, backoffs, Math.random),
      send,
      door: createDoor(
        db,
        { jobs: send, events: (goalId, newest) => bus.publish(goalId, newest) },
        {
          tenantCap: config.tenantInFlight,
          clock: Date.now,
          pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
        },
      ),
      memory: createMemory(db, models.embedder),
      dispatch: (tenantId) =>
        dispatchDue<DueJob>(db, tenantId, config.tenantInFlight, 64).then(send, (thrown: unknown) =>
          log.warn({ event: "dispatch_failed", error: messageOf(thrown) }),
        ),
      startWorker(name, handler, slots) {
        const worker = startWorker(queue, handler, { queue: name, slots, drainMs: config.drainMs }, log, () =>
          metrics.lostLocks.inc(),
        );
        workers.push(worker);
        return worker;
      },
      close: closeAll,
    };
  } catch (thrown) {
    await closeAll();
    throw thrown;
  }
}
