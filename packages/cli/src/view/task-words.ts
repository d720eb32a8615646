/** Short words about tasks and calls, shared by the tree, the log and the story. All return one printable line. */
import { printableLine } from "../text/printable.ts";
import { truncate } from "../text/width.ts";
import type { AttemptView, TaskView, TaskViewStatus } from "./goal-view.ts";

/** The first line of a task's text. */
export function taskTitle(text: string): string {
  return printableLine(text.trim().split("\n")[0] ?? "");
}

/** `after t1–t4, t6`: neighbours in number are joined. */
export function afterKeys(keys: readonly string[]): string {
  const parts: { first: string; last: string; next: string | null }[] = [];
  for (const key of keys.map(printableLine)) {
    const run = parts.at(-1);
    if (run !== undefined && run.next === key) {
      run.last = key;
      run.next = successor(key);
    } else parts.push({ first: key, last: key, next: successor(key) });
  }
  return parts
    .map(({ first, last }) =>
      first === last ? first : successor(first) === last ? `${first}, ${last}` : `${first}–${last}`,
    )
    .join(", ");
}

function successor(key: string): string | null {
  const [, stem, number] = /^(.*?)(\d{1,9})$/.exec(key) ?? [];
  return number === undefined ? null : `${stem}${Number(number) + 1}`;
}

const maxAboutChars = 40;

/** One call with what it is about, several by name: `read_file bench.csv`, `search_files ×3, read_file`. */
export function callWords(attempt: AttemptView): string {
  const [only] = attempt.calls;
  if (only !== undefined && attempt.calls.length === 1 && attempt.asked.length === 0)
    return (
      `${printableLine(only.tool)} ${truncate(printableLine(only.about), maxAboutChars)}`.trim() +
      (only.ok ? "" : " (error)")
    );
  return countedNames([...attempt.calls.map((call) => call.tool), ...attempt.asked]);
}

/** `search_files ×3, read_file` */
export function countedNames(names: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, count]) => printableLine(name) + (count > 1 ? ` ×${count}` : "")).join(", ");
}

export function statusWord(status: TaskViewStatus): string {
  switch (status) {
    case "waits":
      return "";
    case "running":
      return "runs";
    case "reflecting":
      return "checking";
    case "waiting":
      return "waiting";
    case "retrying":
      return "again";
    case "split":
      return "";
    case "done":
    case "failed":
    case "abandoned":
      return status;
  }
}

/** Why an attempt was not the last: what its verdict said, or the hint that the next one got. */
export function retryWords(task: TaskView, attempt: AttemptView): string {
  const next = task.attempts.find((each) => each.attempt > attempt.attempt);
  return `retry: ${printableLine(attempt.verdict?.reason || next?.hint || "not accepted")}`;
}
