/**
 * What models are writing for one goal, as one watcher's stream takes it.
 *
 * 1. A reader that is slow loses texts, not events: what waits for it is bounded, and makes room for what is newer.
 * 2. After the event of a step nothing of that step is shown; it may have come over another way, later.
 */
import { modelDeltaEvent, type EventBus, type GoalId, type ModelDelta } from "@outerloop/core";
import type { ShownEvent } from "./event-pages.ts";

export interface TextFeed {
  /** What came since, as it is sent; empty where nothing did. */
  take(): string;
  /** This event has its place in the stream now. */
  see(event: ShownEvent): void;
  leave(): void;
}

/** Of one reader, in UTF-16 code units. */
export const maxWaitingChars = 64 * 1024;
/** Attempts of which it is known how far they are: more than go on at the same time in one goal. */
const maxEnded = 1000;

/** Those who watch one goal share what is sent to them. */
const frames = new WeakMap<ModelDelta, string>();

export function openTextFeed(bus: Pick<EventBus, "hearTexts">, goalId: GoalId, nudge: () => void): TextFeed {
  let waiting: { readonly delta: ModelDelta; readonly frame: string }[] = [];
  let chars = 0;
  /** The last step that is known to have ended, by task and attempt. */
  const ended = new Map<string, number>();

  const isLate = (delta: ModelDelta) => delta.seq <= (ended.get(attemptOf(delta.task, delta.attempt)) ?? -1);
  const leave = bus.hearTexts(goalId, (delta) => {
    if (isLate(delta)) return;
    const frame = frameOf(delta);
    if (chars + frame.length > maxWaitingChars) {
      waiting = [];
      chars = 0;
    }
    if (frame.length > maxWaitingChars) return;
    waiting.push({ delta, frame });
    chars += frame.length;
    if (waiting.length === 1) nudge();
  });

  return {
    take() {
      const text = waiting
        .filter(({ delta }) => !isLate(delta))
        .map(({ frame }) => frame)
        .join("");
      waiting = [];
      chars = 0;
      return text;
    },
    see({ step }) {
      if (step === null) return;
      const key = attemptOf(step.task, step.attempt);
      ended.delete(key);
      ended.set(key, step.seq);
      const [oldest] = ended.keys();
      if (ended.size > maxEnded && oldest !== undefined) ended.delete(oldest);
    },
    leave,
  };
}

function attemptOf(task: string | null, attempt: number): string {
  return `${task ?? ""}/${attempt}`;
}

function frameOf(delta: ModelDelta): string {
  const known = frames.get(delta);
  if (known !== undefined) return known;
  const frame = `event: ${modelDeltaEvent}\ndata: ${JSON.stringify(delta)}\n\n`;
  frames.set(delta, frame);
  return frame;
}
