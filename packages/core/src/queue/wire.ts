/**
 * How processes tell one another what watchers shall know: over Redis where there is one, else by NOTIFY, else inside the one
 * process. Two kinds of message: that goals have new events, to all who listen; and what a model writes for one goal, to those
 * who asked for it. Any of them may get lost.
 */
import type { PoolClient } from "pg";
import type { Logger } from "../logging.ts";
import { messageOf } from "../domain/errors.ts";
import type { Database } from "../store/database.ts";
import { isGoalWatched, keepGoalsWatched } from "../store/goal-watches.ts";
import { within } from "../probes/within.ts";
import type { EventMessage } from "./event-messages.ts";
import { askSubscriber, type RedisConnection } from "./redis.ts";

export interface Wire {
  readonly kind: "redis" | "notify" | "process";
  send(message: EventMessage): Promise<void>;
  /** Of one goal, to whoever hears it; each under 7,900 bytes: NOTIFY refuses payloads of 8,000. */
  sendTexts(goalId: string, texts: readonly string[]): Promise<void>;
  /** Begins to hear the texts of a goal that is not heard yet. @returns what ends it */
  hear(goalId: string): () => void;
  /** Says that these goals are watched for the time to come. */
  keepWatched(goalIds: readonly string[], forMs: number): Promise<void>;
  isWatched(goalId: string): Promise<boolean>;
  close(): Promise<void>;
}

export interface Receiver {
  events(message: EventMessage): void;
  text(goalId: string, text: string): void;
}

export type ConnectRedis = (purpose: "send" | "listen") => RedisConnection | null;

export interface WireOptions {
  readonly prefix: string;
  /** Whether this process has watchers. */
  readonly listens: boolean;
}

const reconnectMs = 1000;
const subscribeMs = 5000;
/** A listener asks this often whether anybody is at the other end. */
const askEveryMs = 10_000;
const channel = "outerloop_events";
const textChannel = "outerloop_texts";

export function openWire(
  database: Database,
  connectRedis: ConnectRedis,
  options: WireOptions,
  receiver: Receiver,
  log: Logger,
): Promise<Wire> {
  const sender = connectRedis("send");
  if (sender !== null) return openRedisWire(sender, connectRedis, options, receiver, log);
  return database.kind === "embedded"
    ? Promise.resolve(createProcessWire(receiver))
    : openNotifyWire(database, options.listens, receiver, log);
}

function createProcessWire(receiver: Receiver): Wire {
  const heard = new Set<string>();
  return {
    kind: "process",
    send: async (message) => receiver.events(message),
    async sendTexts(goalId, texts) {
      for (const text of texts) receiver.text(goalId, text);
    },
    hear(goalId) {
      heard.add(goalId);
      return () => void heard.delete(goalId);
    },
    keepWatched: async () => undefined,
    isWatched: async (goalId) => heard.has(goalId),
    close: async () => undefined,
  };
}

/**
 * A channel for events and one a goal for texts. That a goal is watched is a key that runs out, not PUBLISH's count of receivers:
 * in a Cluster that counts those of one node.
 */
async function openRedisWire(
  sender: RedisConnection,
  connectRedis: ConnectRedis,
  { prefix, listens }: WireOptions,
  receiver: Receiver,
  log: Logger,
): Promise<Wire> {
  const topic = `${prefix}:events`;
  const textTopic = `${prefix}:text:`;
  const watchedKey = (goalId: string) => `${prefix}:watched:${goalId}`;
  const subscriber = listens ? connectRedis("listen") : null;
  let asking: NodeJS.Timeout | undefined;
  if (subscriber !== null) {
    subscriber.on("message", (at, text) => {
      if (at === topic) receiver.events(readMessage(text));
      else receiver.text(at.slice(textTopic.length), text);
    });
    // Where Redis is away now, the connection subscribes when it is back; watchers are told late until then.
    await within(subscribeMs, subscriber.subscribe(topic)).catch((thrown: unknown) =>
      log.warn({ event: "subscribe_failed", error: messageOf(thrown) }),
    );
    asking = setInterval(() => void askSubscriber(subscriber, topic), askEveryMs);
    asking.unref();
  }
  const failed = (thrown: unknown) => log.debug({ event: "text_subscribe_failed", error: messageOf(thrown) });
  return {
    kind: "redis",
    send: async (message) => void (await sender.publish(topic, JSON.stringify(message))),
    async sendTexts(goalId, texts) {
      await Promise.all(texts.map((text) => sender.publish(textTopic + goalId, text)));
    },
    hear(goalId) {
      subscriber?.subscribe(textTopic + goalId).catch(failed);
      return () => void subscriber?.unsubscribe(textTopic + goalId).catch(failed);
    },
    async keepWatched(goalIds, forMs) {
      await Promise.all(goalIds.map((goalId) => sender.set(watchedKey(goalId), 1, "PX", forMs)));
    },
    isWatched: async (goalId) => (await sender.exists(watchedKey(goalId))) === 1,
    close: async () => clearInterval(asking),
  };
}

/** Two channels; whoever does not serve a goal passes its texts over unread. That a goal is watched is a row that runs out. */
async function openNotifyWire(database: Database, listens: boolean, receiver: Receiver, log: Logger): Promise<Wire> {
  const closing = new AbortController();
  const heard = new Set<string>();
  let client: PoolClient | undefined;
  const take = (at: string, payload: string) => {
    if (at === channel) return receiver.events(readMessage(payload));
    const goalId = payload.slice(0, payload.indexOf(" "));
    if (heard.has(goalId)) receiver.text(goalId, payload.slice(goalId.length + 1));
  };
  const listen = async (): Promise<void> => {
    try {
      const fresh = await database.sessions.connect();
      client = fresh;
      fresh.on("notification", (notification) => take(notification.channel, notification.payload ?? "{}"));
      fresh.once("error", (thrown) => lose(fresh, thrown));
      await fresh.query(`LISTEN ${channel}`);
      await fresh.query(`LISTEN ${textChannel}`);
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
    async sendTexts(goalId, texts) {
      // One commit for all: those that notify stand in one line.
      await database.pool.query("SELECT pg_notify($1, $2 || ' ' || text) FROM unnest($3::text[]) text", [
        textChannel,
        goalId,
        texts,
      ]);
    },
    hear(goalId) {
      heard.add(goalId);
      return () => void heard.delete(goalId);
    },
    keepWatched: (goalIds, forMs) => keepGoalsWatched(database.db, goalIds, forMs),
    isWatched: (goalId) => isGoalWatched(database.db, goalId),
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
