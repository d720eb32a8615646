/**
 * What every service stands on: the database, the queue, the one door, memory, models, a lease, the reconciler. A
 * service adds its own work and composes. Opening either succeeds whole or leaves nothing open.
 */
import { join } from "node:path";
import type { Config } from "./config.ts";
import { messageOf } from "./domain/errors.ts";
import { armFailpoint } from "./failpoints.ts";
import type { LeaseId } from "./domain/ids.ts";
import { createLogger } from "./logging.ts";
import { createLocalEmbedder } from "./memory/local-embedder.ts";
import { createMetrics, observeProcess } from "./metrics.ts";
import { readModelSettings, startModelService, type ModelServiceParts } from "./model-service.ts";
import { assembleModels, createReplayProvider, readRecording, type Models, type Provider } from "./models/index.ts";
import { createOfflineProvider } from "./models/offline/index.ts";
import { openQueueBackend, type QueueBackend } from "./queue/backend.ts";
import { openEventBus, type EventBus } from "./queue/event-bus.ts";
import { createChildIsolation } from "./queue/child-isolation.ts";
import { noIsolation } from "./queue/isolation.ts";
import { createLoneIsolation } from "./queue/lone-isolation.ts";
import { openDatabase, type Database, type Db } from "./store/database.ts";
import { createId } from "./store/ids.ts";
import { ensurePartitions, requireApiRole } from "./store/migrate.ts";
import { migrateAll, requireSchema } from "./whole-database.ts";
import { createRedactor } from "./redaction.ts";
import { startStageRuntime, type StageRuntime } from "./stage-runtime.ts";
import { createStore } from "./store/store.ts";
import { createVectorStore } from "./store/vector-store.ts";
import { startWatchdog, type Watchdog } from "./watchdog.ts";

export interface Runtime extends StageRuntime {
  readonly models: Models;
  readonly database: Database;
  /** For what people reach; stages and upkeep go through `store`. */
  readonly db: Db;
  readonly queue: QueueBackend;
  readonly bus: EventBus;
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
  /** Whether it can do nothing while the queue is away, and so does not start without it. True unless it is set. */
  readonly needsQueue?: boolean;
  /** Whether it runs stages. True unless it is set. */
  readonly callsModels?: boolean;
  /** Of the process that this one works for, on one claim (W8): it renews the lease and does all upkeep. */
  readonly lease?: LeaseId;
  /** Who answers where no key is set, in place of the rules: the bench measures the runtime, not a model. */
  readonly offline?: Provider;
}

const noModels: ModelServiceParts["config"] = {
  configFile: null,
  readModels: () => ({ ...assembleModels({ env: {}, cwd: "." }), overrides: "ignored" }),
};
const embeddedLeaseMs = 120_000;
/** One claim's work has few statements at a time. */
const childConnections = 4;

export async function openRuntime(config: Config, options: RuntimeOptions): Promise<Runtime> {
  const isChild = options.lease !== undefined;
  const redactor = createRedactor(config.secrets);
  const logLevel = config.logLevel ?? options.logLevel ?? "info";
  const log = createLogger(options.service, logLevel, options.logTo ?? 1, redactor);
  // A child's death is blamed on its work, so none is made to die.
  const armed = isChild ? null : config.failpoint;
  if (armed !== null) log.warn({ event: "failpoint_armed", ...armed });
  armFailpoint(armed, () => log.flush());
  // A replay stands where the offline model would, and leaves nobody else to be asked.
  const replay = config.replay === null ? undefined : createReplayProvider(readRecording(config.replay));
  const offline = replay ?? options.offline ?? createOfflineProvider();
  // Who calls no model needs neither their keys nor their settings, and a replay asks nobody else.
  const modelConfig = options.callsModels === false || replay !== undefined ? noModels : config;
  const settings = readModelSettings(modelConfig, offline);
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
            directUrl: config.databaseDirectUrl,
            maxConnections: isChild ? childConnections : config.dbConnections,
            statementMs: config.dbTimeoutMs,
            applicationName: `outerloop-${options.service}`,
          },
    );
    closers.push(() => database.close());
    const { db } = database;
    if (!isChild) {
      if (config.migrate) for (const line of await migrateAll(database)) log.info({ event: "migration", what: line });
      else await requireSchema(db);
      if (database.url !== null) await requireApiRole(db);
      await ensurePartitions(db);
    }

    const queue = await openQueueBackend(database, {
      redis: config.redis,
      keepCompleted: 1000,
      keepFailed: 5000,
      prefix: config.queuePrefix,
      // The embedded database's one session is set up for the queue with that.
      migrates: (config.migrate && !isChild) || config.databaseUrl === null,
      ...(options.needsQueue === false && {
        startsWithout: (why: string) => log.error({ event: "queue_away_at_start", error: why }),
      }),
    });
    closers.push(() => queue.close());
    const bus = await openEventBus(
      database,
      (purpose) => queue.connectRedis(purpose),
      { prefix: config.queuePrefix, listens: options.listens ?? false, recent: config.recentEvents, redactor },
      log,
    );
    closers.push(() => bus.close());

    const store = createStore(db);
    const lease = options.lease ?? createId("lease");
    if (database.kind === "embedded") await store.dropAllLeases();
    // Nobody else can take an embedded database's work over, so there is no haste.
    const leaseMs = database.kind === "embedded" ? Math.max(config.leaseMs, embeddedLeaseMs) : config.leaseMs;
    const metrics = createMetrics();
    if (!isChild) observeProcess(metrics);
    const { models, close: closeModels } = await startModelService({
      config: modelConfig,
      settings,
      service: options.service,
      db,
      log,
      metrics,
      lease,
      offline,
      localEmbedder: createLocalEmbedder(),
      isChild: isChild || options.callsModels === false,
    });
    closers.push(closeModels);
    let watchdog: Watchdog | undefined;
    closers.push(async () => watchdog?.stop());
    const stages = await startStageRuntime({
      config,
      service: options.service,
      log,
      store,
      vectors: createVectorStore(db),
      queue,
      bus,
      texts: bus.texts,
      models,
      metrics,
      createId,
      lease,
      leaseMs,
      isChild,
      createIsolation: (parts) =>
        isChild
          ? noIsolation
          : database.kind === "embedded"
            ? createLoneIsolation(parts)
            : createChildIsolation(parts, {
                maxChildren: config.isolatedRuns,
                maxHeapMb: config.isolatedHeapMb,
                logTo: options.logTo ?? 1,
              }),
      keepHouse: () => ensurePartitions(db),
      onClose: (close) => void closers.push(close),
      onWork: () => {
        watchdog ??= startWatchdog(config.stuckLeases * leaseMs, log);
      },
    });
    return { ...stages, models, bus, database, db, queue, close: closeAll };
  } catch (thrown) {
    await closeAll();
    throw thrown;
  }
}
