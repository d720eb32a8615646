/**
 * A goal's events as Server-Sent Events (W9): page by page, in the goal's own sequence.
 *
 * 1. No gap and no repeat: each piece starts above the last event sent, and numbers are given under the goal's lock.
 * 2. The reader pulls: nothing is asked for before the piece before it was taken, and a piece is small, so a slow reader
 *    costs one piece; pages belong to all readers together.
 * 3. What a model is writing goes ahead of the events that follow it, without a number, and nothing of a step after its event
 *    (`text-feed.ts`). It costs no event its place.
 * 4. It ends after the event that ends the goal, unless the goal went on after that.
 */
import { endsStream } from "@outerloop/core";
import type { Page, ShownEvent } from "./event-pages.ts";
import type { TextFeed } from "./text-feed.ts";
import type { Watcher } from "./watchers.ts";

export interface EventSource {
  /** Events above a number, in order; what stands in the way is thrown. */
  read(after: number): Promise<Page>;
  /** Called when reading begins, so that a stream that nobody reads holds nothing. */
  watch(): Watcher;
  /** What models write for the goal, where the reader asked for it; `nudge` when there is some. Called as `watch` is. */
  hearTexts?(nudge: () => void): TextFeed;
  /** Asked at every heartbeat; false ends the stream. */
  mayGoOn(): Promise<boolean>;
}

export interface StreamTimes {
  readonly heartbeatMs: number;
  /** What the client is told to wait before it comes again, and what we wait for a database that is away. */
  readonly retryMs: number;
}

/** Of one piece, unless a single event is longer: what a reader that went quiet holds of ours. */
const maxPieceChars = 64 * 1024;

export function openEventStream(source: EventSource, after: number, times: StreamTimes): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let watcher: Watcher | undefined;
  let texts: TextFeed | undefined;
  let allowedAt = performance.now();
  let sent = after;
  let lastEnds = false;
  /** Set while there may be more than was sent. */
  let behind = true;

  /** The next piece of the stream; undefined at its end. Each turn ends with something sent or with a wait. */
  async function next(watching: Watcher): Promise<string | undefined> {
    for (;;) {
      if (behind) {
        const page = await source.read(sent).catch(() => undefined);
        if (page === undefined) return (await pause(watching)) === "stopping" ? undefined : ": Postgres is away\n\n";
        const piece = cutPiece(page.events);
        const last = piece.at(-1);
        if (last === undefined && lastEnds) return undefined;
        // A piece that ends with the goal is followed by one more look.
        behind = page.more || piece.length < page.events.length || (last !== undefined && endsStream(last.type));
        if (last !== undefined) {
          sent = last.seq;
          lastEnds = endsStream(last.type);
          const written = texts?.take() ?? "";
          for (const event of piece) texts?.see(event);
          return written + piece.map((event) => event.text).join("");
        }
        if (behind) continue;
      }
      const written = texts?.take() ?? "";
      // A model that goes on writing must not keep in whoever may no longer look.
      if (written !== "")
        return performance.now() - allowedAt < times.heartbeatMs || (await mayGoOn()) ? written : undefined;
      const woken = await watching.wait(sent, times.heartbeatMs);
      if (woken === "stopping") return undefined;
      if (woken === "news") behind = true;
      if (woken === "nothing") return (await mayGoOn()) ? ": still here\n\n" : undefined;
    }
  }

  async function mayGoOn(): Promise<boolean> {
    allowedAt = performance.now();
    return source.mayGoOn();
  }

  /** No news can end this one. */
  const pause = (watching: Watcher) => watching.wait(Number.MAX_SAFE_INTEGER, times.retryMs);

  function leave(): void {
    watcher?.leave();
    texts?.leave();
  }

  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (watcher === undefined) {
          const watching = source.watch();
          watcher = watching;
          texts = source.hearTexts?.(() => watching.nudge());
          controller.enqueue(encoder.encode(`retry: ${times.retryMs}\n\n`));
          return;
        }
        const piece = await next(watcher).catch(() => undefined);
        if (piece !== undefined) return controller.enqueue(encoder.encode(piece));
        leave();
        controller.close();
      },
      cancel() {
        leave();
      },
    },
    { highWaterMark: 0 },
  );
}

function cutPiece(events: readonly ShownEvent[]): readonly ShownEvent[] {
  let chars = 0;
  const end = events.findIndex((event, index) => (chars += event.text.length) > maxPieceChars && index > 0);
  return end < 0 ? events : events.slice(0, end);
}
