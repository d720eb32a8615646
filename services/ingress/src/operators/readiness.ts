/** Whether what this process stands on answers. Open to all, so it says no more than up or not. */
import type { IngressParts } from "../parts.ts";
import { within } from "./deadline.ts";

export interface PartState {
  readonly state: "up" | "away" | "late";
  readonly ms: number;
}

export interface Readiness {
  readonly ready: boolean;
  readonly parts: Readonly<Record<"postgres" | "queue", PartState>>;
}

/** A part that takes longer is not there for a request either. */
const pingMs = 2000;

/** @returns what looks at the parts; those who ask at once share one look */
export function createReadiness({
  database,
  queue,
}: Pick<IngressParts, "database" | "queue">): () => Promise<Readiness> {
  let looking: Promise<Readiness> | undefined;
  const look = async (): Promise<Readiness> => {
    const [postgres, queueState] = await Promise.all([ping(database.pool.query("SELECT 1")), ping(queue.ping())]);
    return { ready: postgres.state === "up" && queueState.state === "up", parts: { postgres, queue: queueState } };
  };
  return () => (looking ??= look().finally(() => (looking = undefined)));
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
