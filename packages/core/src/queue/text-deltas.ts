/**
 * What models are writing, from workers on its way to watchers: gathered, sent to those who watch the goal, and forgotten.
 *
 * 1. A call never waits for it and never fails by it: one message of a call is under way at a time, and what cannot be sent is
 *    dropped. Every piece says where it belongs, so watchers see gaps and new beginnings.
 * 2. Memory is bounded: a call keeps `maxKeptChars`, a process what it knows of `maxGoals` goals.
 * 3. A goal that nobody watches costs a look every two seconds while a model writes for it, and no message.
 */
import type { TextDelta } from "../domain/model.ts";
import type { CallText, ModelDelta, WritingCall } from "../domain/model-delta.ts";

export interface TextDeltas {
  of(goalId: string, call: WritingCall): CallText;
}

export interface TextDeltasOptions {
  /** Pieces of a call are gathered for this long. */
  readonly gatherMs: number;
  /** Of one piece's text. */
  readonly maxPieceChars: number;
  /** Whether anybody watches the goal; one who fails to say it counts as nobody. */
  isWatched(goalId: string): Promise<boolean>;
  send(goalId: string, pieces: readonly ModelDelta[]): Promise<void>;
  /** Makes a text fit to be seen, as long as it was. `rest`: how much of its end may be the beginning of something unfit. */
  mask(text: string): { readonly text: string; readonly rest: number };
  readonly failed: (thrown: unknown) => void;
}

/** What a call that is not read holds at most: a screen or two. */
export const maxKeptChars = 16 * 1024;
/** What was learned of a goal's watchers is good for this long. */
const knownMs = 2000;
const maxGoals = 1000;

export function createTextDeltas(options: TextDeltasOptions): TextDeltas {
  /** In the order in which they were asked about. */
  const watched = new Map<string, { readonly answer: Promise<boolean>; readonly until: number }>();

  function isWatched(goalId: string): Promise<boolean> {
    const now = performance.now();
    const known = watched.get(goalId);
    if (known !== undefined && known.until > now) return known.answer;
    const answer = options.isWatched(goalId).catch((thrown: unknown) => {
      options.failed(thrown);
      return false;
    });
    watched.delete(goalId);
    watched.set(goalId, { answer, until: now + knownMs });
    const [oldest] = watched.keys();
    if (watched.size > maxGoals && oldest !== undefined) watched.delete(oldest);
    return answer;
  }

  return {
    of(goalId, call) {
      let kept: TextDelta | undefined;
      let timer: NodeJS.Timeout | undefined;
      let sending = false;
      let isOver = false;

      async function sendKept(): Promise<void> {
        if (!(await isWatched(goalId))) {
          kept = undefined;
          return;
        }
        if (kept === undefined) return;
        const { try: number, offset } = kept;
        const masked = options.mask(kept.text);
        const until = isOver ? kept.text.length : kept.text.length - masked.rest;
        const text = masked.text.slice(0, until);
        kept =
          until === kept.text.length
            ? undefined
            : { try: number, offset: offset + until, text: kept.text.slice(until) };
        const pieces: ModelDelta[] = [];
        for (let at = 0; at < text.length; at += options.maxPieceChars) {
          const piece = text.slice(at, at + options.maxPieceChars);
          pieces.push({ transient: true, ...call, try: number, offset: offset + at, text: piece });
        }
        if (pieces.length > 0) await options.send(goalId, pieces);
      }

      function flush(): void {
        clearTimeout(timer);
        timer = undefined;
        if (sending || kept === undefined) return;
        sending = true;
        void sendKept()
          .catch(options.failed)
          .finally(() => {
            sending = false;
            // What came meanwhile: at once where nothing follows it.
            if (isOver) flush();
            else if (kept !== undefined) timer ??= setTimeout(flush, options.gatherMs);
          });
      }

      return {
        onText(delta) {
          if (isOver || delta.text === "") return;
          // Known when the first piece is due.
          void isWatched(goalId);
          kept = join(kept, delta);
          if (!sending) timer ??= setTimeout(flush, options.gatherMs);
        },
        end() {
          isOver = true;
          flush();
        },
      };
    },
  };
}

/** One piece of both where they follow one another and fit; else only what is new. */
function join(kept: TextDelta | undefined, delta: TextDelta): TextDelta {
  const follows = kept !== undefined && kept.try === delta.try && kept.offset + kept.text.length === delta.offset;
  if (follows && kept.text.length + delta.text.length <= maxKeptChars) return { ...kept, text: kept.text + delta.text };
  const over = Math.max(delta.text.length - maxKeptChars, 0);
  return { try: delta.try, offset: delta.offset + over, text: delta.text.slice(over) };
}

/** For who has nobody to tell. */
export const noTextDeltas: TextDeltas = { of: () => ({ onText: () => undefined, end: () => undefined }) };
