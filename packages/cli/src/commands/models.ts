import type { Command } from "commander";
import type { ModelWishesRequest } from "@outerloop/core/domain";
import { exitCodes, UserError } from "../exit.ts";
import { goalIdOf } from "../short-id.ts";
import { printableJson, printableLine } from "../text/printable.ts";
import { modelLines, testLines } from "../view/model-lines.ts";
import { usageLines } from "../view/usage-lines.ts";
import type { Context, GlobalOptions } from "./context.ts";
import { modelHelp, wish } from "./model-wishes.ts";

/** `models`, `models test`, `usage`, `reroute`: who serves what, whether they do, what it cost, and another route for a goal. */
export function addModels(program: Command, context: Context): void {
  const models = program
    .command("models")
    .description("which models serve which stage, which are held back, what of their limits is used, what they cost")
    .action(async (_flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalOptions>();
      const { client } = await context.connect(flags);
      const today = new Date().toISOString().slice(0, 10);
      const [state, day, month] = await Promise.all([
        client.models.get(),
        client.usage({ from: today, to: today }),
        client.usage({ from: `${today.slice(0, 8)}01`, to: today }),
      ]);
      if (flags.json === true) return context.print(printableJson({ ...state, spend: { day, month } }, 2));
      context.print(...modelLines(state, { day, month }, context.style));
    });
  models
    .command("test")
    .description("ask every model of every route for a word; costs a few tokens each")
    .action(async (_flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalOptions>();
      const { client } = await context.connect(flags);
      const { results } = await client.models.test();
      if (results === null)
        throw new UserError("Nobody made the test: does any process call models? `outerloop models` shows them.");
      if (flags.json === true) context.print(printableJson(results, 2));
      else context.print(...testLines(results, context.style));
      if (results.some((each) => !each.ok)) context.exitWith(exitCodes.goalFailed);
    });
  models
    .command("release")
    .description("let a model that is held back be called again, without waiting for its next probe")
    .argument("<model>", "as `models` names it: provider/model")
    .action(async (model: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalOptions>();
      const { client } = await context.connect(flags);
      const state = await client.models.release(model);
      if (flags.json === true) return context.print(printableJson(state, 2));
      context.print(`${printableLine(model)} is called again.`);
    });
  program
    .command("usage")
    .description("what model calls took and cost: of a goal by task, or of all goals by model")
    .argument("[goal]", "its id, or the beginning of it")
    .option("--from <day>", "of goals created from this day on (UTC), 2026-11-01; the first of the month")
    .option("--to <day>", "up to this day; today")
    .action(async (typed: string | undefined, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalOptions & { from?: string; to?: string }>();
      const { from, to } = flags;
      if (typed !== undefined && (from ?? to) !== undefined)
        throw new UserError("--from and --to are of all goals: leave them out for one goal.");
      const { client } = await context.connect(flags);
      const usage =
        typed === undefined
          ? await client.usage({ ...(from !== undefined && { from }), ...(to !== undefined && { to }) })
          : await client.goals.usage(goalIdOf(typed));
      if (flags.json === true) return context.print(printableJson(usage, 2));
      context.print(...usageLines(usage, context.style));
    });
  program
    .command("reroute")
    .description(
      "name the models of a goal, or of one of its tasks, from its next call on; without any, back to the routes",
    )
    .argument("<goal>", "its id, or the beginning of it")
    .option("--task <task>", "an id or a key such as t3: of that task alone")
    .option("-m, --model <name>", modelHelp, wish)
    .action(async (typed: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalOptions & { task?: string; model?: ModelWishesRequest }>();
      const { client } = await context.connect(flags);
      const goal = await client.goals.reroute(goalIdOf(typed), {
        models: flags.model ?? {},
        ...(flags.task === undefined ? {} : { task: flags.task }),
      });
      if (flags.json === true) return context.print(printableJson(goal));
      const of =
        flags.task === undefined ? printableLine(typed) : `${printableLine(typed)} ${printableLine(flags.task)}`;
      const said = Object.entries(flags.model ?? {}).map(
        ([stage, names]) => `${stage} ${[names].flat().map(printableLine).join(", else ")}`,
      );
      context.print(
        said.length === 0 ? `${of} goes by the routes.` : `${of} asks from its next call on: ${said.join(" · ")}`,
      );
    });
}
