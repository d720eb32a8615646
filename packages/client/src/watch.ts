/**
 * A goal's events, however often the connection breaks.
 *
 * 1. Every event is yielded once and in order: no gap, no repeat. What was seen is skipped, a gap is asked for again.
 * 2. It ends with the goal: with the stream that closed after the event that ended it. A goal that was given more budget
 *    went on after such an event, and so does this.
 * 3. What models write comes between events where it is asked for, as it comes: it has no number, may have gaps, and is gone with a
 *    connection that breaks. A server that does not know it is asked without it.
 * 4. A 4xx is thrown at once; anything else is tried again, a bounded number of times without progress.
 */
import { endsStream, type EventResource, type ModelDelta } from "@outerloop/core/domain";
import { ApiError, ConnectionError } from "./errors.ts";
import { readEventStream } from "./event-stream.ts";
import type { Http } from "./http.ts";
import { retryDelayMs } from "./waiting.ts";

export interface WatchOptions {
  /** Events after this number; 0, the default, means from the start. */
  readonly after?: number;
  readonly signal?: AbortSignal;
  /** Whether to yield also what models are writing (`ModelDelta`, which alone has `transient`). */
  readonly deltas?: boolean;
  /** Told before each new connection: why, and in how long. */
  readonly onReconnect?: (why: string, delayMs: number) => void;
}

/** With delays up to 5 s this rides out a restart of about a minute. */
const maxFailures = 15;
const defaultIdleMs = 60_000;

export async function* watchGoal(
  http: Http,
  id: string,
  options: WatchOptions,
  idleMs = defaultIdleMs,
): AsyncGenerator<EventResource | ModelDelta> {
  const path = `/v1/goals/${encodeURIComponent(id)}/events`;
  let last = options.after ?? 0;
  let isOver = false;
  let deltas = options.deltas ?? false;
  let failures = 0;
  const onOver = () => (isOver = true);
  // Ends: with the goal, with an error that repeating cannot help, or after too many failures in a row.
  for (;;) {
    const before = last;
    let failure = new ConnectionError(http.baseUrl, "closed the stream before the goal had ended");
    try {
      const stream = { path, after: last, deltas, signal: options.signal, idleMs, onOver };
      for await (const event of readEventStream(http, stream)) {
        if ("transient" in event) {
          yield event;
          continue;
        }
        if (event.seq <= last) continue;
        if (event.seq > last + 1) {
          isOver = false;
          failure = new ConnectionError(http.baseUrl, `left out the events ${last + 1} to ${event.seq - 1}`);
          break;
        }
        last = event.seq;
        isOver = event.type !== null && endsStream(event.type);
        if (event.type !== null) yield event;
      }
      if (isOver) return;
    } catch (thrown) {
      options.signal?.throwIfAborted();
      if (!(thrown instanceof ConnectionError) && !(thrown instanceof ApiError)) throw thrown;
      // One of an earlier release, which refuses parameters that it does not know.
      if (deltas && thrown instanceof ApiError && thrown.status === 400) {
        deltas = false;
        continue;
      }
      if (thrown.retry === "never" && !(thrown instanceof ApiError && thrown.status >= 500)) throw thrown;
      failure =
        thrown instanceof ConnectionError
          ? thrown
          : new ConnectionError(http.baseUrl, `answered ${thrown.status}: ${thrown.detail}`, {
              retry: thrown.retry,
              cause: thrown,
            });
    }
    failures = last > before ? 1 : failures + 1;
    if (failures > maxFailures) throw failure;
    const delayMs = retryDelayMs(failure.retry, failures, http.waiting.random);
    options.onReconnect?.(failure.message, delayMs);
    await http.waiting.wait(delayMs, options.signal);
  }
}
