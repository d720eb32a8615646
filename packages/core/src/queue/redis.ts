/**
 * Connections to Redis or Valkey: one server, the master that sentinels name, or a Cluster. Nothing above this file knows which:
 * every command has one key, or keys of one queue, which share a slot.
 */
import { Cluster, Redis, type RedisOptions } from "ioredis";
import { within } from "../probes/within.ts";
import type { RedisSettings } from "../redis-settings.ts";

export type RedisConnection = Redis | Cluster;

/** Recovery after a 20 s outage took 0.7 s with this cap and 17.7 s without. */
const maxReconnectDelayMs = 1000;
const connectMs = 5000;
/** How often a Cluster's map is read again, so that a failover is known also where no command was redirected. */
const refreshSlotsMs = 30_000;
const subscribedMs = 5000;
/** A sentinel that says nothing for longer is passed over for the next. */
const sentinelMs = 2000;

export interface RedisConnectionOptions {
  /** Fails at once while Redis is away; else it waits for it. */
  readonly failsFast: boolean;
  /** A connection that stays silent for longer while an answer is due counts as dead. */
  readonly answerMs: number;
  /** A command that takes longer has failed; null where one may block. */
  readonly commandMs: number | null;
}

/** One that fails fast is not connected yet: `connect()` does that. The other connects by itself, for as long as it takes. */
export function createRedisConnection(settings: RedisSettings, options: RedisConnectionOptions): RedisConnection {
  const retryStrategy = (times: number) => Math.min(times * 100, maxReconnectDelayMs);
  const common = {
    connectTimeout: connectMs,
    socketTimeout: options.answerMs,
    maxRetriesPerRequest: options.failsFast ? 1 : null,
    ...(options.commandMs !== null && { commandTimeout: options.commandMs }),
    ...(settings.username !== null && { username: settings.username }),
    ...(settings.password !== null && { password: settings.password }),
    ...(settings.tls && { tls: {} }),
  } satisfies RedisOptions;
  const connection = create();
  // Connection errors repeat at every try; health is told by `ping` and by metrics.
  connection.on("error", () => undefined);
  return connection;

  function create(): RedisConnection {
    switch (settings.mode) {
      case "single":
        return new Redis({
          ...common,
          ...settings.nodes[0],
          db: settings.db,
          retryStrategy,
          enableOfflineQueue: !options.failsFast,
          lazyConnect: options.failsFast,
        });
      case "sentinel":
        return new Redis({
          ...common,
          sentinels: settings.nodes.map((node) => ({ ...node })),
          name: settings.sentinel.name,
          db: settings.db,
          ...(settings.sentinel.password !== null && { sentinelPassword: settings.sentinel.password }),
          ...(settings.tls && { enableTLSForSentinelMode: true, sentinelTLS: {} }),
          sentinelRetryStrategy: retryStrategy,
          sentinelCommandTimeout: sentinelMs,
          retryStrategy,
          // A master that became a replica still answers, and refuses to write: ask the sentinels who is master now.
          reconnectOnError: (thrown: Error) => (thrown.message.startsWith("READONLY") ? 2 : false),
          enableOfflineQueue: !options.failsFast,
          lazyConnect: options.failsFast,
        });
      case "cluster":
        return new Cluster(
          settings.nodes.map((node) => ({ ...node })),
          {
            redisOptions: common,
            clusterRetryStrategy: retryStrategy,
            slotsRefreshInterval: refreshSlotsMs,
            enableOfflineQueue: !options.failsFast,
            lazyConnect: options.failsFast,
            // A certificate is for the name, which a lookup would take away.
            ...(settings.tls && {
              dnsLookup: (address: string, found: (failure: null, address: string) => void) => found(null, address),
            }),
          },
        );
    }
  }
}

/**
 * Asks whether who subscribed to this still hears. Who only listens is told nothing when its connection dies: an answer that fails
 * to come ends it, and it is made again with its subscription.
 */
export async function askSubscriber(connection: RedisConnection, topic: string): Promise<void> {
  // Of a Cluster only this goes to the connection that listens, and nothing ends that one by itself.
  if (connection instanceof Cluster)
    await within(subscribedMs, connection.subscribe(topic)).catch(() => connection.disconnect(true));
  else await connection.ping().catch(() => undefined);
}

/** Every master: one, or those of the Cluster. */
export function mastersOf(connection: RedisConnection): readonly Redis[] {
  return connection instanceof Cluster ? connection.nodes("master") : [connection];
}
