/**
 * The recent events of each goal in Redis (W9, W12): a capped stream a goal, its ids the goal's own numbers, so that those
 * who come back need not ask Postgres.
 *
 * 1. A stream has no gap: entries are added in order above its top, and where one would be left out it begins anew.
 * 2. It may lag or be gone; a reader expects the next number and else asks Postgres. Nothing waits for it.
 * 3. What goes in was read back once a goal and flush, for all commits in between, by whoever committed.
 */
import type { Redis } from "ioredis";
import { z } from "zod";
import { eventTypes, type GoalEvent } from "../domain/event.ts";

export interface RecentEventsOptions {
  /** Events of one goal that are kept, about. */
  readonly length: number;
  /** After its last event a goal's stream is forgotten. */
  readonly ttlMs: number;
}

export interface RecentEvents {
  /** Brings the streams of these goals up to their newest events. */
  append(newest: ReadonlyMap<string, number>): Promise<void>;
  /** The events right above `after`; empty where the stream has come no further, null where it does not know. */
  read(goalId: string, after: number, limit: number): Promise<readonly GoalEvent[] | null>;
}

/** The newest `limit` events of each goal above a number, in order. */
export type ReadBack = (
  above: ReadonlyMap<string, number>,
  limit: number,
) => Promise<ReadonlyMap<string, readonly GoalEvent[]>>;

/** Goals whose stream's top this process remembers; for another it asks. */
const maxTops = 10_000;
/** A larger event stays in Postgres: its place is kept by an entry that says so. */
const maxEventBytes = 64 * 1024;

const eventSchema = z.object({
  type: z.enum(eventTypes),
  taskId: z.string().nullable(),
  data: z.record(z.string(), z.unknown()),
  at: z.string(),
});

/** Atomic, so that two publishers of a goal leave no gap, whatever their order. An id below the top is there already. */
const appendScript = `
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local top = 0
if #last > 0 then top = tonumber(string.match(last[1][1], '^%d+')) end
if top > 0 and tonumber(ARGV[3]) > top + 1 then
  redis.call('DEL', KEYS[1])
  top = 0
end
for i = 3, #ARGV, 2 do
  if tonumber(ARGV[i]) > top then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], ARGV[i] .. '-0', 'e', ARGV[i + 1])
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1`;

type StreamEntry = [id: string, fields: string[]];

export function createRecentEvents(
  redis: Redis,
  prefix: string,
  readBack: ReadBack,
  options: RecentEventsOptions,
): RecentEvents {
  const keyOf = (goalId: string) => `${prefix}:recent:${goalId}`;
  /** As far as this process knows; the least recently written first. */
  const tops = new Map<string, number>();
  const remember = (goalId: string, top: number) => {
    tops.delete(goalId);
    tops.set(goalId, top);
    const [oldest] = tops.keys();
    if (tops.size > maxTops && oldest !== undefined) tops.delete(oldest);
  };

  async function topsOf(goalIds: readonly string[]): Promise<Map<string, number>> {
    const known = new Map(goalIds.flatMap((id) => (tops.has(id) ? [[id, tops.get(id)!] as const] : [])));
    const unknown = goalIds.filter((id) => !known.has(id));
    if (unknown.length === 0) return known;
    const pipeline = redis.pipeline();
    for (const id of unknown) pipeline.xrevrange(keyOf(id), "+", "-", "COUNT", 1);
    const replies = (await pipeline.exec()) ?? [];
    for (const [index, [failure, entries]] of replies.entries()) {
      if (failure !== null) throw failure;
      known.set(unknown[index]!, seqOf((entries as StreamEntry[])[0]?.[0]));
    }
    return known;
  }

  return {
    async append(newest) {
      const above = await topsOf([...newest.keys()]);
      for (const [goalId, top] of above) if (top >= newest.get(goalId)!) above.delete(goalId);
      if (above.size === 0) return;
      const found = await readBack(above, options.length);
      const pipeline = redis.pipeline();
      for (const [goalId, events] of found)
        pipeline.eval(
          appendScript,
          1,
          keyOf(goalId),
          options.length,
          options.ttlMs,
          ...events.flatMap((event) => [event.seq, encode(event)]),
        );
      const replies = (await pipeline.exec()) ?? [];
      const goalIds = [...found.keys()];
      for (const [index, [failure]] of replies.entries()) {
        const goalId = goalIds[index]!;
        // What was not written is found missing when the goal's next event is.
        if (failure === null) remember(goalId, found.get(goalId)!.at(-1)!.seq);
        else tops.delete(goalId);
      }
    },
    async read(goalId, after, limit) {
      const key = keyOf(goalId);
      const replies = await redis
        .pipeline()
        .xrange(key, `${after + 1}-0`, "+", "COUNT", limit)
        .xrevrange(key, "+", "-", "COUNT", 1)
        .exec();
      const [entries, last] = (replies ?? []).map(([failure, reply]) => {
        if (failure !== null) throw failure;
        return reply as StreamEntry[];
      });
      if (entries === undefined || last === undefined) return null;
      if (entries.length === 0) return seqOf(last[0]?.[0]) === after ? [] : null;
      const events = decodeRun(entries, after);
      return events.length === 0 ? null : events;
    },
  };
}

function seqOf(id: string | undefined): number {
  return id === undefined ? 0 : Number(id.split("-")[0]);
}

function encode(event: GoalEvent): string {
  const { seq: _, ...rest } = event;
  const text = JSON.stringify(rest);
  return Buffer.byteLength(text) > maxEventBytes ? "" : text;
}

/** Entries from `after` + 1 on, up to the first that is not the next or that was too large to keep. */
function decodeRun(entries: readonly StreamEntry[], after: number): GoalEvent[] {
  const events: GoalEvent[] = [];
  for (const [id, fields] of entries) {
    const seq = seqOf(id);
    const text = fields[1] ?? "";
    if (seq !== after + events.length + 1 || text === "") break;
    events.push({ seq, ...eventSchema.parse(JSON.parse(text)) });
  }
  return events;
}
