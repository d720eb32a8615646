/** The command line: its commands, what they have in common, and how each error ends. */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { ApiError, ConnectionError } from "@outerloop/client";
import { addAnswer } from "./commands/answer.ts";
import { addApprovals } from "./commands/approvals.ts";
import type { Context } from "./commands/context.ts";
import { addBudget } from "./commands/budget.ts";
import { addFiles } from "./commands/files.ts";
import { addList } from "./commands/list.ts";
import { addMigrate, addPrune } from "./commands/database.ts";
import { addModels } from "./commands/models.ts";
import { addRecord } from "./commands/record.ts";
import { addRun } from "./commands/run.ts";
import { addShow } from "./commands/show.ts";
import { addSteering } from "./commands/steer.ts";
import { addWatch } from "./commands/watch.ts";
import { exitCodes, UserError } from "./exit.ts";
import { printableBlock } from "./text/printable.ts";

const help = `
Goals are named by their id or by any beginning of it that is theirs alone: g_7k2.
The server is that of the data folder (OUTERLOOP_DATA_DIR, ./.outerloop) unless --url names another.

Exit codes: 0 success · 1 the goal failed, was abandoned or cancelled · 2 the command could not be carried out · 130 Ctrl-C`;

/** Carries a command line out. What a person can mend is printed; what is our fault is thrown. */
export async function runProgram(context: Context, args: readonly string[]): Promise<void> {
  try {
    await createProgram(context).parseAsync([...args], { from: "user" });
  } catch (thrown) {
    const code = explainError(thrown, (text) => context.err.write(`${text}\n`));
    if (code === null) throw thrown;
    context.exitWith(code);
  } finally {
    await context.close();
  }
}

function createProgram(context: Context): Command {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  const program = new Command("outerloop")
    .description("Run goals, watch them, and see what they did.")
    .version(version)
    .option("--url <url>", "the server (OUTERLOOP_URL)")
    .option("--key <key>", "the key for it (OUTERLOOP_API_KEY)")
    .option("--json", "print JSON, for other programs")
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError("(outerloop --help tells more)")
    .addHelpText("after", help)
    .configureOutput({ writeOut: (text) => context.out.write(text), writeErr: (text) => context.err.write(text) })
    .exitOverride();
  addRun(program, context);
  addList(program, context);
  addShow(program, context);
  addWatch(program, context);
  addSteering(program, context);
  addApprovals(program, context);
  addAnswer(program, context);
  addFiles(program, context);
  addRecord(program, context);
  addBudget(program, context);
  addModels(program, context);
  addMigrate(program, context);
  addPrune(program, context);
  return program;
}

/**
 * Tells a person what went wrong, where that is something that they can mend.
 * @returns the exit code; null for a fault of ours, of which nothing was told
 */
export function explainError(thrown: unknown, report: (text: string) => void): number | null {
  // Commander has printed it already.
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? exitCodes.success : exitCodes.usage;
  if (thrown instanceof UserError || thrown instanceof ApiError) report(printableBlock(thrown.message));
  else if (thrown instanceof ConnectionError) report(`${printableBlock(thrown.message)}\nStart one: npm start`);
  else return null;
  return exitCodes.usage;
}
