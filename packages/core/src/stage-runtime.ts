/**
 * What a process does around its stages, whatever its parts stand on: it holds a lease, watches its claims, keeps the door,
 * does upkeep (reconciler, timekeeper) and runs workers. Opening and closing the parts is `runtime.ts`'s; the simulator
 * hands it simulated ones.
 */
import { hostname } from "node:os";
import type { Config } from "./config.ts";
import { awayMs } from "./domain/backoff.ts";
import { messageOf, type Retry } from "./domain/errors.ts";
import type { CreateId, LeaseId } from "./domain/ids.ts";
import { failpoint } from "./failpoints.ts";
import type { Logger } from "./logging.ts";
import { createLocalEmbedder } from "./memory/local-embedder.ts";
import { createMemory, type Memory } from "./memory/memory.ts";
import type { EmbedderOf } from "./memory/old-models.ts";
import { startReembedder } from "./memory/reembed.ts";
import type { Metrics } from "./metrics.ts";
import type { StageModels } from "./models/index.ts";
import { addJobs, type QueueBackend } from "./queue/backend.ts";
import { createProgress, type Progress } from "./probes/progress.ts";
import { createRedactor, type Redactor } from "./redaction.ts";
import { within } from "./probes/within.ts";
import { startClaimWatch, type ClaimWatch } from "./queue/claim-watch.ts";
import type { EventBus } from "./queue/event-bus.ts";
import type { TextDeltas } from "./queue/text-deltas.ts";
import type { Isolation, IsolationParts } from "./queue/isolation.ts";
import { startReconciler } from "./queue/reconciler.ts";
import { startTimekeeper } from "./queue/timekeeper.ts";
import { startWorker, type StageHandler, type WorkerShell } from "./queue/worker.ts";
import { createClaimer, type Claimer } from "./store/claims.ts";
import { createGatherer } from "./store/gatherer.ts";
import { createLoad } from "./store/load.ts";
import { createDoor, type Door, type DueJob, type QueueName } from "./store/commit.ts";
import type { Store } from "./store/store.ts";
import type { VectorStore } from "./store/vector-store.ts";

export interface StageRuntime {
  readonly config: Config;
  readonly log: Logger;
  readonly store: Store;
  readonly bus: Pick<EventBus, "publish">;
  /** What models write, on its way to watchers. */
  readonly texts: TextDeltas;
  readonly redactor: Redactor;
  readonly door: Door;
  readonly claimer: Claimer;
  readonly claims: ClaimWatch;
  readonly memory: Memory;
  readonly models: StageModels;
  readonly metrics: Metrics;
  readonly isolation: Isolation;
  /** Whether its loops turn. */
  readonly progress: Progress;
  readonly lease: LeaseId;
  /** In which form to write journals: one that every worker alive can read, known since the last renewal of the lease. */
  journalFormat(): number;
  /**
   * Whether the lease certainly stands and has stood without a gap, as far as this process can know without asking: checked
   * right before something is sent. In a gap others take over, and a lease that was renewed after it gives nothing back.
   * @param since when the claim was asked for, by `performance.now()`
   */
  leaseHolds(since: number): boolean;
  readonly createId: CreateId;
  /** How long work waits whose model, store or queue was away. */
  awayMs(retry: Exclude<Retry, "never">, backoffs: number): number;
  /** Adds jobs to their queues; what cannot be added now is sent again by the reconciler. */
  send(jobs: readonly DueJob[]): Promise<void>;
  /** Puts what is due for a tenant on its queues. What goes wrong is left to the reconciler. */
  dispatch(tenantId: string): Promise<void>;
  startWorker(queue: QueueName, handler: StageHandler, slots: number): WorkerShell;
}

