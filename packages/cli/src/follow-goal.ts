/** Watches a goal to its end and shows it on the way; Ctrl-C is the caller's to give a meaning. */
import type { Client } from "@outerloop/client";
import type { Progress } from "./live/progress.ts";
import { formatDuration } from "./text/quantities.ts";
import { emptyGoalView, seeEvent, type GoalView } from "./view/goal-view.ts";

export interface Followed {
  readonly view: GoalView;
  /** The signal ended it before the goal did. */
  readonly isInterrupted: boolean;
}

export async function followGoal(
  client: Client,
  id: string,
  progress: Progress,
  signal: AbortSignal,
): Promise<Followed> {
  let view = emptyGoalView;
  const onReconnect = (why: string, delayMs: number) => {
    // The first tries are over before anybody has read about them.
    if (delayMs >= 1000) progress.note(`${why}; trying again in ${formatDuration(delayMs)}`);
  };
  try {
    const deltas = progress.hear !== undefined;
    for await (const event of client.goals.watch(id, { signal, onReconnect, deltas })) {
      if ("transient" in event) {
        progress.hear?.(event);
        continue;
      }
      view = seeEvent(view, event);
      progress.see(view, event);
    }
    return { view, isInterrupted: false };
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
    return { view, isInterrupted: true };
  } finally {
    progress.stop(view);
  }
}
