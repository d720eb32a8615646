import { createHash } from "node:crypto";
import type { Command } from "commander";
import { allItems, type Client } from "@outerloop/client";
import { canonicalJson, hasGoalEnded, type EventResource, type GoalResource } from "@outerloop/core/domain";
import { exitCodes, UserError } from "../exit.ts";
import { proseWidth } from "../live/progress.ts";
import { goalIdOf, shortGoalId } from "../short-id.ts";
import { printableJson, printableLine } from "../text/printable.ts";
import { requestLines, shownStepLines } from "../view/request-lines.ts";
import { storyLines } from "../view/story-lines.ts";
import type { Context, GlobalOptions } from "./context.ts";

/** A stream that says nothing for this long has told what has happened so far. */
const quietMs = 300;
const firstEventMs = 10_000;

export function addShow(program: Command, context: Context): void {
  program
    .command("show")
    .description("what a goal did and why; or one of its steps, and what its model was sent")
    .argument("<goal or step>", "g_7k2, or a step: g_7k2.12 or t_….1.3")
    .option("--request", "of a model step: the exact request, rebuilt from the journal")
    .action(async (typed: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalOptions & { request?: boolean }>();
      const { client } = await context.connect({ ...flags, opensData: true });
      const step = await stepIdOf(client, typed.trim());
      if (step !== null) return showStep(context, client, step, flags);
      if (flags.request === true)
        throw new UserError(`--request is of a step: outerloop show ${printableLine(typed)} lists them.`);
      await showGoal(context, client, goalIdOf(typed), flags);
    });
}

async function showGoal(context: Context, client: Client, id: string, flags: GlobalOptions): Promise<void> {
  const goal = await client.goals.get(id);
  const [shortId, steps, files, events] = await Promise.all([
    shortGoalId(client, goal.id),
    allItems(client.goals.steps(goal.id)),
    client.goals.artifacts(goal.id),
    eventsSoFar(client, goal),
  ]);
  if (flags.json === true) return context.print(printableJson({ goal, steps, files, events }, 2));
  context.print(
    ...storyLines({ goal, shortId, events, steps, files, now: Date.now() }, proseWidth(context.out), context.style),
  );
}

async function eventsSoFar(client: Client, goal: GoalResource): Promise<readonly EventResource[]> {
  if (hasGoalEnded(goal.status)) return allItems(client.goals.watch(goal.id));
  const quiet = new AbortController();
  // Every goal has a first event, so a server that is busy is waited for.
  let timer = setTimeout(() => quiet.abort(), firstEventMs);
  const events: EventResource[] = [];
  try {
    for await (const event of client.goals.watch(goal.id, { signal: quiet.signal })) {
      events.push(event);
      clearTimeout(timer);
      timer = setTimeout(() => quiet.abort(), quietMs);
    }
  } catch (thrown) {
    if (!quiet.signal.aborted) throw thrown;
  } finally {
    clearTimeout(timer);
  }
  return events;
}

/** `t_….1.3` is a step's id; `g_7k2.12` the 12th step of a goal. null for anything else. */
async function stepIdOf(client: Client, typed: string): Promise<string | null> {
  if (/^[gt]_[0-9a-z]+\.\d+\.\d+$/.test(typed)) return typed;
  const [, goal, number] = /^([0-9a-z_]+)\.(\d+)$/.exec(typed) ?? [];
  if (goal === undefined) return null;
  const id = goalIdOf(goal);
  for await (const step of client.goals.steps(id)) if (step.number === Number(number)) return step.id;
  throw new UserError(`Goal ${printableLine(goal)} has no step ${number}.`);
}

async function showStep(
  context: Context,
  client: Client,
  id: string,
  flags: GlobalOptions & { request?: boolean },
): Promise<void> {
  const step = await client.steps.get(id);
  if (flags.request !== true)
    return context.print(...(flags.json === true ? [printableJson(step, 2)] : shownStepLines(step, context.style)));
  const { request } = step;
  if (request === null)
    throw new UserError(
      `Step ${printableLine(id)} called a tool, so no model was asked. Leave --request out to see its arguments and result.`,
    );
  // Computed here, from what came over the line: nobody has to be believed.
  const hash = createHash("sha256").update(canonicalJson(request.body)).digest("hex");
  context.print(
    ...(flags.json === true
      ? [printableJson(request, 2)]
      : requestLines(request.body, { hash, recordedHash: request.recorded_hash }, context.style)),
  );
  if (hash !== request.recorded_hash) context.exitWith(exitCodes.goalFailed);
}
