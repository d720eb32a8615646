/**
 * A goal's events as Server-Sent Events (W9): from Postgres, page by page, in the goal's own sequence.
 *
 * 1. No gap and no repeat: each page starts above the last event sent, and numbers are given under the goal's lock.
 * 2. The reader pulls: nothing is read from Postgres before the page before it was taken, so a slow one costs one page.
 * 3. It ends after the event that ends the goal, unless the goal went on after that.
 */
import { endsStream, type GoalEvent } from "@outerloop/core";
import { toEventResource } from "../goals/resources.ts";
import type { Watcher } from "./watchers.ts";

export interface EventSource {
  /** Events above a number, in order; what stands in the way is thrown. */
  read(after: number, limit: number): Promise<readonly GoalEvent[]>;
  /** Called when reading begins, so that a stream that nobody reads holds nothing. */
  watch(): Watcher;
  /** Asked at every heartbeat; false ends the stream. */
  mayGoOn(): Promise<boolean>;
}

export interface StreamTimes {
  readonly heartbeatMs: number;
  /** What the client is told to wait before it comes again, and what we wait for a database that is away. */
  readonly retryMs: number;
}

const pageSize = 100;

export function openEventStream(source: EventSource, after: number, times: StreamTimes): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let watcher: Watcher | undefined;
  let sent = after;
  let lastEnds = false;
  /** Set while Postgres may know more than was sent. */
  let behind = true;

  /** The next piece of the stream; undefined at its end. Each turn ends with something sent or with a wait. */
  async function next(watching: Watcher): Promise<string | undefined> {
    for (;;) {
      if (behind) {
        const events = await source.read(sent, pageSize).catch(() => undefined);
        if (events === undefined) return (await pause(watching)) === "stopping" ? undefined : ": Postgres is away\n\n";
        const last = events.at(-1);
        if (last === undefined && lastEnds) return undefined;
        // A page that ends with the goal is followed by one more look.
        behind = last !== undefined && (events.length === pageSize || endsStream(last.type));
        if (last !== undefined) {
          sent = last.seq;
          lastEnds = endsStream(last.type);
          return events.map(formatEvent).join("");
        }
      }
      const woken = await watching.wait(sent, times.heartbeatMs);
      if (woken === "stopping") return undefined;
      if (woken === "news") behind = true;
      else return (await source.mayGoOn()) ? ": still here\n\n" : undefined;
    }
  }

  /** No news can end this one. */
  const pause = (watching: Watcher) => watching.wait(Number.MAX_SAFE_INTEGER, times.retryMs);

  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (watcher === undefined) {
          watcher = source.watch();
          controller.enqueue(encoder.encode(`retry: ${times.retryMs}\n\n`));
          return;
        }
        const piece = await next(watcher).catch(() => undefined);
        if (piece !== undefined) return controller.enqueue(encoder.encode(piece));
        watcher.leave();
        controller.close();
      },
      cancel() {
        watcher?.leave();
      },
    },
    { highWaterMark: 0 },
  );
}

function formatEvent(event: GoalEvent): string {
  return `id: ${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(toEventResource(event))}\n\n`;
}
