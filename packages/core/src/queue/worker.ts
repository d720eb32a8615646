/**
 * The worker shell: takes jobs while it has slots, hands their tasks to a stage's `handle`, and tells BullMQ how each job
 * ended, for Bull Board to show. Knows nothing of what a stage does. It is not responsible for retries, timeouts or
 * state: those are rows.
 *
 * - A job is fetched only while slots are free, so work never waits on a full worker while another is idle. A large worker keeps
 *   room for a whole job: one that is taken in part goes back to its queue for the rest.
 * - Losing a job's lock ends nothing (W8); it is counted.
 * - A worker whose fetch never returns hears of no job any more, and no error says so. It is told by the work that lies on
 *   its queue untaken while it has free slots, and gets new connections.
 * - BullMQ wakes who waits by a marker beside the jobs. After a failover the jobs may be there without it, so whoever has waited
 *   in vain looks once without waiting.
 */
import type { Logger } from "../logging.ts";
import { messageOf } from "../domain/errors.ts";
import { failpoint } from "../failpoints.ts";
import type { Metrics } from "../metrics.ts";
import type { Loop } from "../probes/progress.ts";
import type { QueueName } from "../store/commit.ts";
import { jobLockMs, type JobWorker, type QueueBackend, type QueueJob } from "./backend.ts";
import type { Isolation } from "./isolation.ts";
import { payloadSchema, type JobPayload } from "./payload.ts";
import { Slots } from "./slots.ts";

/** One claimed task (or goal, for the planner). Resolves with why it failed, for people, or null. Never throws for what a stage can expect. */
export type Run = (draining: AbortSignal) => Promise<string | null>;

export interface StageHandler {
  /** Claims at most `limit` of what a job names. What it leaves is dispatched again by whoever leaves it. */
  claim(payload: JobPayload, limit: number): Promise<readonly Run[]>;
  /** The run of what this lease has claimed already, in the child process that is there for it; null where the claim was lost. */
  takeUp(id: string, fence: number): Promise<Run | null>;
}

export interface WorkerShellOptions {
  readonly queue: QueueName;
  readonly slots: number;
  /** How long a drain waits for running steps. */
  readonly drainMs: number;
  /** How long a fetch may be under way, and work lie on the queue, before the worker counts as deaf. */
  readonly deafMs?: number;
  readonly beforeClaim: Isolation["beforeClaim"];
}

export interface WorkerParts {
  readonly backend: Pick<QueueBackend, "createWorker" | "dropWorker" | "fetchMs" | "ping">;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, "lostLocks" | "deafWorkers">;
  /** How long the oldest of what was sent to this queue has lain there untaken. */
  readonly oldestSentMs: () => Promise<number>;
  /** Turns with each fetch, and rests while no slot is free. */
  readonly fetching: Pick<Loop, "turn" | "rest">;
}

export interface WorkerShell {
  readonly slots: Slots;
  /** Takes no new work, lets running steps finish and hands the rest back. Resolves when nothing runs, or at the deadline. */
  drain(): Promise<void>;
}

/** Of a failed job's reason, as Bull Board shows it. */
const maxFailureChars = 4000;
/** Given to a fetch under way when its worker closes. */
const closingFetchMs = 250;
/** Tasks of one job (W7). */
const maxJobTasks = 8;
/** At most this part of a worker's slots stands idle so that a job finds room. */
const roomShare = 16;
/** After a fetch that failed, as when Redis is away. */
const fetchRetryMs = 1000;
/** A fetch ends by itself after `fetchMs`, and BullMQ's own watchdog a second later: what takes three times as long is stuck. */
const deafFetches = 3;

