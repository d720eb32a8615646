/** What of a task's contract each of its subtasks has to meet. */
import type { Evidence } from "../domain/evidence.ts";
import type { Task } from "../domain/task.ts";

export interface Share {
  readonly text: string;
  readonly evidence: readonly Evidence[];
  /** Subtasks that it waits for, by position. */
  readonly after: readonly number[];
}

/**
 * An item goes to the subtasks whose text names it. What none names must hold when all is done: the last one answers for it, and
 * waits for the others. Nothing of the contract is lost by a split.
 */
export function shareEvidence(task: Pick<Task, "evidence">, texts: readonly string[]): Share[] {
  const named = task.evidence.map((item) => texts.flatMap((text, at) => (names(text, item) ? [at] : [])));
  const isLeft = named.some((owners) => owners.length === 0);
  const last = texts.length - 1;
  return texts.map((text, at) => ({
    text,
    evidence: task.evidence.filter(
      (_, item) => named[item]!.includes(at) || (at === last && named[item]!.length === 0),
    ),
    after: isLeft && at === last ? texts.slice(0, -1).map((_, other) => other) : [],
  }));
}

function names(text: string, item: Evidence): boolean {
  if ("tool" in item) return text.includes(item.tool);
  if ("artifact" in item)
    return text.includes(item.artifact) && (item.contains === undefined || includes(text, item.contains));
  return item.note.trim() !== "" && includes(text, item.note);
}

const includes = (text: string, part: string) => text.toLowerCase().includes(part.trim().toLowerCase());
