/**
 * The recent events of each watched goal in Redis (W9, W12): a capped stream a goal, its ids the goal's own numbers, so that
 * those who come back, to this or another ingress, need not ask Postgres.
 *
 * 1. A stream has no gap: entries are added in order above its top, and where one would be left out it begins anew.
 * 2. It may lag or be gone; a reader expects the next number and else asks Postgres. Nothing waits for it.
 * 3. What goes in is what an ingress read from Postgres for its watchers: a goal that nobody watches has no stream.
 */
import type { Result } from "ioredis";
import { z } from "zod";
import { eventTypes, type GoalEvent } from "../domain/event.ts";
import type { RedisConnection } from "./redis.ts";

export interface RecentEventsOptions {
  /** Events of one goal that are kept, about. */
  readonly length: number;
  /** After its last event a goal's stream is forgotten. */
  readonly ttlMs: number;
}

export interface RecentEvents {
  /**
   * Adds events that follow one another, unless the goal's `newest` number is so far above them that they are not recent.
   * Returns at once; what cannot be kept now is left out.
   */
  keep(goalId: string, events: readonly GoalEvent[], newest: number): void;
  /** The events right above `after`; empty where the stream has come no further, null where it does not know. */
  read(goalId: string, after: number, limit: number): Promise<readonly GoalEvent[] | null>;
}

/** A larger event stays in Postgres: its place is kept by an entry that says so. */
const maxEventBytes = 64 * 1024;
/** On their way to Redis; beyond this, as while it is away, events are left out and their streams begin anew later. */
const maxSendingBytes = 8 * 1024 * 1024;
/** What one event costs however short it is, about. */
const overheadBytes = 100;

const eventSchema = z.object({
  type: z.enum(eventTypes),
  taskId: z.string().nullable(),
  data: z.record(z.string(), z.unknown()),
  at: z.string(),
});

/** Atomic, so that two who keep a goal's events leave no gap, whatever their order. An id below the top is there already. */
const appendScript = `
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local top = 0
if #last > 0 then top = tonumber(string.match(last[1][1], '^%d+')) end
if tonumber(ARGV[#ARGV - 1]) <= top then return 0 end
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

declare module "ioredis" {
  interface RedisCommander<Context> {
    keepRecentEvents(key: string, ...args: (string | number)[]): Result<number, Context>;
  }
}

type StreamEntry = [id: string, fields: string[]];

/** @param failed told of what Redis did not take */
export function createRecentEvents(
  redis: RedisConnection,
  prefix: string,
  options: RecentEventsOptions,
  failed: (thrown: unknown) => void,
): RecentEvents {
  // Its text goes to Redis once a connection.
  redis.defineCommand("keepRecentEvents", { numberOfKeys: 1, lua: appendScript });
  const keyOf = (goalId: string) => `${prefix}:recent:${goalId}`;
  let sendingBytes = 0;

  return {
    keep(goalId, events, newest) {
      const recent = events.filter((event) => event.seq > newest - options.length);
      if (recent.length === 0 || sendingBytes >= maxSendingBytes) return;
      const texts = recent.map(encode);
      const bytes = texts.reduce((sum, text) => sum + text.length + overheadBytes, 0);
      sendingBytes += bytes;
      redis
        .keepRecentEvents(
          keyOf(goalId),
          options.length,
          options.ttlMs,
          ...recent.flatMap((event, index) => [event.seq, texts[index]!]),
        )
        .catch(failed)
        .finally(() => (sendingBytes -= bytes));
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
