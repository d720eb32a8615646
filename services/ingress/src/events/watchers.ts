/**
 * Wakes the event streams of this process. The bus says at once that a goal has news; a message that got lost costs one
 * look of the safety poll, which is one query for all watchers together and rests while there are none.
 */
import { messageOf, newestEvents, type Db, type EventBus, type GoalId, type Logger } from "@outerloop/core";

export interface Watcher {
  /** Resolves when the goal has an event above `seen`, when it is nudged, when the server stops, or after `ms`. */
  wait(seen: number, ms: number): Promise<"news" | "nudge" | "stopping" | "nothing">;
  /** There is something else to see; forgotten where nobody waits. */
  nudge(): void;
  leave(): void;
}

export interface Watchers {
  readonly full: boolean;
  watch(goalId: GoalId): Watcher;
  /** Ends all waiting: streams say goodbye. */
  stop(): void;
}

export interface WatcherOptions {
  readonly max: number;
  readonly pollMs: number;
}

interface Entry {
  /** What its stream has sent. */
  seen: number;
  /** What it was told there is. */
  newest: number;
  wake: (why?: "nudge") => void;
}

/** Ids in one statement of the poll. */
const pollBatch = 1000;

export function createWatchers(db: Db, bus: EventBus, log: Logger, options: WatcherOptions): Watchers {
  const goals = new Map<GoalId, Set<Entry>>();
  let count = 0;
  let stopping = false;
  let polling = false;
  let timer: NodeJS.Timeout | undefined;

  const tell = (goalId: string, newest: number) => {
    for (const entry of goals.get(goalId as GoalId) ?? []) {
      if (newest <= entry.newest) continue;
      entry.newest = newest;
      if (newest > entry.seen) entry.wake();
    }
  };
  const unsubscribe = bus.subscribe(tell);

  async function poll(): Promise<void> {
    const ids = [...goals.keys()];
    for (let at = 0; at < ids.length; at += pollBatch)
      for (const [id, newest] of await newestEvents(db, ids.slice(at, at + pollBatch))) tell(id, newest);
  }
  const startPoll = () => {
    timer ??= setInterval(() => {
      if (polling) return;
      polling = true;
      void poll()
        .catch((thrown: unknown) => log.debug({ event: "event_poll_failed", error: messageOf(thrown) }))
        .finally(() => (polling = false));
    }, options.pollMs);
  };
  const stopPoll = () => {
    clearInterval(timer);
    timer = undefined;
  };

  return {
    get full() {
      return stopping || count >= options.max;
    },
    watch(goalId) {
      const entry: Entry = { seen: 0, newest: 0, wake: () => undefined };
      const entries = goals.get(goalId) ?? new Set();
      goals.set(goalId, entries.add(entry));
      count++;
      if (!stopping) startPoll();
      return {
        wait(seen, ms) {
          entry.seen = seen;
          return new Promise((resolve) => {
            const done = (why: "nudge" | "nothing" = "nothing") => {
              clearTimeout(timeout);
              entry.wake = () => undefined;
              const news = entry.newest > seen;
              // Told once: a number that Postgres does not know does not keep anybody looking.
              entry.newest = seen;
              resolve(stopping ? "stopping" : news ? "news" : why);
            };
            const timeout = setTimeout(() => done(), ms);
            entry.wake = done;
            if (stopping || entry.newest > seen) done();
          });
        },
        nudge: () => entry.wake("nudge"),
        leave() {
          if (!entries.delete(entry)) return;
          count--;
          entry.wake();
          if (entries.size === 0 && goals.get(goalId) === entries) goals.delete(goalId);
          if (count === 0) stopPoll();
        },
      };
    },
    stop() {
      stopping = true;
      unsubscribe();
      stopPoll();
      for (const entries of goals.values()) for (const entry of entries) entry.wake();
    },
  };
}
