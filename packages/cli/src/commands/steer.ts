import type { Command } from "commander";
import { hasGoalEnded } from "@outerloop/core/domain";
import { goalIdOf } from "../short-id.ts";
import { printableJson, printableLine } from "../text/printable.ts";
import type { Context, GlobalOptions } from "./context.ts";

/** `cancel`, `pause`, `resume`: each says what the goal is now. */
export function addSteering(program: Command, context: Context): void {
  program
    .command("cancel")
    .description("end a goal")
    .argument("<goal>", "its id, or the beginning of it")
    .option("--reason <text>", "why, for whoever looks at it later")
    .action((typed: string, _flags: unknown, command: Command) => steer(context, "cancel", typed, command));
  program
    .command("pause")
    .description("start nothing new for a goal until it is resumed")
    .argument("<goal>", "its id, or the beginning of it")
    .action((typed: string, _flags: unknown, command: Command) => steer(context, "pause", typed, command));
  program
    .command("resume")
    .description("let a paused goal go on")
    .argument("<goal>", "its id, or the beginning of it")
    .action((typed: string, _flags: unknown, command: Command) => steer(context, "resume", typed, command));
}

async function steer(
  context: Context,
  verb: "cancel" | "pause" | "resume",
  typed: string,
  command: Command,
): Promise<void> {
  const flags = command.optsWithGlobals<GlobalOptions & { reason?: string }>();
  const { client } = await context.connect(flags);
  const id = goalIdOf(typed);
  const goal = verb === "cancel" ? await client.goals.cancel(id, flags.reason) : await client.goals[verb](id);
  if (flags.json === true) return context.print(printableJson(goal));
  context.print(`${printableLine(typed)} is ${goal.status}`);
  if (verb === "resume" && !hasGoalEnded(goal.status))
    context.print(`Watch it: npx outerloop watch ${printableLine(typed)}`);
}
