/**
 * Tells watchers that a goal has new events: its id and newest number, no more. Over Redis where there is one, else by
 * NOTIFY after the commit (W9), else inside the one process. A lost message costs a watcher its next look. Where there are
 * watchers and Redis, it also keeps the recent events that were read for them there; a goal that nobody watches costs its
 * messages alone.
 */
import type { PoolClient } from "pg";
import type { Logger } from "../logging.ts";
import { messageOf } from "../domain/errors.ts";
import type { Database } from "../store/database.ts";
import type { GoalEvent } from "../domain/event.ts";
import { createEventMessages, type EventMessage } from "./event-messages.ts";
import { within } from "../probes/within.ts";
import { askSubscriber, type RedisConnection } from "./redis.ts";
import { createRecentEvents, type RecentEvents, type RecentEventsOptions } from "./recent-events.ts";

export interface EventBus {
  publish(goalId: string, newest: number): void;
  subscribe(listener: (goalId: string, newest: number) => void): () => void;
  /** As `RecentEvents.read`; null also where nothing keeps them. */
  recent(goalId: string, after: number, limit: number): Promise<readonly GoalEvent[] | null>;
  /** As `RecentEvents.keep`; nothing where nothing keeps them. */
  keep(goalId: string, events: readonly GoalEvent[], newest: number): void;
  close(): Promise<void>;
}

const reconnectMs = 1000;
const subscribeMs = 5000;
/** A listener asks this often whether anybody is at the other end. */
const askEveryMs = 10_000;
/** Between messages about one goal. A NOTIFY is a commit like another, and all of them stand in one line. */
const quietMs = { redis: 2, notify: 10, process: 2 } as const;
const channel = "outerloop_events";

type ConnectRedis = (purpose: "send" | "listen") => RedisConnection | null;

export interface EventBusOptions {
  readonly prefix: string;
  /** Whether this process has watchers. */
  readonly listens: boolean;
  /** What Redis keeps of a goal. */
  readonly recent: RecentEventsOptions;
}

export async function openEventBus(
  database: Database,
  connectRedis: ConnectRedis,
  options: EventBusOptions,
  log: Logger,
): Promise<EventBus> {
  const { prefix, listens } = options;
  const listeners = new Set<(goalId: string, newest: number) => void>();
  const deliver = (message: EventMessage) => {
    for (const [goalId, newest] of Object.entries(message)) for (const listener of listeners) listener(goalId, newest);
  };
  const redis = connectRedis("send");
  const wire = await openWire(database, redis, connectRedis, prefix, listens, deliver, log);
  const failed = (thrown: unknown) => log.debug({ event: "event_publish_failed", error: messageOf(thrown) });
  const recent: RecentEvents | null =
    redis === null || !listens ? null : createRecentEvents(redis, prefix, options.recent, failed);
  const messages = createEventMessages({
    send: (message) => wire.send(message).catch(failed),
    quietMs: quietMs[wire.kind],
  });

  return {
    publish: (goalId, newest) => messages.add(goalId, newest),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    recent: async (goalId, after, limit) => (recent === null ? null : recent.read(goalId, after, limit)),
    keep: (goalId, events, newest) => recent?.keep(goalId, events, newest),
    async close() {
      await messages.close();
      await wire.close();
    },
  };
}

interface Wire {
  readonly kind: keyof typeof quietMs;
  send(message: EventMessage): Promise<void>;
  close(): Promise<void>;
}

async function openWire(
  database: Database,
  publisher: RedisConnection | null,
  connectRedis: ConnectRedis,
  prefix: string,
  listens: boolean,
  deliver: (message: EventMessage) => void,
  log: Logger,
): Promise<Wire> {
  if (publisher !== null) {
    const topic = `${prefix}:events`;
    let asking: NodeJS.Timeout | undefined;
    if (listens) {
      const subscriber = connectRedis("listen");
      subscriber?.on("message", (_topic, text) => deliver(readMessage(text)));
      // Where Redis is away now, the connection subscribes when it is back; watchers are told late until then.
      if (subscriber !== null)
        await within(subscribeMs, subscriber.subscribe(topic)).catch((thrown: unknown) =>
          log.warn({ event: "subscribe_failed", error: messageOf(thrown) }),
        );
      if (subscriber !== null) asking = setInterval(() => void askSubscriber(subscriber, topic), askEveryMs);
      asking?.unref();
    }
    return {
      kind: "redis",
      send: async (message) => void (await publisher.publish(topic, JSON.stringify(message))),
      close: async () => clearInterval(asking),
    };
  }
  if (database.kind === "embedded")
    return { kind: "process", send: async (message) => deliver(message), close: async () => undefined };

  const closing = new AbortController();
  let client: PoolClient | undefined;
  const listen = async (): Promise<void> => {
    try {
      const fresh = await database.sessions.connect();
      client = fresh;
      fresh.on("notification", (notification) => deliver(readMessage(notification.payload ?? "{}")));
      fresh.once("error", (thrown) => lose(fresh, thrown));
      await fresh.query(`LISTEN ${channel}`);
    } catch (thrown) {
      log.warn({ event: "listen_failed", error: messageOf(thrown) });
      if (client === undefined) listenAgain();
      else lose(client, thrown);
    }
  };
  const listenAgain = () => {
    if (!closing.signal.aborted) setTimeout(() => void listen(), reconnectMs).unref();
  };
  const lose = (lost: PoolClient, thrown: unknown) => {
    if (client !== lost) return;
    client = undefined;
    lost.release(thrown instanceof Error ? thrown : true);
    listenAgain();
  };
  const asking = setInterval(() => {
    const asked = client;
    asked?.query("SELECT 1").catch((thrown: unknown) => lose(asked, thrown));
  }, askEveryMs);
  asking.unref();
  if (listens) await listen();
  return {
    kind: "notify",
    send: async (message) =>
      void (await database.pool.query("SELECT pg_notify($1, $2)", [channel, JSON.stringify(message)])),
    close: async () => {
      closing.abort();
      clearInterval(asking);
      client?.release(true);
      client = undefined;
    },
  };
}

function readMessage(text: string): EventMessage {
  try {
    return JSON.parse(text) as EventMessage;
  } catch {
    return {};
  }
}
