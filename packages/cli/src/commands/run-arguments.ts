/** The arguments of a run, on any command line that takes a goal: `outerloop run` and `npm start --`. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { InvalidArgumentError, Option, type Command } from "commander";
import type { NewGoalRequest } from "@outerloop/core/domain";
import { UserError } from "../exit.ts";
import { modelHelp, wish } from "./model-wishes.ts";
import { amount, duration, integer, whole } from "./option-values.ts";

/** As commander hands them over. */
export interface RunFlags {
  readonly attach?: readonly string[];
  readonly session?: string;
  readonly budgetSteps?: number;
  readonly budgetWall?: number;
  readonly budgetTokens?: number;
  readonly budgetUsd?: number;
  readonly planning?: NonNullable<NewGoalRequest["planning"]>;
  readonly ask?: number | true;
  readonly priority?: number;
  readonly model?: NonNullable<NewGoalRequest["models"]>;
  readonly label?: Readonly<Record<string, string>>;
}

export interface RunArguments {
  /** null where no goal was given. */
  readonly text: string | null;
  readonly attach: readonly string[];
  readonly options: Omit<NewGoalRequest, "text" | "attachments">;
}

/** Adds the text and the options of a run to a command. */
export function withRunArguments(command: Command): Command {
  return command
    .argument("[text]", "the goal in words; - reads it from standard input")
    .option("-a, --attach <path...>", "files and folders to work on; .gitignore is honoured, binaries are left out")
    .option("-s, --session <name>", "goals of one session see each other's answers")
    .option("--budget-steps <n>", "model and tool steps together", whole)
    .option("--budget-wall <time>", "how long it may take: 90s, 15m, 1h30m", duration)
    .option("--budget-tokens <n>", "tokens read and written together", whole)
    .option("--budget-usd <n>", "dollars that its model calls may cost", amount)
    .addOption(
      new Option("--planning <when>", "how often it plans anew: adaptive, every-step, every-3").argParser(planning),
    )
    .option("--ask [time]", "it may ask you what the text leaves open, and waits so long for an answer: 15m", duration)
    .option("-m, --model <name>", modelHelp, wish)
    .option("--priority <n>", "-100 to 100, higher first", integer)
    .option("-l, --label <key=value...>", "for finding it again", label);
}

export function toRunArguments(text: string | undefined, flags: RunFlags, cwd: string): RunArguments {
  const attach = [...(flags.attach ?? [])];
  const given = text ?? textAmong(attach, cwd);
  const budget = {
    ...(flags.budgetSteps === undefined ? {} : { steps: flags.budgetSteps }),
    ...(flags.budgetWall === undefined ? {} : { wall_ms: flags.budgetWall }),
    ...(flags.budgetTokens === undefined ? {} : { tokens: flags.budgetTokens }),
    ...(flags.budgetUsd === undefined ? {} : { usd: flags.budgetUsd }),
  };
  if (given?.trim() === "") throw new UserError("The goal has no text.");
  return {
    text: given ?? null,
    attach,
    options: {
      ...(flags.session === undefined ? {} : { session: flags.session }),
      ...(Object.keys(budget).length === 0 ? {} : { budget }),
      ...(flags.planning === undefined ? {} : { planning: flags.planning }),
      ...(flags.ask === undefined ? {} : { questions: flags.ask === true ? true : { wait_ms: flags.ask } }),
      ...(flags.model === undefined ? {} : { models: flags.model }),
      ...(flags.priority === undefined ? {} : { priority: flags.priority }),
      ...(flags.label === undefined ? {} : { labels: { ...flags.label } }),
    },
  };
}

/** `--attach docs "Which …?"` hands the text to --attach: words with spaces that are no path are the goal. Takes it out of there. */
function textAmong(attach: string[], cwd: string): string | undefined {
  const last = attach.at(-1);
  if (last === undefined || attach.length < 2 || !/\s/.test(last.trim()) || existsSync(resolve(cwd, last)))
    return undefined;
  return attach.pop();
}

function planning(text: string): NonNullable<NewGoalRequest["planning"]> {
  if (text === "adaptive" || text === "every-step") return text;
  const every = /^every-(\d{1,4})$/.exec(text)?.[1];
  if (every === undefined || Number(every) < 1)
    throw new InvalidArgumentError("It must be adaptive, every-step or every-N, such as every-3.");
  return { every_n: Number(every) };
}

function label(text: string, before: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("It must be key=value.");
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}
