/**
 * What the event streams of this process read, read once for all of them (W9). A goal's events never change, so they are
 * kept as pages of a hundred numbers each, ready to be sent; only the page that still grows is looked at again.
 *
 * 1. Those who want the same page at the same time share one read; a thousand who come back cost the pages they lack.
 * 2. A page that is new here is read from Redis where the recent events reach back to it. What they lack is read from
 *    Postgres, and so is all that comes after; what was read there is kept in Redis for others.
 * 3. What the bus told of is never missed: a page that lacks it is read again. Only what it told makes a page that still
 *    grows whole without a look at Postgres: the recent events end where somebody last watched.
 * 4. Memory is bounded, pages by bytes and what was told by goals; what was wanted or told longest ago goes first.
 */
import type { EventBus, EventType, GoalEvent, GoalId, ModelDelta } from "@outerloop/core";
import { z } from "zod";
import { toEventResource } from "../goals/resources.ts";

export interface ShownEvent {
  readonly seq: number;
  readonly type: EventType;
  /** As it is sent. */
  readonly text: string;
  /** Which call of a model has ended with it; null for events of another kind. */
  readonly step: Pick<ModelDelta, "task" | "attempt" | "seq"> | null;
}

const endedCallSchema = z.object({ key: z.string().nullable().default(null), attempt: z.int(), seq: z.int() });

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
/** The objects of an event beside its text, and of a page beside its events, about. */
const overheadBytes = 200;
/** A read that was under way when news came is repeated once for it; more would chase what Postgres does not know. */
const maxLooks = 2;
/** Goals whose newest number is remembered. */
const maxTold = 10_000;

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
  bus: Pick<EventBus, "recent" | "keep" | "subscribe">,
  readStore: ReadEvents,
  options: EventPagesOptions,
): EventPages {
  const kept = new Map<string, Kept>();
  let bytes = 0;
  /** The newest numbers that were told, watched here or not: who comes may find all of a goal in Redis, and know it. */
  const told = new Map<string, number>();
  const unsubscribe = bus.subscribe((goalId, newest) => {
    const before = told.get(goalId) ?? 0;
    told.delete(goalId);
    told.set(goalId, Math.max(newest, before));
    const [oldest] = told.keys();
    if (told.size > maxTold && oldest !== undefined) told.delete(oldest);
  });

  const keyOf = (page: Pick<Kept, "goalId" | "first">) => `${page.goalId}/${page.first}`;

  function drop(page: Kept): void {
    if (!kept.delete(keyOf(page))) return;
    bytes -= page.bytes;
  }

  function take(goalId: GoalId, first: number): Kept {
    const key = keyOf({ goalId, first });
    let page = kept.get(key);
    // A Map keeps the order of insertion, so its first entry is the one wanted longest ago.
    if (page !== undefined) kept.delete(key);
    else {
      const readAt = Number.NEGATIVE_INFINITY;
      page = { goalId, first, events: [], bytes: overheadBytes, readAt, reading: undefined };
      bytes += overheadBytes;
    }
    kept.set(key, page);
    return page;
  }

  /** Reads on from where the page ends. */
  async function grow(page: Kept): Promise<void> {
    const { goalId } = page;
    const after = lastOf(page);
    const limit = pageSize - page.events.length;
    const isNew = page.readAt === Number.NEGATIVE_INFINITY;
    const readAt = options.clock();
    const newest = told.get(goalId);
    const recent = isNew ? await bus.recent(goalId, after, limit).catch(() => null) : null;
    const reached = after + (recent?.length ?? 0);
    const isWhole = recent !== null && (recent.length === limit || reached >= (newest ?? Number.POSITIVE_INFINITY));
    const stored = isWhole ? [] : await readStore(goalId, reached, limit - (recent?.length ?? 0));
    const events = [...(recent ?? []), ...stored];
    const last = after + events.length;
    const reachesEnd = events.length < limit;
    // Told before Postgres was asked and not known to it: nobody looks for it again.
    if (reachesEnd && newest !== undefined && newest > last && told.get(goalId) === newest) told.set(goalId, last);
    // Of a goal that nobody told of, a full page may be from long ago.
    if (stored.length > 0 && (reachesEnd || newest !== undefined))
      bus.keep(goalId, stored, Math.max(last, told.get(goalId) ?? 0));
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
        page.reading ??= grow(page).finally(() => (page.reading = undefined));
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
  const text = `id: ${event.seq}\nevent: ${event.type}\ndata: ${data}\n\n`;
  return { seq: event.seq, type: event.type, text, step: endedCall(event) };
}

function endedCall(event: GoalEvent): ShownEvent["step"] {
  if (event.type !== "step.model") return null;
  const read = endedCallSchema.safeParse(event.data);
  return read.success ? { task: read.data.key, attempt: read.data.attempt, seq: read.data.seq } : null;
}