export interface StageParts {
  readonly config: Config;
  readonly service: string;
  readonly log: Logger;
  readonly store: Store;
  readonly queue: Pick<QueueBackend, "queues" | "createWorker" | "dropWorker" | "fetchMs" | "ping">;
  readonly bus: Pick<EventBus, "publish">;
  readonly texts: TextDeltas;
  readonly models: StageModels;
  /** Of embeddings; absent where none are kept. */
  readonly vectors?: VectorStore;
  readonly metrics: Metrics;
  readonly createId: CreateId;
  readonly lease: LeaseId;
  readonly leaseMs: number;
  /** Works on one claim of another process, under its lease (W8): that one renews it and does all upkeep. */
  readonly isChild: boolean;
  createIsolation(parts: IsolationParts): Isolation;
  /** Of the rows that a day or an hour brings. */
  keepHouse(): Promise<unknown>;
  /** What must end with the process, in the opposite order of beginning. */
  onClose(close: () => Promise<unknown>): void;
  /** Work has begun in this process. */
  onWork(): void;
}

/** Commits whose jobs go to their queues together. */
const maxSends = 64;
const upkeepEveryMs = 3_600_000;
/** Of the queue, when a probe asks whether fetches could come back. */
const pingMs = 3000;
const localEmbedder = createLocalEmbedder();
/** Of a lease, what counts as safe: the rest is for what is on its way when it is checked. */
const leaseMargin = 0.8;

