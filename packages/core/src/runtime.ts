/**
 * What every service stands on: the database, the queue, the one door, memory, models, a lease, the reconciler. A
 * service adds its own work and composes. Opening either succeeds whole or leaves nothing open.
 */
import { hostname } from "node:os";
import { join } from "node:path";
import type { Config } from "./config.ts";
import { awayMs } from "./domain/backoff.ts";
import { messageOf, type Retry } from "./domain/errors.ts";
import { armFailpoint, failpoint } from "./failpoints.ts";
import type { CreateId, LeaseId } from "./domain/ids.ts";
import { createLogger, type Logger } from "./logging.ts";
import { createMemory, type Memory } from "./memory/memory.ts";
import { createLocalEmbedder } from "./memory/local-embedder.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import { createModels, type Models, type Provider } from "./models/index.ts";
import { createOfflineProvider } from "./models/offline/index.ts";
import { addJobs, openQueueBackend, type QueueBackend } from "./queue/backend.ts";
import { startClaimWatch, type ClaimWatch } from "./queue/claim-watch.ts";
import { openEventBus, type EventBus } from "./queue/event-bus.ts";
import { createChildIsolation } from "./queue/child-isolation.ts";
import { noIsolation, type Isolation } from "./queue/isolation.ts";
import { createLoneIsolation } from "./queue/lone-isolation.ts";
import { startReconciler } from "./queue/reconciler.ts";
import { startTimekeeper } from "./queue/timekeeper.ts";
import { startWorker, type StageHandler, type WorkerShell } from "./queue/worker.ts";
import { dispatchDue, releaseOwnClaims } from "./store/claims.ts";
import { createDoor, type Door, type DueJob, type QueueName } from "./store/commit.ts";
import { openDatabase, type Database, type Db } from "./store/database.ts";
import { createId } from "./store/ids.ts";
import { dropAllLeases, dropLease, dropOldLeases, leaseLeftMs, renewLease } from "./store/leases.ts";
import { tenantsWithDueWork } from "./store/reconcile.ts";
import { ensurePartitions, migrate } from "./store/migrate.ts";
import { oldestSentMs } from "./store/oldest-work.ts";
import { startWatchdog, type Watchdog } from "./watchdog.ts";

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
  readonly isolation: Isolation;
  readonly lease: LeaseId;
  /** Whether the lease certainly stands, as far as this process can know without asking: checked right before something is sent. */
  leaseHolds(): boolean;
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
  /** Of the process that this one works for, on one claim (W8): it renews the lease and does all upkeep. */
  readonly lease?: LeaseId;
  /** Who answers where no key is set, in place of the rules: the bench measures the runtime, not a model. */
  readonly offline?: Provider;
}

const upkeepEveryMs = 3_600_000;
const embeddedLeaseMs = 120_000;
/** Of a lease, what counts as safe: the rest is for what is on its way when it is checked. */
const leaseMargin = 0.8;
/** One claim's work has few statements at a time. */
const childConnections = 4;

