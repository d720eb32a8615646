/** One SSE connection, as the events that it carries. It knows nothing of reconnecting; `watch.ts` does. */
import { createParser, type EventSourceMessage } from "eventsource-parser";
import {
  eventResourceSchema,
  modelDeltaEvent,
  modelDeltaSchema,
  type EventResource,
  type ModelDelta,
} from "@outerloop/core/domain";
import { ConnectionError, describeFailure } from "./errors.ts";
import type { Http } from "./http.ts";

/** An event of a type that this client does not know: only its number counts. */
export interface UnknownEvent {
  readonly seq: number;
  readonly type: null;
}

export interface StreamOptions {
  readonly path: string;
  /** The last event that was seen; 0 for all from the start. */
  readonly after: number;
  /** Whether what models write is asked for too. */
  readonly deltas: boolean;
  readonly signal?: AbortSignal | undefined;
  /** A connection that is silent for longer is dead; longer than the server's heartbeat. */
  readonly idleMs: number;
  /** Called where the server says that nothing will ever come after this event. */
  readonly onOver: () => void;
}

/** One event may carry a goal's answer, never more than a few of these. */
const maxBufferedChars = 16_000_000;

/** Ends where the server closes; throws where the connection breaks or falls silent. */
export async function* readEventStream(
  http: Http,
  options: StreamOptions,
): AsyncGenerator<EventResource | UnknownEvent | ModelDelta> {
  const stopped = new AbortController();
  const signal = options.signal === undefined ? stopped.signal : AbortSignal.any([options.signal, stopped.signal]);
  const silent = new ConnectionError(http.baseUrl, `sent nothing for ${options.idleMs / 1000} s`);
  const idle = setTimeout(() => stopped.abort(silent), options.idleMs);
  try {
    const response = await http.open({
      path: options.path,
      ...(options.deltas && { query: { deltas: "true" } }),
      headers: {
        accept: "text/event-stream",
        ...(options.after > 0 ? { "last-event-id": String(options.after) } : {}),
      },
      signal,
    });
    if (response.status === 204) {
      options.onOver();
      return;
    }
    const messages: EventSourceMessage[] = [];
    const parser = createParser({ onEvent: (message) => messages.push(message), maxBufferSize: maxBufferedChars });
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      idle.refresh();
      parser.feed(decoder.decode(chunk, { stream: true }));
      for (const message of messages.splice(0)) {
        const event = readMessage(http, message);
        if (event !== null) yield event;
      }
    }
  } catch (thrown) {
    options.signal?.throwIfAborted();
    if (stopped.signal.aborted) throw silent;
    if (thrown instanceof Error && (thrown.name === "ApiError" || thrown.name === "ConnectionError")) throw thrown;
    throw new ConnectionError(http.baseUrl, describeFailure(thrown), { cause: thrown });
  } finally {
    clearTimeout(idle);
    // A reader that stops in the middle leaves no open connection.
    stopped.abort();
  }
}

function readMessage(http: Http, message: EventSourceMessage): EventResource | UnknownEvent | ModelDelta | null {
  if (message.event === modelDeltaEvent) return modelDeltaSchema.safeParse(parseJson(message.data)).data ?? null;
  const read = eventResourceSchema.safeParse(parseJson(message.data));
  if (read.success) return read.data;
  const seq = Number(message.id);
  // A newer server may speak of more than this client knows; a message without a number is none of the goal's events.
  if (Number.isSafeInteger(seq) && seq > 0) return { seq, type: null };
  if (message.id === undefined) return null;
  throw new ConnectionError(http.baseUrl, `sent an event that cannot be read: ${message.data.slice(0, 100)}`, {
    retry: "never",
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
