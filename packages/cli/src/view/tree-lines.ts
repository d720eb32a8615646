/** The live tree laid out in columns: never wider than the terminal, and never higher where a height is given. */
import { plural } from "../text/quantities.ts";
import type { Style } from "../text/style.ts";
import { printableLine } from "../text/printable.ts";
import { padEnd, truncate, widthOf } from "../text/width.ts";
import { wrapText } from "../text/wrap.ts";
import { questionWords, type GoalView } from "./goal-view.ts";
import { statusText, treeRounds, type TreeRow } from "./tree-rows.ts";

export interface TreeSize {
  /** Columns. */
  readonly width: number;
  /** Lines; all of them where it is left out. */
  readonly height?: number;
}

/** Beyond this the eye no longer finds the status that belongs to a task. */
const maxWidth = 120;
const statusWidth = 9;
const gap = 3;

/** @param writingOf what is being written for a task just now, printable; undefined for nothing */
export function treeLines(
  view: GoalView,
  size: TreeSize,
  style: Style,
  writingOf: (taskKey: string) => string | undefined = () => undefined,
): string[] {
  const rounds = treeRounds(view).map(({ title, rows }): Round => ({
    title,
    rows: withWriting(rows, size.width, writingOf),
  }));
  const lines = (shown: readonly Shown[]) => {
    const layout = layoutOf(shown, Math.min(size.width, maxWidth));
    return shown.map((each) =>
      "title" in each
        ? truncate(each.title, size.width)
        : "note" in each
          ? style.faint(truncate(each.note, size.width))
          : rowLine(each, layout, style),
    );
  };
  const height = size.height ?? Number.POSITIVE_INFINITY;
  const asides = height < 2 ? [] : asideLines(view, { ...size, height }, style).slice(0, height - 1);
  return [...lines(fit(rounds, height - asides.length)), ...asides];
}

/** What a person must see whatever else is folded away: a question, and what the guards found. */
function asideLines(view: GoalView, { width, height = Number.POSITIVE_INFINITY }: TreeSize, style: Style): string[] {
  const guard = view.guard === null ? [] : [style.busy(truncate(`guard: ${printableLine(view.guard)}`, width))];
  if (view.question === null) return guard;
  const asked = questionWords(view.question).flatMap((line) => wrapText(printableLine(line), width, "  "));
  // The last line says what to type.
  const room = Math.max(2, Math.floor(height / 2));
  const shown = asked.length <= room ? asked : [...asked.slice(0, room - 1), asked.at(-1)!];
  return [...guard, style.busy("It asks you:"), ...shown];
}

interface Round {
  readonly title: string;
  readonly rows: readonly (TreeRow | Note)[];
}
interface Note {
  readonly note: string;
}

/** Below the rows of running tasks, what is being written for them. */
function withWriting(
  rows: readonly TreeRow[],
  width: number,
  writingOf: (taskKey: string) => string | undefined,
): readonly (TreeRow | Note)[] {
  let key = "";
  return rows.flatMap((row): readonly (TreeRow | Note)[] => {
    if (row.key !== "") key = row.key;
    const line = row.status === "running" ? writingOf(key) : undefined;
    if (line === undefined) return [row];
    // As a terminal would wrap it: what was written stands still, and the row below it takes its place.
    const indent = " ".repeat(widthOf(row.branch) + 2);
    return [row, { note: wrapText(line, Math.min(width, maxWidth), indent).at(-1) ?? indent }];
  });
}

type Shown = TreeRow | { readonly title: string } | Note;

/** Leaves out what is finished first, then what stands last; says how much. */
function fit(rounds: readonly Round[], height: number): readonly Shown[] {
  const all = rounds.flatMap((round): Shown[] => [{ title: round.title }, ...round.rows]);
  if (all.length <= height) return all;
  const folded = rounds.flatMap((round): Shown[] => [{ title: round.title }, ...foldSettled(round.rows)]);
  if (folded.length <= height) return folded;
  // Old rounds have nothing that moves.
  const last = rounds.at(-1);
  const current = last === undefined ? [] : [{ title: last.title }, ...foldSettled(last.rows)];
  if (current.length <= height) return current;
  const kept = current.slice(0, Math.max(height - 1, 0));
  return [...kept, { note: ` … ${plural(current.length - kept.length, "more line")}` }].slice(0, height);
}

function foldSettled(rows: Round["rows"]): Shown[] {
  const shown: Shown[] = [];
  let folded = 0;
  const flush = () => {
    if (folded > 0) shown.push({ note: ` … ${plural(folded, "finished task")}` });
    folded = 0;
  };
  for (const row of rows) {
    if ("note" in row) shown.push(row);
    else if (row.isSettled) folded += row.key === "" ? 0 : 1;
    else {
      flush();
      shown.push(row);
    }
  }
  flush();
  return shown;
}

interface Layout {
  readonly label: number;
  readonly middle: number;
}

/** Below this there is no room for tools. */
const minWidth = 40;

/** The label gets what it needs up to half of the line, the middle what is left. */
function layoutOf(shown: readonly Shown[], width: number): Layout {
  const rows = shown.filter((each): each is TreeRow => "branch" in each);
  const needed = (of: (row: TreeRow) => string) => Math.max(0, ...rows.map((row) => widthOf(of(row))));
  if (width < minWidth) return { label: Math.max(1, width - statusWidth - gap), middle: 0 };
  const label = Math.min(needed(labelText), Math.floor(width * 0.5));
  const middle = Math.max(
    0,
    Math.min(
      needed((row) => row.middle),
      width - label - statusWidth - 2 * gap,
    ),
  );
  return { label, middle };
}

const labelText = (row: TreeRow) => row.branch + [row.key, row.text, row.after].filter((part) => part !== "").join(" ");

function rowLine(row: TreeRow, layout: Layout, style: Style): string {
  const head = row.key === "" ? row.branch : `${row.branch}${row.key} `;
  const after = row.after === "" ? "" : ` ${row.after}`;
  const room = layout.label - widthOf(head) - widthOf(after);
  // Where a narrow terminal has room for only one of them, the text matters more.
  const text =
    room >= 8
      ? truncate(row.text, room) + after
      : truncate(row.text + after, Math.max(0, layout.label - widthOf(head)));
  const middle = truncate(row.middle, layout.middle);
  const status = statusText(row);
  const label = style.faint(row.branch) + (row.key === "" ? style.faint(text) : `${style.strong(row.key)} ${text}`);
  if (middle === "" && status === "") return label.trimEnd();
  const between = " ".repeat(gap);
  const cells = [
    label + " ".repeat(Math.max(0, layout.label - widthOf(head + text))),
    ...(layout.middle === 0 ? [] : [style.faint(status === "" ? middle : padEnd(middle, layout.middle))]),
    ...(status === "" ? [] : [paintStatus(row, status, style)]),
  ];
  return cells.join(between).trimEnd();
}

function paintStatus(row: TreeRow, text: string, style: Style): string {
  switch (row.status) {
    case "done":
      return style.good(text);
    case "failed":
    case "abandoned":
      return style.bad(text);
    case "running":
    case "reflecting":
    case "retrying":
    case "waiting":
      return style.busy(text);
    case "waits":
    case "split":
    case null:
      return text;
  }
}
