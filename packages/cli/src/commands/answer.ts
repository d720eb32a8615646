import { text as readText } from "node:stream/consumers";
import type { Command } from "commander";
import { UserError } from "../exit.ts";
import { goalIdOf } from "../short-id.ts";
import { printableBlock, printableJson, printableLine } from "../text/printable.ts";
import type { Context, GlobalOptions } from "./context.ts";

/** `answer`: what a goal asks its submitter; without a text it is only shown. */
export function addAnswer(program: Command, context: Context): void {
  program
    .command("answer")
    .description("answer what a goal asks; without an answer, show the question")
    .argument("<goal>", "its id, or the beginning of it")
    .argument("[text...]", "the answer; - reads it from standard input")
    .action((typed: string, words: readonly string[], _flags: unknown, command: Command) =>
      answer(context, typed, words, command.optsWithGlobals<GlobalOptions>()),
    );
}

async function answer(context: Context, typed: string, words: readonly string[], flags: GlobalOptions): Promise<void> {
  const text = (words.length === 1 && words[0] === "-" ? await readText(process.stdin) : words.join(" ")).trim();
  if (text === "" && words.length > 0) throw new UserError("The answer has no text.");
  const { client } = await context.connect(flags);
  const id = goalIdOf(typed);
  const { question, status } = await client.goals.get(id);
  if (question === null) throw new UserError(`Goal ${printableLine(typed)} asks nothing now (${status}).`);
  if (text === "") {
    if (flags.json === true) return context.print(printableJson(question));
    return context.print(
      printableBlock(question.text),
      `From ${question.deadline_at.slice(0, 16).replace("T", " ")} UTC on it goes on with: ${printableLine(question.default)}`,
    );
  }
  const goal = await client.goals.answer(id, { text, question: question.id });
  if (flags.json === true) return context.print(printableJson(goal));
  if (goal.status === "paused")
    return context.print(`Noted. ${printableLine(typed)} is paused: npx outerloop resume ${printableLine(typed)}`);
  context.print(`${printableLine(typed)} goes on. Watch it: npx outerloop watch ${printableLine(typed)}`);
}
