/** Whether what a process stands on answers. Open to all, so it says no more than up or not. */
import type { QueueBackend } from "../queue/backend.ts";
import { pingDatabase, type Db } from "../store/database.ts";
import { within } from "./within.ts";

export interface PartState {
  readonly state: "up" | "away" | "late";
  readonly ms: number;
}

export interface Readiness {
  /** `degraded`: it can do its work, only later than usual. */
  readonly status: "ready" | "degraded" | "not_ready" | "stopping";
  readonly parts: Readonly<Record<"postgres" | "queue", PartState>>;
}

export interface ReadinessParts {
  readonly db: Db;
  readonly queue: Pick<QueueBackend, "ping">;
  /** Whether the process is of no use while the queue is away. Ingress takes goals all the same; they are sent later. */
  readonly needsQueue: boolean;
  readonly isStopping: () => boolean;
}

/** A part that takes longer is not there for a request either. */
const pingMs = 2000;

/** @returns what looks at the parts; those who ask at once share one look */
export function createReadiness({ db, queue, needsQueue, isStopping }: ReadinessParts): () => Promise<Readiness> {
  let looking: Promise<Readiness> | undefined;
  const look = async (): Promise<Readiness> => {
    const [postgres, jobs] = await Promise.all([ping(pingDatabase(db)), ping(queue.ping())]);
    const isUp = postgres.state === "up" && (jobs.state === "up" || !needsQueue);
    const status = isStopping() ? "stopping" : !isUp ? "not_ready" : jobs.state === "up" ? "ready" : "degraded";
    return { status, parts: { postgres, queue: jobs } };
  };
  return () => (looking ??= look().finally(() => (looking = undefined)));
}

/** Whether work may be given to a process that says this. */
export function isReady({ status }: Readiness): boolean {
  return status === "ready" || status === "degraded";
}

async function ping(answer: Promise<unknown>): Promise<PartState> {
  const startedAt = performance.now();
  const state = await within(pingMs, answer).then(
    () => "up" as const,
    (thrown: unknown) =>
      thrown instanceof Error && thrown.message === "timeout" ? ("late" as const) : ("away" as const),
  );
  return { state, ms: Math.round(performance.now() - startedAt) };
}
