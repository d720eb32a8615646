/** What models are writing for tasks: the line that grows, as far as a screen shows it. Kept nowhere else. */
import type { EventResource, ModelDelta } from "@outerloop/core/domain";
import { printableLine } from "../text/printable.ts";

export interface Writing {
  /** @returns whether there is something new to show */
  hear(delta: ModelDelta): boolean;
  /** A step that has ended is no longer being written. */
  see(event: EventResource): void;
  /** Printable, and all of the line so far. */
  readonly lineOf: (taskKey: string) => string | undefined;
}

/** Some screens of one line. */
const maxLineChars = 4000;
/** Tasks at once; of more, those that began to write first are left out. */
const maxTasks = 100;

interface Line {
  readonly attempt: number;
  readonly seq: number;
  readonly text: string;
}

export function createWriting(): Writing {
  const lines = new Map<string, Line>();
  return {
    hear(delta) {
      // A planner's call has no row, and JSON is nothing to read.
      if (delta.task === null || delta.output !== null) return false;
      const { task, attempt, seq } = delta;
      const before = lines.get(task);
      const goesOn = before?.attempt === attempt && before.seq === seq && delta.offset > 0;
      const text = lastLine((goesOn ? before.text : "") + delta.text);
      // Cut seldom and far: where it is wrapped moves with it.
      lines.set(task, { attempt, seq, text: text.length > maxLineChars ? text.slice(-maxLineChars / 2) : text });
      const [oldest] = lines.keys();
      if (lines.size > maxTasks && oldest !== undefined) lines.delete(oldest);
      return true;
    },
    see(event) {
      const { key } = event.data;
      if (event.type === "step.model" && typeof key === "string") lines.delete(key);
    },
    lineOf(taskKey) {
      const text = printableLine(lines.get(taskKey)?.text ?? "");
      return text === "" ? undefined : text;
    },
  };
}

/** A line end that was just written leaves its line standing until there is more. */
function lastLine(text: string): string {
  return text.slice(text.trimEnd().lastIndexOf("\n") + 1);
}
