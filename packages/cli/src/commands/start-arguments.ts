/** The arguments of `npm start -- GOAL`: those of a run, read without a server to talk to. */
import { Command } from "commander";
import { exitCodes, UserError } from "../exit.ts";
import { toRunArguments, withRunArguments, type RunArguments, type RunFlags } from "./run-arguments.ts";

export interface StartArguments extends Omit<RunArguments, "text"> {
  readonly text: string;
  /** For `runGoal`. */
  readonly view: { readonly isJson: boolean };
}

/**
 * null where no goal is given: the process is to serve. After help or a wrong argument it ends the process.
 * @param cwd where the user stands
 * @throws UserError for an empty goal, or options without one
 */
export function readStartArguments(
  args: readonly string[],
  cwd: string = process.cwd(),
  exit: (code: number) => never = process.exit,
): StartArguments | null {
  const command = withRunArguments(new Command("npm start --"))
    .description("Serves until Ctrl-C; with a goal, runs it, prints its answer and stops.")
    .option("--json", "print JSON, for other programs")
    .exitOverride((error) => exit(error.exitCode === 0 ? exitCodes.success : exitCodes.usage));
  command.parse([...args], { from: "user" });
  const flags = command.opts<RunFlags & { json?: boolean }>();
  const read = toRunArguments(command.args[0], flags, cwd);
  if (read.text !== null) return { ...read, text: read.text, view: { isJson: flags.json === true } };
  if (Object.keys(flags).length > 0)
    throw new UserError('These options are for a goal, and there is none: npm start -- "…" --attach …');
  return null;
}
