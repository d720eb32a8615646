/**
 * Tells watchers that a goal has new events: its id and newest number, no more. Over Redis where there is one, else by
 * NOTIFY after the commit and coalesced (W9), else inside the one process. A lost message costs a watcher its next look.
 */
import type { Redis } from "ioredis";
import type { PoolClient } from "pg";
import type { Logger } from "../logging.ts";
import { messageOf } from "../domain/errors.ts";
import type { Database } from "../store/database.ts";

export interface EventBus {
  publish(goalId: string, newest: number): void;
  subscribe(listener: (goalId: string, newest: number) => void): () => void;
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

type Message = Readonly<Record<string, number>>;

type ConnectRedis = (purpose: "send" | "listen") => Redis | null;

export async function openEventBus(
  database: Database,
  connectRedis: ConnectRedis,
  prefix: string,
  listens: boolean,
  log: Logger,
): Promise<EventBus> {
  const listeners = new Set<(goalId: string, newest: number) => void>();
  const deliver = (message: Message) => {
    for (const [goalId, newest] of Object.entries(message)) for (const listener of listeners) listener(goalId, newest);
  };
  const wire = await openWire(database, connectRedis, prefix, listens, deliver, log);
  let pending = new Map<string, number>();
  let timer: NodeJS.Timeout | undefined;

  const flush = () => {
    timer = undefined;
    const entries = [...pending];
    pending = new Map();
    for (let at = 0; at < entries.length; at += maxGoalsPerMessage) {
      const message = Object.fromEntries(entries.slice(at, at + maxGoalsPerMessage));
      void wire
        .send(message)
        .catch((thrown: unknown) => log.debug({ event: "event_publish_failed", error: messageOf(thrown) }));
    }
  };

  return {
    publish(goalId, newest) {
      pending.set(goalId, Math.max(newest, pending.get(goalId) ?? 0));
      timer ??= setTimeout(flush, coalesceMs);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async close() {
      clearTimeout(timer);
      if (pending.size > 0) flush();
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
