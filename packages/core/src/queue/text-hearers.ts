/**
 * Who hears what models write for which goal, in one process: a goal is asked for while somebody hears it and not longer, and
 * said to be watched again and again, so that workers know it without asking who is there.
 */
import { modelDeltaSchema, type ModelDelta } from "../domain/model-delta.ts";
import type { Wire } from "./wire.ts";

export interface TextHearers {
  /** @returns what ends it; safe to call twice */
  hear(wire: TextWire, goalId: string, listener: (delta: ModelDelta) => void): () => void;
  deliver(goalId: string, text: string): void;
  stop(): void;
}

type TextWire = Pick<Wire, "hear" | "keepWatched">;

const sayEveryMs = 10_000;
/** One that could not be said is said again in time. */
const saidForMs = 25_000;

interface Heard {
  readonly listeners: Set<(delta: ModelDelta) => void>;
  readonly leave: () => void;
}

export function createTextHearers(failed: (thrown: unknown) => void): TextHearers {
  const goals = new Map<string, Heard>();
  let timer: NodeJS.Timeout | undefined;

  const say = (wire: TextWire, goalIds: readonly string[]) => void wire.keepWatched(goalIds, saidForMs).catch(failed);

  return {
    hear(wire, goalId, listener) {
      let heard = goals.get(goalId);
      if (heard === undefined) {
        heard = { listeners: new Set(), leave: wire.hear(goalId) };
        goals.set(goalId, heard);
        say(wire, [goalId]);
        timer ??= setInterval(() => say(wire, [...goals.keys()]), sayEveryMs).unref();
      }
      const { listeners, leave } = heard;
      listeners.add(listener);
      return () => {
        if (!listeners.delete(listener) || listeners.size > 0) return;
        goals.delete(goalId);
        leave();
        if (goals.size > 0) return;
        clearInterval(timer);
        timer = undefined;
      };
    },
    deliver(goalId, text) {
      const listeners = goals.get(goalId)?.listeners;
      if (listeners === undefined) return;
      const delta = readDelta(text);
      if (delta !== undefined) for (const listener of listeners) listener(delta);
    },
    stop() {
      clearInterval(timer);
      for (const { leave } of goals.values()) leave();
      goals.clear();
    },
  };
}

/** What newer code sends may have more to it; what this does not understand is passed over. */
function readDelta(text: string): ModelDelta | undefined {
  try {
    return modelDeltaSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
