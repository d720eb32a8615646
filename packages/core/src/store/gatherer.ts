/**
 * Group commit, for whatever is cheaper together: what comes while a batch is under way gathers, and the next batch takes it.
 * Knows nothing of what it carries.
 *
 * 1. One batch is under way at a time, in the order of what came.
 * 2. A batch is bounded in items and in bytes; a single larger item goes by itself.
 * 3. Where much is going on, a batch waits a little for more: what each item costs falls by more than it is held up.
 * 4. Nobody waits for what somebody else's item needs: what is busy is given back, at most `maxReturns` times or until nobody
 *    else comes. Then it is sent alone, beside the batches, and told to wait; at most `maxAlone` at once are.
 *
 * How much may gather is bounded by who waits: everybody has one item here at a time.
 */
import { setImmediate as nextTurn } from "node:timers/promises";

export interface GathererOptions<Item, Reply> {
  readonly maxItems: number;
  readonly maxBytes: number;
  bytesOf(item: Item): number;
  /**
   * @param wait nobody else is held up, so whatever the only item needs may be waited for
   * @returns a reply for each item, in order; `busy` sends the item again with the next batch
   */
  send(items: readonly Item[], wait: boolean): Promise<readonly (Answer<Reply> | "busy")[]>;
  /** How long a batch that is not full waits for more before it goes; 0 sends it at once. */
  readonly gatherMs?: () => number;
}

export type Answer<Reply> = { readonly reply: Reply } | { readonly thrown: unknown };

export interface Gatherer<Item, Reply> {
  add(item: Item): Promise<Reply>;
}

const maxReturns = 5;
/** Each holds a connection for as long as it waits, and most of the pool is for those that need not. */
const maxAlone = 2;

interface Waiting<Item, Reply> {
  readonly item: Item;
  readonly bytes: number;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (thrown: unknown) => void;
  returns: number;
}

export function createGatherer<Item, Reply>(options: GathererOptions<Item, Reply>): Gatherer<Item, Reply> {
  let waiting: Waiting<Item, Reply>[] = [];
  let running = false;
  let alone: Waiting<Item, Reply>[] = [];
  let waitingAlone = 0;
  /** Ends the wait for more. */
  let full: (() => void) | null = null;

  function takeBatch(): readonly Waiting<Item, Reply>[] {
    let bytes = 0;
    let count = 0;
    for (const each of waiting) {
      bytes += each.bytes;
      if (count === options.maxItems || (count > 0 && bytes > options.maxBytes)) break;
      count += 1;
    }
    const batch = waiting.slice(0, count);
    waiting = waiting.slice(count);
    return batch;
  }

  function settle(each: Waiting<Item, Reply>, answer: Answer<Reply>): void {
    if ("reply" in answer) each.resolve(answer.reply);
    else each.reject(answer.thrown);
  }

  /** A send that throws before it has begun fails as one that does so later. */
  async function send(batch: readonly Waiting<Item, Reply>[], wait: boolean) {
    const items = batch.map((each) => each.item);
    try {
      return await options.send(items, wait);
    } catch (thrown) {
      return batch.map(() => ({ thrown }));
    }
  }

  async function sendAlone(each: Waiting<Item, Reply>): Promise<void> {
    waitingAlone += 1;
    const [answer] = await send([each], true);
    waitingAlone -= 1;
    settle(each, answer === undefined || answer === "busy" ? { thrown: new Error("busy, though it waited") } : answer);
    takeAlone();
  }

  function takeAlone(): void {
    const free = maxAlone - waitingAlone;
    const next = alone.slice(0, free);
    alone = alone.slice(free);
    for (const each of next) void sendAlone(each);
  }

  async function sendBatch(batch: readonly Waiting<Item, Reply>[]): Promise<void> {
    const answers = await send(batch, false);
    const again: Waiting<Item, Reply>[] = [];
    for (const [index, each] of batch.entries()) {
      const answer = answers[index] ?? { thrown: new Error("no answer to this part of the batch") };
      if (answer !== "busy") settle(each, answer);
      else if (++each.returns >= maxReturns || (batch.length === 1 && waiting.length === 0)) alone.push(each);
      else again.push(each);
    }
    waiting = [...again, ...waiting];
    takeAlone();
  }

  async function gather(): Promise<void> {
    const ms = options.gatherMs?.() ?? 0;
    if (ms === 0 || waiting.length >= options.maxItems) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      full = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    full = null;
  }

  async function run(): Promise<void> {
    try {
      while (waiting.length > 0) {
        // What was answered just now goes on in this turn, and may bring its next item.
        await nextTurn();
        await gather();
        await sendBatch(takeBatch());
      }
    } finally {
      running = false;
    }
  }

  return {
    add(item) {
      return new Promise((resolve, reject) => {
        waiting.push({ item, bytes: options.bytesOf(item), resolve, reject, returns: 0 });
        if (waiting.length >= options.maxItems) full?.();
        if (running) return;
        running = true;
        void run();
      });
    },
  };
}
