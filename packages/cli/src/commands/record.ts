import { basename, dirname, resolve } from "node:path";
import type { Command } from "commander";
import { UserError } from "../exit.ts";
import { saveBelow, shownPath } from "../save-files.ts";
import { goalIdOf } from "../short-id.ts";
import type { Context, GlobalOptions } from "./context.ts";

export function addRecord(program: Command, context: Context): void {
  program
    .command("record")
    .description("all that a goal's models were asked and answered, to be replayed without them (OUTERLOOP_REPLAY)")
    .argument("<goal>", "its id, or the beginning of it")
    .option("-o, --output <file>", "save it there instead of printing it")
    .action(async (typed: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalOptions & { output?: string }>();
      if (flags.output === undefined && context.out.isTTY === true)
        throw new UserError("A recording is long: save it with -o FILE, or send it on with > FILE.");
      const { client } = await context.connect({ ...flags, opensData: true });
      const recording = await client.goals.recording(goalIdOf(typed));
      const text = `${JSON.stringify(recording, null, 1)}\n`;
      if (flags.output === undefined) return void context.out.write(text);
      const target = resolve(context.cwd, flags.output);
      await saveBelow(dirname(target), basename(target), Buffer.from(text));
      context.print(`Recorded ${recording.calls.length} calls in ${shownPath(target, context.cwd)}`);
    });
}
