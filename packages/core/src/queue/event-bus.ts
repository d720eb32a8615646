/**
 * Tells watchers that a goal has new events: its id and newest number, no more (W9). A lost message costs a watcher its next
 * look. Where there are watchers and Redis, it also keeps the recent events that were read for them there; a goal that nobody
 * watches costs its messages alone. Beside events it carries what models are writing, to those who ask for it.
 */
import type { Logger } from "../logging.ts";
import type { GoalEvent } from "../domain/event.ts";
import { messageOf } from "../domain/errors.ts";
import type { ModelDelta } from "../domain/model-delta.ts";
import type { Redactor } from "../redaction.ts";
import type { Database } from "../store/database.ts";
import { createEventMessages } from "./event-messages.ts";
import { createRecentEvents, type RecentEvents, type RecentEventsOptions } from "./recent-events.ts";
import { createTextDeltas, type TextDeltas } from "./text-deltas.ts";
import { createTextHearers } from "./text-hearers.ts";
import { openWire, type ConnectRedis, type WireOptions } from "./wire.ts";

export interface EventBus {
  publish(goalId: string, newest: number): void;
  subscribe(listener: (goalId: string, newest: number) => void): () => void;
  /** As `RecentEvents.read`; null also where nothing keeps them. */
  recent(goalId: string, after: number, limit: number): Promise<readonly GoalEvent[] | null>;
  /** As `RecentEvents.keep`; nothing where nothing keeps them. */
  keep(goalId: string, events: readonly GoalEvent[], newest: number): void;
  /** What models write for goals that are watched. */
  readonly texts: TextDeltas;
  /** Hears what models write for a goal, each piece the same object for all who hear it. @returns what ends it */
  hearTexts(goalId: string, listener: (delta: ModelDelta) => void): () => void;
  close(): Promise<void>;
}

/** Between messages about one goal. A NOTIFY is a commit like another, and all of them stand in one line. */
const quietMs = { redis: 2, notify: 10, process: 2 } as const;
/** Between messages of one call's text. */
const textGatherMs = { redis: 100, notify: 250, process: 100 } as const;
/** NOTIFY takes under 8,000 bytes: a character has six of JSON at most, and what says whose it is some 400. */
const maxPieceChars = { redis: 8192, notify: 1200, process: 8192 } as const;

export interface EventBusOptions extends WireOptions {
  /** What Redis keeps of a goal. */
  readonly recent: RecentEventsOptions;
  readonly redactor: Pick<Redactor, "mask">;
}

export async function openEventBus(
  database: Database,
  connectRedis: ConnectRedis,
  options: EventBusOptions,
  log: Logger,
): Promise<EventBus> {
  const { prefix, listens } = options;
  const listeners = new Set<(goalId: string, newest: number) => void>();
  const failed = (thrown: unknown) => log.debug({ event: "event_publish_failed", error: messageOf(thrown) });
  const hearers = createTextHearers(failed);
  const wire = await openWire(
    database,
    connectRedis,
    options,
    {
      events(message) {
        for (const [goalId, newest] of Object.entries(message))
          for (const listener of listeners) listener(goalId, newest);
      },
      text: hearers.deliver,
    },
    log,
  );
  const redis = listens ? connectRedis("send") : null;
  const recent: RecentEvents | null = redis === null ? null : createRecentEvents(redis, prefix, options.recent, failed);
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
    texts: createTextDeltas({
      gatherMs: textGatherMs[wire.kind],
      maxPieceChars: maxPieceChars[wire.kind],
      isWatched: wire.isWatched,
      send: (goalId, pieces) =>
        wire.sendTexts(
          goalId,
          pieces.map((piece) => JSON.stringify(piece)),
        ),
      mask: (text) => options.redactor.mask(text),
      failed,
    }),
    hearTexts: (goalId, listener) => hearers.hear(wire, goalId, listener),
    async close() {
      hearers.stop();
      await messages.close();
      await wire.close();
    },
  };
}