export function startWorker(parts: WorkerParts, handler: StageHandler, options: WorkerShellOptions): WorkerShell {
  const { backend, log, metrics } = parts;
  const deafMs = options.deafMs ?? deafFetches * backend.fetchMs;
  let current = backend.createWorker(options.queue);
  const slots = new Slots(options.slots);
  const room = Math.min(maxJobTasks, Math.ceil(options.slots / roomShare));
  const stopping = new AbortController();
  const running = new Map<string, { readonly job: QueueJob; readonly token: string; readonly done: Promise<void> }>();
  let fetches = 0;
  /** Since when a fetch is under way. */
  let fetchingSince: number | null = null;

  /** Takes slots for all that the job may bring, and gives back what its claim did not need. */
  async function take(job: QueueJob, token: string): Promise<void> {
    const payload = payloadSchema.safeParse(job.data);
    if (!payload.success) return end(job, token, [`not a job of ours: ${payload.error.message}`]);
    const limit = Math.min(Math.max(payload.data.tasks.length, 1), slots.free);
    slots.take(limit);
    let runs: readonly Run[] = [];
    try {
      const begun = await options.beforeClaim(stopping.signal);
      try {
        runs = await handler.claim(payload.data, limit);
      } finally {
        slots.give(limit - runs.length);
        begun();
      }
    } catch (thrown) {
      log.warn({ event: "claim_failed", queue: options.queue, job: job.id, error: messageOf(thrown) });
      return end(job, token, [messageOf(thrown)]);
    }
    return work(job, token, runs);
  }

  async function work(job: QueueJob, token: string, runs: readonly Run[]): Promise<void> {
    const outcomes = await Promise.allSettled(runs.map((run) => run(stopping.signal).finally(() => slots.give(1))));
    const failures = outcomes.flatMap((outcome) =>
      outcome.status === "rejected" ? [messageOf(outcome.reason)] : outcome.value === null ? [] : [outcome.value],
    );
    await end(job, token, failures);
  }

  async function end(job: QueueJob, token: string, failures: readonly string[]): Promise<void> {
    try {
      if (failures.length === 0) await job.moveToCompleted(null as never, token, false);
      else await job.moveToFailed(failureOf(failures), token, false);
    } catch (thrown) {
      // "Missing lock" and "Missing key" are normal after an outage: the job is gone, its work is safe in Postgres.
      log.debug({ event: "job_end_unrecorded", queue: options.queue, job: job.id, error: messageOf(thrown) });
    }
  }

  async function loop(worker: JobWorker): Promise<void> {
    // To connect may take for ever as well.
    fetchingSince = performance.now();
    await worker.waitUntilReady();
    await worker.startStalledCheckTimer();
    let block = true;
    // Ends when the shell drains, or when another worker has taken this one's place.
    while (!stopping.signal.aborted && worker === current) {
      if (worker === current) parts.fetching.rest();
      await slots.whenFree(room, stopping.signal);
      if (stopping.signal.aborted) break;
      if (worker === current) parts.fetching.turn();
      try {
        const token = `${worker.id}:${fetches++}`;
        fetchingSince = performance.now();
        const job = await worker.getNextJob(token, { block });
        // A job that comes to a worker which was given up is worked on like any other: its claim decides.
        if (worker === current) fetchingSince = null;
        block = job !== undefined || !block;
        if (job?.id === undefined) continue;
        const id = job.id;
        failpoint("job.fetched");
        // The next fetch does not wait for the claim: jobs that come one after the other are claimed together.
        running.set(id, { job, token, done: take(job, token).finally(() => running.delete(id)) });
      } catch (thrown) {
        if (worker === current) fetchingSince = null;
        if (stopping.signal.aborted) break;
        log.warn({ event: "job_fetch_failed", queue: options.queue, error: messageOf(thrown) });
        await pause(fetchRetryMs, stopping.signal);
      }
    }
  }

  const extend = setInterval(() => {
    for (const { job, token } of running.values())
      void job.extendLock(token, jobLockMs).catch(() => metrics.lostLocks.inc());
  }, jobLockMs / 3);
  extend.unref();

  /** A worker that gets no connections is given up for another: only before its first fetch can its loop fail. */
  const run = async (worker: JobWorker): Promise<void> => {
    try {
      await loop(worker);
    } catch (thrown) {
      if (stopping.signal.aborted || worker !== current) return;
      log.warn({ event: "worker_not_started", queue: options.queue, error: messageOf(thrown) });
      fetchingSince = null;
      parts.fetching.turn();
      await pause(fetchRetryMs, stopping.signal);
      if (stopping.signal.aborted || worker !== current) return;
      backend.dropWorker(worker);
      current = backend.createWorker(options.queue);
      return run(current);
    }
  };
  let ended = run(current);

  let listening = false;
  async function replaceIfDeaf(): Promise<void> {
    const isStuck = () => fetchingSince !== null && performance.now() - fetchingSince > deafMs && slots.free > 0;
    if (!isStuck() || (await parts.oldestSentMs()) < deafMs) return;
    // While the queue is away new connections would hear as little.
    await backend.ping();
    if (!isStuck() || stopping.signal.aborted) return;
    log.warn({ event: "worker_deaf", queue: options.queue, fetchMs: Math.round(performance.now() - fetchingSince!) });
    metrics.deafWorkers.inc({ queue: options.queue });
    const deaf = current;
    const taken = [...running.values()];
    fetchingSince = null;
    current = backend.createWorker(options.queue);
    ended = run(current);
    // What it took before it went deaf may still be told how it ended.
    void Promise.allSettled(taken.map((each) => each.done)).then(() => backend.dropWorker(deaf));
  }
  const listener = setInterval(() => {
    if (listening) return;
    listening = true;
    void replaceIfDeaf()
      .catch((thrown: unknown) => log.debug({ event: "deaf_check_failed", error: messageOf(thrown) }))
      .finally(() => (listening = false));
  }, deafMs / 4);
  listener.unref();

  return {
    slots,
    async drain() {
      stopping.abort();
      parts.fetching.rest();
      const deadline = new Promise<void>((resolve) => setTimeout(resolve, options.drainMs).unref());
      await Promise.race([Promise.allSettled([...running.values()].map((each) => each.done)), deadline]);
      clearInterval(extend);
      clearInterval(listener);
      // BullMQ's own close waits without end for a fetch that blocks, and on its Postgres backend such a fetch never
      // returns. A job that it takes in this very moment is sent again by the reconciler.
      await Promise.race([current.close(true).catch(() => undefined), deadline]);
      await Promise.race([
        ended,
        deadline,
        new Promise<void>((resolve) => setTimeout(resolve, closingFetchMs).unref()),
      ]);
    },
  };
}

/** Until the time is over, or the signal comes. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}

/** People read why the tasks failed; where this worker stood when it said so is no help to them. */
function failureOf(failures: readonly string[]): Error {
  const failure = new Error(failures.join("\n").slice(0, maxFailureChars));
  failure.stack = failure.message;
  return failure;
}
