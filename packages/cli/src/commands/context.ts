/** What every command is handed: where it runs and what it writes to. */
import { connect, type Connection, type ConnectionOptions, type Surroundings } from "../connection.ts";
import type { Interrupts } from "../interrupts.ts";
import type { Output } from "../live/progress.ts";
import { styleFor, type Style } from "../text/style.ts";

export interface Context extends Surroundings {
  readonly out: Output;
  readonly err: Output;
  readonly style: Style;
  readonly interrupts: Interrupts;
  readonly readStdin: () => Promise<string>;
  connect(options: ConnectionOptions): Promise<Connection>;
  /** Closes what `connect` opened. */
  close(): Promise<void>;
  print(...lines: readonly string[]): void;
  /** A command that could be carried out, but ends otherwise than with 0. */
  exitWith(code: number): void;
}

export function createContext(
  parts: Pick<Context, "env" | "cwd" | "root" | "out" | "err" | "interrupts" | "readStdin" | "exitWith">,
): Context {
  const opened: Connection[] = [];
  return {
    ...parts,
    style: styleFor(parts.out, parts.out.isTTY === true),
    connect: async (options) => {
      const connection = await connect(options, parts);
      opened.push(connection);
      return connection;
    },
    close: async () => {
      for (const connection of opened.splice(0)) await connection.close?.();
    },
    print: (...lines) => {
      for (const line of lines) parts.out.write(`${line}\n`);
    },
  };
}

/** Options that every command takes. */
export interface GlobalOptions extends ConnectionOptions {
  readonly json?: boolean;
}
