import type { Command } from "commander";
import { endGoal } from "../end-goal.ts";
import { exitCodes } from "../exit.ts";
import { followGoal } from "../follow-goal.ts";
import { createProgress } from "../run-goal.ts";
import { goalIdOf, shortGoalId } from "../short-id.ts";
import { goalLine } from "../view/ending-lines.ts";
import type { Context, GlobalOptions } from "./context.ts";

export function addWatch(program: Command, context: Context): void {
  program
    .command("watch")
    .description("show a goal until it ends; Ctrl-C stops watching, the goal goes on")
    .argument("<goal>", "its id, or the beginning of it")
    .action(async (typed: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalOptions>();
      const { client, dataDir } = await context.connect(flags);
      const goal = await client.goals.get(goalIdOf(typed));
      const shortId = await shortGoalId(client, goal.id);
      const { out, style, interrupts, cwd } = context;
      const isJson = flags.json === true;
      if (!isJson) context.print(goalLine(goal, shortId, client.baseUrl));

      const stopped = new AbortController();
      const unlisten = interrupts.listen(() =>
        stopped.signal.aborted ? interrupts.quit(exitCodes.interrupted) : stopped.abort(),
      );
      try {
        const followed = await followGoal(
          client,
          goal.id,
          await createProgress(out, out.isTTY === true, isJson, style),
          stopped.signal,
        );
        if (followed.isInterrupted) return context.exitWith(exitCodes.interrupted);
        context.exitWith(
          await endGoal(
            { client, out, style, isJson, dataDir, cwd },
            await client.goals.get(goal.id),
            shortId,
            followed.view.models,
          ),
        );
      } finally {
        unlisten();
      }
    });
}
