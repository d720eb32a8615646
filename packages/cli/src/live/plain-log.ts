/** For pipes and files: a line when something happens. */
import { printableJson, printableLine } from "../text/printable.ts";
import { eventLines } from "../view/event-lines.ts";
import type { Output, Progress } from "./progress.ts";

export function createPlainLog(out: Output): Progress {
  return {
    see: (view, event) => {
      for (const line of eventLines(view, event)) out.write(`${line}\n`);
    },
    note: (text) => void out.write(`${printableLine(text)}\n`),
    stop: () => undefined,
  };
}

/** An event a line, as the server sent it. */
export function createJsonLog(out: Output): Progress {
  return {
    see: (_view, event) => void out.write(`${printableJson(event)}\n`),
    note: () => undefined,
    stop: () => undefined,
  };
}