export async function startStageRuntime(parts: StageParts): Promise<StageRuntime> {
  const { config, service, log, store, queue, bus, models, metrics, createId, lease, leaseMs, isChild, onClose } =
    parts;
  const { vectors } = parts;
  const embedderOf: EmbedderOf = (name, dimensions) => models.embedderOf(name, dimensions);

  const redactor = createRedactor(config.secrets);
  const holder = { id: lease, service, host: hostname(), pid: process.pid };
  /** When the lease was last known to stand, by a clock that goes on while a process is stopped. */
  let heldAt = -Infinity;
  /** Since when it has been renewed before it can have run out. */
  let heldSince = Infinity;
  /** A child is not told; everybody reads the first. */
  let writtenFormat = 1;
  let formatAskedAt = -Infinity;
  const hold = async () => {
    const begunAt = performance.now();
    // A child stands on its parent's lease.
    const leftMs = isChild ? await store.leaseLeftMs(lease) : leaseMs;
    if (!isChild) {
      const format = await store.renewLease(holder, leaseMs);
      // An older question's answer may come later.
      if (begunAt > formatAskedAt) [writtenFormat, formatAskedAt] = [format, begunAt];
    }
    const knownAt = performance.now();
    if (knownAt >= heldAt + leaseMs) heldSince = knownAt;
    heldAt = begunAt - (leaseMs - leftMs);
  };
  await hold();
  const progress = createProgress(config.stallMs);
  const holding = progress.loop("lease", { everyMs: leaseMs / 4 });
  const heartbeat = setInterval(
    () =>
      void hold()
        .catch((thrown: unknown) => log.warn({ event: "lease_renewal_failed", error: messageOf(thrown) }))
        .then(holding.turn),
    leaseMs / 4,
  );
  onClose(async () => {
    clearInterval(heartbeat);
    if (isChild) return;
    await store.releaseOwnClaims(lease);
    await store.dropLease(lease);
  });
  if (isChild) parts.onWork();

  const sender = createGatherer<readonly DueJob[], void>({
    maxItems: maxSends,
    maxBytes: Infinity,
    bytesOf: () => 0,
    async send(sends) {
      const jobs = sends.flat();
      await addJobs(queue, jobs).catch((thrown: unknown) =>
        log.warn({ event: "jobs_not_sent", jobs: jobs.length, error: messageOf(thrown) }),
      );
      return sends.map(() => ({ reply: undefined }));
    },
  });
  const send = (jobs: readonly DueJob[]) => sender.add(jobs);
  const claims = startClaimWatch(store, lease, log, !isChild);
  onClose(async () => claims.stop());
  if (!isChild) {
    const reconciler = startReconciler(
      {
        store,
        queue,
        tenantCap: config.tenantInFlight,
        metrics,
        events: (goalId, newest) => bus.publish(goalId, newest),
      },
      config.reconcileMs,
      log,
      progress.loop("reconciler", { everyMs: config.reconcileMs }),
    );
    onClose(() => reconciler.stop());
    const timekeeping = progress.loop("timekeeper");
    const timekeeper = startTimekeeper(
      {
        store,
        onFired: async (events, count) => {
          metrics.reconciled.inc({ what: "wait" }, count);
          for (const [goalId, newest] of Object.entries(events)) bus.publish(goalId, newest);
          for (const tenant of await store.tenantsWithDueWork()) {
            await send(await store.dispatchDue(tenant, config.tenantInFlight, 64));
            timekeeping.turn();
          }
        },
      },
      log,
      timekeeping,
    );
    onClose(() => timekeeper.stop());
    const upkeep = setInterval(
      () =>
        void Promise.all([
          parts.keepHouse(),
          store.dropOldLeases(),
          vectors?.pruneCachedVectors(config.embeddings.cacheRows, config.embeddings.cacheAgeMs),
        ]).catch((thrown: unknown) => log.warn({ event: "upkeep_failed", error: messageOf(thrown) })),
      upkeepEveryMs,
    );
    upkeep.unref();
    onClose(async () => clearInterval(upkeep));
  }
  let reembedder: { stop(): Promise<void> } | undefined;
  onClose(async () => reembedder?.stop());
  const keepEmbedded = () => {
    if (vectors === undefined || isChild || config.embeddings.reembedBatch === 0) return;
    return startReembedder({
      vectors,
      embedder: () => models.embedder(),
      embedderOf,
      holder: lease,
      batch: config.embeddings.reembedBatch,
      backoff: config.backoff,
      metrics,
      log,
    });
  };
  const isolation = parts.createIsolation({ store, lease, log, metrics });

  const workers: WorkerShell[] = [];
  const load = createLoad({
    gatherMs: config.commit.gatherMs,
    slotsUsed: () => workers.reduce((used, worker) => used + worker.slots.used, 0),
    now: () => performance.now(),
  });
  const { gatherMs } = load;
  onClose(() => Promise.all(workers.map((worker) => worker.drain())));
  return {
    config,
    log,
    store,
    bus,
    texts: parts.texts,
    redactor,
    claims,
    models,
    metrics,
    isolation,
    progress,
    lease,
    journalFormat: () => writtenFormat,
    leaseHolds: (since) => heldSince <= since && performance.now() - heldAt < leaseMs * leaseMargin,
    createId,
    awayMs: (retry, backoffs) => awayMs(retry, config.backoff, backoffs, Math.random),
    send,
    door: createDoor(
      store,
      {
        jobs: send,
        events: (goalId, newest) => bus.publish(goalId, newest),
        inFlight: load.inFlight,
      },
      {
        tenantCap: config.tenantInFlight,
        ...config.commit,
        gatherMs,
        redactor,
        clock: Date.now,
        pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      },
    ),
    claimer: createClaimer(store, lease, { maxClaims: config.commit.maxWrites, gatherMs }),
    memory: createMemory({
      store,
      vectors,
      embedder: () => models.embedder(),
      localEmbedder,
      embedderOf,
      learns: config.memory,
      limits: config.embeddings,
      gatherMs,
      metrics,
      log,
    }),
    dispatch: (tenantId) =>
      store.dispatchDue(tenantId, config.tenantInFlight, 64).then(
        (jobs) => {
          if (jobs.length > 0) failpoint("dispatch.marked");
          return send(jobs);
        },
        (thrown: unknown) => log.warn({ event: "dispatch_failed", error: messageOf(thrown) }),
      ),
    startWorker(name, handler, slots) {
      parts.onWork();
      reembedder ??= keepEmbedded();
      const worker = startWorker(
        {
          backend: queue,
          log,
          metrics,
          oldestSentMs: () => store.oldestSentMs(name),
          fetching: progress.loop(`fetch ${name}`, {
            everyMs: queue.fetchMs,
            waitsFor: () => within(pingMs, queue.ping()),
          }),
        },
        handler,
        { queue: name, slots, drainMs: config.drainMs, beforeClaim: isolation.beforeClaim },
      );
      workers.push(worker);
      return worker;
    },
  };
}
