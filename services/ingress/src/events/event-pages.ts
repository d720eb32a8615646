/**
 * What the event streams of this process read, read once for all of them (W9). A goal's events never change, so they are
 * kept as pages of a hundred numbers each, ready to be sent; only the page that still grows is looked at again.
 *
 * 1. Those who want the same page at the same time share one read; a thousand who come back cost the pages they lack.
 * 2. A page is read from Redis where the recent events reach back to it, else from Postgres.
 * 3. What the bus told of is never missed: a page that lacks it is read again, from Postgres where Redis lacks it too.
 * 4. Memory is bounded by bytes; what was wanted longest ago goes first.
 */
import type { EventBus, EventType, GoalEvent, GoalId } from "@outerloop/core";
import { toEventResource } from "../goals/resources.ts";

export interface ShownEvent {
  readonly seq: number;
  readonly type: EventType;
  /** As it is sent. */
  readonly text: string;
}

export interface Page {
  readonly events: readonly ShownEvent[];
  /** Whether the next page has begun, or may have. */
  readonly more: boolean;
}

export interface EventPages {
  /** Events above `after` in order, to the end of their page. `known`: a number that the goal is known to have. */
  read(goalId: GoalId, after: number, known?: number): Promise<Page>;
  stop(): void;
}

export interface EventPagesOptions {
  readonly maxBytes: number;
  /** After this long a page that grows is looked at again, whatever the bus told. */
  readonly freshMs: number;
  readonly clock: () => number;
}

/** From Postgres. */
export type ReadEvents = (goalId: GoalId, after: number, limit: number) => Promise<readonly GoalEvent[]>;

const pageSize = 100;
/** An event's objects beside its text, about. */
const overheadBytes = 200;
/** A read that was under way when news came is repeated once for it; more would chase what Postgres does not know. */
const maxLooks = 2;

interface Kept {
  readonly goalId: GoalId;
  /** Events `first + 1` to at most `first + pageSize`. */
  readonly first: number;
  events: readonly ShownEvent[];
  bytes: number;
  readAt: number;
  reading: Promise<void> | undefined;
}

const lastOf = (page: Kept) => page.first + page.events.length;
const isFull = (page: Kept) => page.events.length === pageSize;

export function createEventPages(
  bus: Pick<EventBus, "recent" | "subscribe">,
  readStore: ReadEvents,
  options: EventPagesOptions,
): EventPages {
  const kept = new Map<string, Kept>();
  let bytes = 0;
  /** The newest numbers that were told, of goals that have a page here. */
  const told = new Map<string, number>();
  const pagesOf = new Map<string, number>();
  const unsubscribe = bus.subscribe((goalId, newest) => {
    if (pagesOf.has(goalId) && newest > (told.get(goalId) ?? 0)) told.set(goalId, newest);
  });

  const keyOf = (page: Pick<Kept, "goalId" | "first">) => `${page.goalId}/${page.first}`;

  function drop(page: Kept): void {
    if (!kept.delete(keyOf(page))) return;
    bytes -= page.bytes;
    const left = (pagesOf.get(page.goalId) ?? 1) - 1;
    if (left > 0) pagesOf.set(page.goalId, left);
    else {
      pagesOf.delete(page.goalId);
      told.delete(page.goalId);
    }
  }

  function take(goalId: GoalId, first: number): Kept {
    const key = keyOf({ goalId, first });
    let page = kept.get(key);
    // A Map keeps the order of insertion, so its first entry is the one wanted longest ago.
    if (page !== undefined) kept.delete(key);
    else {
      page = { goalId, first, events: [], bytes: 0, readAt: Number.NEGATIVE_INFINITY, reading: undefined };
      pagesOf.set(goalId, (pagesOf.get(goalId) ?? 0) + 1);
    }
    kept.set(key, page);
    return page;
  }

  /** Reads on from where the page ends. */
  async function grow(page: Kept, wanted: number): Promise<void> {
    const after = lastOf(page);
    const limit = pageSize - page.events.length;
    const readAt = options.clock();
    const recent = await bus.recent(page.goalId, after, limit).catch(() => null);
    const reaches = recent !== null && (after + recent.length >= wanted || recent.length === limit);
    const events = reaches ? recent : await readStore(page.goalId, after, limit);
    const shown = events.map(show);
    const added = shown.reduce((sum, event) => sum + event.text.length + overheadBytes, 0);
    page.events = [...page.events, ...shown];
    page.readAt = readAt;
    if (kept.get(keyOf(page)) !== page) return;
    page.bytes += added;
    bytes += added;
    for (const oldest of kept.values()) {
      if (bytes <= options.maxBytes) break;
      drop(oldest);
    }
  }

  return {
    async read(goalId, after, known = 0) {
      const page = take(goalId, Math.floor(after / pageSize) * pageSize);
      for (let look = 0; look < maxLooks && !isFull(page); look++) {
        const wanted = Math.min(Math.max(told.get(goalId) ?? 0, known), page.first + pageSize);
        if (lastOf(page) >= wanted && options.clock() - page.readAt < options.freshMs) break;
        page.reading ??= grow(page, wanted).finally(() => (page.reading = undefined));
        await page.reading;
      }
      return { events: page.events.slice(Math.max(after - page.first, 0)), more: isFull(page) };
    },
    stop() {
      unsubscribe();
      kept.clear();
    },
  };
}

function show(event: GoalEvent): ShownEvent {
  const data = JSON.stringify(toEventResource(event));
  return { seq: event.seq, type: event.type, text: `id: ${event.seq}\nevent: ${event.type}\ndata: ${data}\n\n` };
}
