/** A stream that is a terminal to whoever writes to it, with a real terminal's idea of what then stands on the screen. */
import { Writable } from "node:stream";
import xterm from "@xterm/headless";

export interface FakeTerminal extends Writable {
  readonly isTTY: true;
  columns: number;
  rows: number;
  /** What was written so far, escapes and all. */
  written(): string;
  /** Everything that stands there, what has scrolled away included, without empty lines at the end. */
  screen(): Promise<readonly string[]>;
  resize(columns: number, rows: number): Promise<void>;
}

export function createFakeTerminal(columns: number, rows: number): FakeTerminal {
  const terminal = new xterm.Terminal({
    cols: columns,
    rows,
    scrollback: 1000,
    convertEol: true,
    allowProposedApi: true,
  });
  let written = "";
  const stream = new Writable({
    decodeStrings: false,
    write(chunk: string | Uint8Array, _encoding, callback) {
      written += String(chunk);
      // It keeps the order itself.
      terminal.write(chunk);
      callback();
    },
  });
  const settled = () => new Promise<void>((resolve) => terminal.write("", resolve));
  return Object.assign(stream, {
    isTTY: true as const,
    columns,
    rows,
    written: () => written,
    async screen() {
      await settled();
      const { active } = terminal.buffer;
      const lines = Array.from(
        { length: active.length },
        (_, index) => active.getLine(index)?.translateToString(true) ?? "",
      );
      return lines.slice(0, lines.findLastIndex((line) => line !== "") + 1);
    },
    async resize(this: FakeTerminal, toColumns: number, toRows: number) {
      await settled();
      terminal.resize(toColumns, toRows);
      this.columns = toColumns;
      this.rows = toRows;
      this.emit("resize");
    },
  });
}