export async function openRuntime(config: Config, options: RuntimeOptions): Promise<Runtime> {
  const isChild = options.lease !== undefined;
  const log = createLogger(options.service, config.logLevel ?? options.logLevel ?? "info", options.logTo ?? 1);
  // A child's death is blamed on its work, so none is made to die.
  const armed = isChild ? null : config.failpoint;
  if (armed !== null) log.warn({ event: "failpoint_armed", ...armed });
  armFailpoint(armed);
  const models = createModels(config.models, {
    offline: options.offline ?? createOfflineProvider(),
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
            maxConnections: isChild ? childConnections : config.dbConnections,
            statementMs: config.dbTimeoutMs,
            applicationName: `outerloop-${options.service}`,
          },
    );
    closers.push(() => database.close());
    const { db } = database;
    if (config.migrate && !isChild)
      for (const line of await migrateAll(database)) log.info({ event: "migration", what: line });
    if (!isChild) await ensurePartitions(db);

    const queue = await openQueueBackend(database, {
      redisUrl: config.redisUrl,
      keepCompleted: 1000,
      keepFailed: 5000,
      prefix: config.queuePrefix,
    });
    closers.push(() => queue.close());
    const bus = await openEventBus(
      database,
      (purpose) => queue.connectRedis(purpose),
      { prefix: config.queuePrefix, listens: options.listens ?? false, recent: config.recentEvents },
      log,
    );
    closers.push(() => bus.close());

    const lease = options.lease ?? createId("lease");
    if (database.kind === "embedded") await dropAllLeases(db);
    // Nobody else can take an embedded database's work over, so there is no haste.
    const leaseMs = database.kind === "embedded" ? Math.max(config.leaseMs, embeddedLeaseMs) : config.leaseMs;
    const holder = { id: lease, service: options.service, host: hostname(), pid: process.pid };
    /** When the lease was last known to stand, by a clock that goes on while a process is stopped. */
    let heldAt = -Infinity;
    const hold = async () => {
      const begunAt = performance.now();
      // A child stands on its parent's lease.
      const leftMs = isChild ? await leaseLeftMs(db, lease) : leaseMs;
      if (!isChild) await renewLease(db, holder, leaseMs);
      heldAt = begunAt - (leaseMs - leftMs);
    };
    await hold();
    const heartbeat = setInterval(
      () =>
        void hold().catch((thrown: unknown) => log.warn({ event: "lease_renewal_failed", error: messageOf(thrown) })),
      leaseMs / 4,
    );
    closers.push(async () => {
      clearInterval(heartbeat);
      if (isChild) return;
      await releaseOwnClaims(db, lease);
      await dropLease(db, lease);
    });
    let watchdog: Watchdog | undefined;
    const watchOverSelf = () => {
      watchdog ??= startWatchdog(config.stuckLeases * leaseMs, log);
    };
    if (isChild) watchOverSelf();
    closers.push(async () => watchdog?.stop());

    const metrics = createMetrics();
    const send = (jobs: readonly DueJob[]) =>
      addJobs(queue, jobs).catch((thrown: unknown) =>
        log.warn({ event: "jobs_not_sent", jobs: jobs.length, error: messageOf(thrown) }),
      );
    const claims = startClaimWatch(db, lease, log, !isChild);
    closers.push(async () => claims.stop());
    if (!isChild) {
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
      const timekeeper = startTimekeeper(
        {
          db,
          onFired: async (events, count) => {
            metrics.reconciled.inc({ what: "wait" }, count);
            for (const [goalId, newest] of Object.entries(events)) bus.publish(goalId, newest);
            for (const tenant of await tenantsWithDueWork(db))
              await send(await dispatchDue<DueJob>(db, tenant, config.tenantInFlight, 64));
          },
        },
        log,
      );
      closers.push(() => timekeeper.stop());
      const upkeep = setInterval(
        () =>
          void Promise.all([ensurePartitions(db), dropOldLeases(db)]).catch((thrown: unknown) =>
            log.warn({ event: "upkeep_failed", error: messageOf(thrown) }),
          ),
        upkeepEveryMs,
      );
      upkeep.unref();
      closers.push(async () => clearInterval(upkeep));
    }
    const isolationParts = { db, lease, log, metrics };
    const isolation = isChild
      ? noIsolation
      : database.kind === "embedded"
        ? createLoneIsolation(isolationParts)
        : createChildIsolation(isolationParts, {
            maxChildren: config.isolatedRuns,
            maxHeapMb: config.isolatedHeapMb,
            logTo: options.logTo ?? 1,
          });

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
      isolation,
      lease,
      leaseHolds: () => performance.now() - heldAt < leaseMs * leaseMargin,
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
        dispatchDue<DueJob>(db, tenantId, config.tenantInFlight, 64).then(
          (jobs) => {
            if (jobs.length > 0) failpoint("dispatch.marked");
            return send(jobs);
          },
          (thrown: unknown) => log.warn({ event: "dispatch_failed", error: messageOf(thrown) }),
        ),
      startWorker(name, handler, slots) {
        watchOverSelf();
        const worker = startWorker(
          { backend: queue, log, metrics, oldestSentMs: () => oldestSentMs(db, name) },
          handler,
          { queue: name, slots, drainMs: config.drainMs, beforeClaim: isolation.beforeClaim },
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

/** On a connection of its own, where a statement may take as long as it takes: an index is built in minutes. */
async function migrateAll(database: Database): Promise<readonly string[]> {
  if (database.url === null) return migrate(database.db);
  const patient = await openDatabase({
    kind: "server",
    url: database.url,
    maxConnections: 1,
    applicationName: "outerloop-migrate",
    statementMs: null,
  });
  try {
    return await migrate(patient.db);
  } finally {
    await patient.close();
  }
}
