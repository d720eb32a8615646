/**
 * Ends waits whose time has come: timers, and the deadlines of signals and approvals. Every service runs one; any number at
 * once do no harm. The database's clock decides, so a process whose own clock is wrong fires nothing early.
 */
import { messageOf } from "../domain/errors.ts";
import { failpoint } from "../failpoints.ts";
import type { Logger } from "../logging.ts";
import type { Loop } from "../probes/progress.ts";
import type { Store } from "../store/store.ts";

/** Between looks where nothing is due sooner: what bounds how late a wait that was begun since the last look ends. */
const lookEveryMs = 1000;
/** Waits of one look. A backlog is taken in bites, so that other work gets its turn. */
const batch = 500;
/** Between the bites of a backlog, and after a look that found its goal locked. */
const nextBiteMs = 20;

export interface TimekeeperParts {
  readonly store: Pick<Store, "fireDueWaits">;
  readonly onFired: (events: Readonly<Record<string, number>>, count: number) => Promise<void>;
}

export function startTimekeeper(
  { store, onFired }: TimekeeperParts,
  log: Logger,
  loop: Pick<Loop, "turn">,
): { stop(): Promise<void> } {
  const stopping = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> = Promise.resolve();

  async function look(): Promise<number> {
    const { fired, events, nextMs } = await store.fireDueWaits(batch);
    if (fired > 0) {
      failpoint("wait.fired");
      await onFired(events, fired);
    }
    return Math.min(Math.max(nextMs ?? lookEveryMs, nextBiteMs), lookEveryMs);
  }

  const next = (afterMs: number) => {
    if (stopping.signal.aborted) return;
    timer = setTimeout(() => {
      looking = look()
        .catch((thrown: unknown) => {
          log.warn({ event: "timekeeper_failed", error: messageOf(thrown) });
          return lookEveryMs;
        })
        .then((afterMs) => {
          loop.turn();
          next(afterMs);
        });
    }, afterMs);
  };
  next(lookEveryMs * Math.random());
  return {
    async stop() {
      stopping.abort();
      clearTimeout(timer);
      await looking;
    },
  };
}
