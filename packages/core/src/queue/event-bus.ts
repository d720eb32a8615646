/**
 * Tells watchers that a goal has new events: its id and newest number, no more. Over Redis where there is one, else by
 * NOTIFY after the commit and coalesced (W9), else inside the one process. A lost message costs a watcher its next look.
 * On Redis it also keeps the recent events themselves, written before they are told of.
 */
import type { Redis } from "ioredis";
import type { PoolClient } from "pg";
import type { Logger } from "../logging.ts";
import { messageOf } from "../domain/errors.ts";
import type { Database } from "../store/database.ts";
import type { GoalEvent } from "../domain/event.ts";
import { newestEventsOf } from "../store/events.ts";
import { createRecentEvents, type RecentEvents, type RecentEventsOptions } from "./recent-events.ts";

export interface EventBus {
  publish(goalId: string, newest: number): void;
  subscribe(listener: (goalId: string, newest: number) => void): () => void;
  /** As `RecentEvents.read`; null also where nothing keeps them. */
  recent(goalId: string, after: number, limit: number): Promise<readonly GoalEvent[] | null>;
  close(): Promise<void>;
}

/** Commits of this long share one message. */
const coalesceMs = 10;
const reconnectMs = 1000;
/** A listener asks this often whether anybody is at the other end. */
const askEveryMs = 10_000;
/** NOTIFY refuses payloads of 8,000 bytes and more. */
const maxGoalsPerMessage = 150;
const channel = "outerloop_events";
/** Told of while Redis or Postgres is slow; more than these cost their watchers a look. */
const maxPendingGoals = 10_000;

type Message = Readonly<Record<string, number>>;

type ConnectRedis = (purpose: "send" | "listen") => Redis | null;

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
  const deliver = (message: Message) => {
    for (const [goalId, newest] of Object.entries(message)) for (const listener of listeners) listener(goalId, newest);
  };
  const wire = await openWire(database, connectRedis, prefix, listens, deliver, log);
  const store = connectRedis("send");
  const recent: RecentEvents | null =
    store === null
      ? null
      : createRecentEvents(store, prefix, (above, limit) => newestEventsOf(database.db, above, limit), options.recent);
  let pending = new Map<string, number>();
  let timer: NodeJS.Timeout | undefined;

  const failed = (thrown: unknown) => log.debug({ event: "event_publish_failed", error: messageOf(thrown) });

  /** One at a time: what comes meanwhile gathers and goes with the next. */
  let flushing: Promise<void> | undefined;
  const flush = async (): Promise<void> => {
    const entries = [...pending];
    pending = new Map();
    // Kept first, so that who is told finds it there; where it cannot be, Postgres has it.
    await recent?.append(new Map(entries)).catch(failed);
    for (let at = 0; at < entries.length; at += maxGoalsPerMessage)
      await wire.send(Object.fromEntries(entries.slice(at, at + maxGoalsPerMessage))).catch(failed);
  };
  const flushSoon = () => {
    timer ??= setTimeout(() => {
      flushing = flush().finally(() => {
        timer = undefined;
        flushing = undefined;
        if (pending.size > 0) flushSoon();
      });
    }, coalesceMs);
  };

  return {
    publish(goalId, newest) {
      pending.set(goalId, Math.max(newest, pending.get(goalId) ?? 0));
      const [oldest] = pending.keys();
      if (pending.size > maxPendingGoals && oldest !== undefined) pending.delete(oldest);
      flushSoon();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    recent: async (goalId, after, limit) => (recent === null ? null : recent.read(goalId, after, limit)),
    async close() {
      clearTimeout(timer);
      await flushing;
      if (pending.size > 0) await flush();
      await wire.close();
    },
  };
}

interface Wire {
  send(message: Message): Promise<void>;
  close(): Promise<void>;
}

async function openWire(
  database: Database,
  connectRedis: ConnectRedis,
  prefix: string,
  listens: boolean,
  deliver: (message: Message) => void,
  log: Logger,
): Promise<Wire> {
  const publisher = connectRedis("send");
  if (publisher !== null) {
    const topic = `${prefix}:events`;
    let asking: NodeJS.Timeout | undefined;
    if (listens) {
      const subscriber = connectRedis("listen");
      subscriber?.on("message", (_topic, text) => deliver(readMessage(text)));
      await subscriber?.subscribe(topic);
      // Who only listens is told nothing when its connection dies: an answer that fails to come ends it.
      asking = setInterval(() => void subscriber?.ping().catch(() => undefined), askEveryMs);
      asking.unref();
    }
    return {
      send: async (message) => void (await publisher.publish(topic, JSON.stringify(message))),
      close: async () => clearInterval(asking),
    };
  }
  if (database.kind === "embedded") return { send: async (message) => deliver(message), close: async () => undefined };

  const closing = new AbortController();
  let client: PoolClient | undefined;
  const listen = async (): Promise<void> => {
    try {
      const fresh = await database.pool.connect();
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

function readMessage(text: string): Message {
  try {
    return JSON.parse(text) as Message;
  } catch {
    return {};
  }
}
