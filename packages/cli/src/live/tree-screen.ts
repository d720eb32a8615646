/**
 * The tree that is redrawn in place. log-update writes only the lines that changed, inside a synchronized update, and
 * gives the cursor back however the process ends; this decides what fits and when to draw.
 */
import { createLogUpdate } from "log-update";
import { printableLine } from "../text/printable.ts";
import { formatDuration, plural } from "../text/quantities.ts";
import type { Style } from "../text/style.ts";
import { truncate, widthOf } from "../text/width.ts";
import { emptyGoalView, type GoalView } from "../view/goal-view.ts";
import { createWriting } from "../view/writing.ts";
import { treeLines } from "../view/tree-lines.ts";
import type { Clock } from "./clock.ts";
import { defaultWidth, type Output, type Progress } from "./progress.ts";

/** A burst of events is one redraw; the eye sees no difference below this. */
const frameMs = 50;
/** The footer counts seconds. */
const tickMs = 1000;
const defaultHeight = 24;

export interface ScreenSettings {
  readonly out: Output;
  readonly style: Style;
  readonly clock: Clock;
}

export function createTreeScreen({ out, style, clock }: ScreenSettings): Progress {
  const screen = createLogUpdate(out as NodeJS.WriteStream);
  const startedAt = clock.now();
  let view: GoalView = emptyGoalView;
  const writing = createWriting();
  let note = "";
  let drawn: readonly string[] = [];
  let drawnWidth = 0;
  let cancelFrame: (() => void) | undefined;
  let isStopped = false;

  // The last column stays free: some terminals wrap as soon as it is written.
  const width = () => Math.max((out.columns ?? defaultWidth) - 1, 10);

  const draw = () => {
    cancelFrame?.();
    cancelFrame = undefined;
    const columns = width();
    const lines = [
      ...treeLines(
        view,
        { width: columns, height: Math.max((out.rows ?? defaultHeight) - 3, 1) },
        style,
        writing.lineOf,
      ),
      footer(columns),
    ];
    eraseReflowed(columns);
    screen(lines.join("\n"));
    drawn = lines;
    drawnWidth = columns;
  };

  const footer = (columns: number) => {
    const said =
      note ||
      `${view.status}  ${plural(view.steps, "step")} · ${formatDuration(Math.floor((clock.now() - startedAt) / tickMs) * tickMs).replace(/^0 ms$/, "0 s")}`;
    return style.faint(truncate(said, columns));
  };

  /** A terminal that became narrower has wrapped what stands there: those lines go too. */
  const eraseReflowed = (columns: number) => {
    if (columns >= drawnWidth) return;
    const extra = drawn.reduce((sum, line) => sum + Math.max(0, Math.ceil(widthOf(line) / (columns + 1)) - 1), 0);
    if (extra > 0) out.write(`${"\u001B[2K\u001B[1A".repeat(extra)}\u001B[2K\r`);
  };

  const soon = () => {
    if (!isStopped) cancelFrame ??= clock.after(frameMs, draw);
  };
  // Ends: called off by stop().
  const tick = () => {
    soon();
    cancelTick = clock.after(tickMs, tick);
  };
  let cancelTick = clock.after(tickMs, tick);
  out.on("resize", soon);

  return {
    see(next, event) {
      view = next;
      writing.see(event);
      note = "";
      soon();
    },
    hear(delta) {
      if (writing.hear(delta)) soon();
    },
    note(text) {
      note = printableLine(text);
      soon();
    },
    stop(last) {
      if (isStopped) return;
      isStopped = true;
      cancelFrame?.();
      cancelTick();
      out.removeListener("resize", soon);
      eraseReflowed(width());
      screen.clear();
      screen.done();
      // Nothing is redrawn any more, so all of it may stand there and scroll.
      for (const line of treeLines(last, { width: width() }, style)) out.write(`${line}\n`);
    },
  };
}
