/**
 * When watchers are told of new events: the first of a quiet time at once, what follows together, the more of it the later.
 * A message costs the same for one goal as for a hundred, and who watches one goal alone shall not wait for it.
 *
 * One message is under way at a time, so while whoever takes them is slow all else gathers, and what gathers is bounded.
 */
export type EventMessage = Readonly<Record<string, number>>;

export interface EventMessages {
  /** That a goal has events up to this number. */
  add(goalId: string, newest: number): void;
  /** Sends what is left. */
  close(): Promise<void>;
}

export interface EventMessagesOptions {
  /** Takes one message; what it throws is its own to tell of. */
  readonly send: (message: EventMessage) => Promise<void>;
  /** After a message about one goal the next one may go this much later, and twice as much after each that followed. */
  readonly quietMs: number;
}

/** Where one goal goes on and on, at most; where several move, at least, with a millisecond for each up to the other. */
const steadyMs = 10;
const maxGatherMs = 100;
/** NOTIFY refuses payloads of 8,000 bytes and more. */
export const maxGoalsPerMessage = 150;
/** Told of while Redis or Postgres is slow; more than these cost their watchers a look. */
export const maxPendingGoals = 10_000;

export function createEventMessages({ send, quietMs }: EventMessagesOptions): EventMessages {
  let pending = new Map<string, number>();
  let timer: NodeJS.Timeout | undefined;
  let sending: Promise<void> | undefined;
  /** Since the last message; 0 when all has been quiet since. */
  let gatherMs = 0;

  async function sendPending(): Promise<number> {
    // What the same commit says of other goals comes in the same turn.
    await Promise.resolve();
    const entries = [...pending];
    pending = new Map();
    for (let at = 0; at < entries.length; at += maxGoalsPerMessage)
      await send(Object.fromEntries(entries.slice(at, at + maxGoalsPerMessage)));
    return entries.length;
  }

  function start(): void {
    sending = sendPending().then((goals) => {
      sending = undefined;
      gatherMs =
        goals > 1
          ? Math.min(Math.max(goals, steadyMs), maxGatherMs)
          : Math.max(quietMs, Math.min(2 * gatherMs, steadyMs));
      timer = setTimeout(() => {
        timer = undefined;
        if (pending.size > 0) start();
        else gatherMs = 0;
      }, gatherMs);
    });
  }

  return {
    add(goalId, newest) {
      pending.set(goalId, Math.max(newest, pending.get(goalId) ?? 0));
      const [oldest] = pending.keys();
      if (pending.size > maxPendingGoals && oldest !== undefined) pending.delete(oldest);
      if (sending === undefined && timer === undefined) start();
    },
    async close() {
      await sending;
      clearTimeout(timer);
      timer = undefined;
      if (pending.size > 0) await sendPending();
    },
  };
}
