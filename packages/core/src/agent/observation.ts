/**
 * Observations are kept short: a tool's long result becomes a file of the workspace, and the model reads its beginning, its end and
 * where the whole is. It can look into it with the file tools like into any other.
 */

/** About 5,000 tokens, so that ten of them still leave most of a model's context. */
export const maxObservationChars = 20_000;
/** Of what is shown of a longer one; the rest of it is a call away. */
const shownOfLong = { head: 6000, tail: 2000 } as const;

export interface Observation {
  /** What the model reads, and what the journal keeps. */
  readonly text: string;
  /** What goes into a file; null where the text is all of it. */
  readonly whole: string | null;
}

/** Where the whole of a long result is kept. */
export function observationPath(task: { readonly key: string; readonly attempt: number }, seq: number): string {
  return `tool-results/${task.key.replaceAll(/[^\w.-]/g, "_")}-${task.attempt}-${seq}.txt`;
}

export function observe(text: string, path: string, maxChars: number = maxObservationChars): Observation {
  if (text.length <= maxChars) return { text, whole: null };
  const shown = { head: Math.min(shownOfLong.head, maxChars / 2), tail: Math.min(shownOfLong.tail, maxChars / 4) };
  const head = upToLine(text.slice(0, shown.head), "end").toWellFormed();
  const tail = upToLine(text.slice(-shown.tail), "start").toWellFormed();
  const left = text.length - head.length - tail.length;
  const lines = text.split("\n").length;
  return {
    text: `${head}\n… ${left} characters left out here. All ${text.length} characters (${lines} lines) are in the file ${path}: search_files and read_file show parts of it …\n${tail}`,
    whole: text,
  };
}

/** Cut at a line's end where one is near. */
function upToLine(text: string, side: "start" | "end"): string {
  const at = side === "end" ? text.lastIndexOf("\n") : text.indexOf("\n") + 1;
  if (side === "end") return at > text.length / 2 ? text.slice(0, at) : text;
  return at > 0 && at < text.length / 2 ? text.slice(at) : text;
}
