/** Rows with a head, in columns as wide as what stands in them. Text without escapes. */
import { padEnd, widthOf } from "./width.ts";

export interface Column {
  readonly head: string;
  /** One for each row. */
  readonly cells: readonly string[];
  /** Numbers: their ends stand below each other. */
  readonly right?: boolean;
}

/** The head first. */
export function tableLines(columns: readonly Column[]): string[] {
  const rows = Math.max(0, ...columns.map(({ cells }) => cells.length));
  const lines = [columns.map(({ head }) => head)];
  for (let row = 0; row < rows; row += 1) lines.push(columns.map(({ cells }) => cells[row] ?? ""));
  const widths = columns.map(({ head, cells }) => Math.max(...[head, ...cells].map(widthOf)));
  return lines.map((line) =>
    line
      .map((cell, index) => {
        const width = widths[index]!;
        return columns[index]?.right === true ? " ".repeat(width - widthOf(cell)) + cell : padEnd(cell, width);
      })
      .join("  ")
      .trimEnd(),
  );
}
