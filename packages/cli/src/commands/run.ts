import type { Command } from "commander";
import { collectAttachments } from "../attachments/collect.ts";
import { UserError } from "../exit.ts";
import { runGoal } from "../run-goal.ts";
import type { Context, GlobalOptions } from "./context.ts";
import { toRunArguments, withRunArguments, type RunFlags } from "./run-arguments.ts";

export function addRun(program: Command, context: Context): void {
  withRunArguments(program.command("run").description("run a goal and show it until it ends; Ctrl-C pauses it"))
    .option("-d, --detach", "return as soon as it is accepted")
    .action(async (text: string | undefined, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<RunFlags & GlobalOptions & { detach?: boolean }>();
      const read = toRunArguments(text === "-" ? await context.readStdin() : text, flags, context.cwd);
      if (read.text === null)
        throw new UserError('Which goal? outerloop run "…", or - to read it from standard input.');
      const connection = await context.connect(flags);
      const attachments = await collectAttachments(read.attach, { cwd: context.cwd });
      const outcome = await runGoal({
        ...connection,
        text: read.text,
        attachments,
        options: read.options,
        cwd: context.cwd,
        out: context.out,
        isJson: flags.json === true,
        isDetached: flags.detach === true,
        interrupts: context.interrupts,
      });
      context.exitWith(outcome.exitCode);
    });
}
