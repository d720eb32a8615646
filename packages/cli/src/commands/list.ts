import { Option, type Command } from "commander";
import { goalStatuses, type GoalStatus, type GoalSummary } from "@outerloop/core/domain";
import { printableJson } from "../text/printable.ts";
import { listLines } from "../view/list-lines.ts";
import type { Context, GlobalOptions } from "./context.ts";
import { positive } from "./numbers.ts";

const defaultLimit = 20;
/** What a server gives in one page. */
const maxPage = 100;

export function addList(program: Command, context: Context): void {
  program
    .command("list")
    .alias("ls")
    .description("goals, newest first")
    .addOption(new Option("--status <status>", "only those").choices([...goalStatuses]))
    .option("-s, --session <name>", "only those of a session")
    .option("-n, --limit <n>", "how many", positive, defaultLimit)
    .action(async (_flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalOptions & { status?: GoalStatus; session?: string; limit: number }>();
      const { client } = await context.connect({ ...flags, opensData: true });
      const filter = {
        limit: Math.min(flags.limit, maxPage),
        ...(flags.status === undefined ? {} : { status: flags.status }),
        ...(flags.session === undefined ? {} : { session: flags.session }),
      };
      const goals: GoalSummary[] = [];
      for await (const goal of client.goals.list(filter)) {
        goals.push(goal);
        if (goals.length >= flags.limit) break;
      }
      if (flags.json === true) return context.print(printableJson(goals, 2));
      context.print(...listLines(goals, { now: Date.now(), width: context.out.columns ?? 100 }, context.style));
    });
}
