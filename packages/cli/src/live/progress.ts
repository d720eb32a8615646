/** How a run is shown while it goes on. Three ways to show it: a tree that is redrawn, lines, JSON. */
import type { EventResource, ModelDelta } from "@outerloop/core/domain";
import type { Colourable } from "../text/style.ts";
import type { GoalView } from "../view/goal-view.ts";

export interface Progress {
  see(view: GoalView, event: EventResource): void;
  /** What a model is writing; left out where only events are shown. */
  hear?(delta: ModelDelta): void;
  /** Trouble on the way: a connection that broke. */
  note(text: string): void;
  /** Leaves what is worth keeping on the screen and gives the terminal back. Safe to call twice. */
  stop(view: GoalView): void;
}

/** What runs write to; `process.stdout` is one. */
export type Output = NodeJS.WritableStream & {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
} & Colourable;

/** Where nobody says how wide: a pipe, a file. */
export const defaultWidth = 100;
/** Lines of prose that are longer than this are hard to read. */
const maxProseWidth = 110;

/** @returns columns for running text */
export function proseWidth(out: Output): number {
  return Math.min(out.isTTY === true ? (out.columns ?? defaultWidth) : defaultWidth, maxProseWidth);
}
