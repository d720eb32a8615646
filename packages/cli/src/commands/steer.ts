import type { Command } from "commander";
import { hasGoalEnded, type GoalResource, type ResumeRequest } from "@outerloop/core/domain";
import { goalIdOf } from "../short-id.ts";
import { printableJson, printableLine } from "../text/printable.ts";
import type { Context, GlobalOptions } from "./context.ts";
import { amount, duration, whole } from "./option-values.ts";

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
  withBudget(
    program
      .command("resume")
      .description("let a goal go on that is paused, or that failed on a budget and is given more of it")
      .argument("<goal>", "its id, or the beginning of it"),
  ).action((typed: string, _flags: unknown, command: Command) => steer(context, "resume", typed, command));
}

/** New totals of a goal's budget. */
function withBudget(command: Command): Command {
  return command
    .option("--steps <n>", "model and tool steps in all", whole)
    .option("--wall <time>", "how long it may take in all: 90s, 15m, 1h30m", duration)
    .option("--tokens <n>", "tokens read and written in all", whole)
    .option("--usd <n>", "dollars that its model calls may cost in all", amount);
}

interface SteerFlags extends GlobalOptions {
  readonly reason?: string;
  readonly steps?: number;
  readonly wall?: number;
  readonly tokens?: number;
  readonly usd?: number;
}

function budgetOf({ steps, wall, tokens, usd }: SteerFlags): ResumeRequest {
  const budget = {
    ...(steps === undefined ? {} : { steps }),
    ...(wall === undefined ? {} : { wall_ms: wall }),
    ...(tokens === undefined ? {} : { tokens }),
    ...(usd === undefined ? {} : { usd }),
  };
  return Object.keys(budget).length === 0 ? {} : { budget };
}

async function steer(
  context: Context,
  verb: "cancel" | "pause" | "resume",
  typed: string,
  command: Command,
): Promise<void> {
  const flags = command.optsWithGlobals<SteerFlags>();
  const { client } = await context.connect(flags);
  const id = goalIdOf(typed);
  const goal = await send();
  if (flags.json === true) return context.print(printableJson(goal));
  context.print(`${printableLine(typed)} is ${goal.status}`);
  if (verb === "resume" && !hasGoalEnded(goal.status))
    context.print(`Watch it: npx outerloop watch ${printableLine(typed)}`);

  function send(): Promise<GoalResource> {
    switch (verb) {
      case "cancel":
        return client.goals.cancel(id, flags.reason);
      case "pause":
        return client.goals.pause(id);
      case "resume":
        return client.goals.resume(id, budgetOf(flags));
    }
  }
}
