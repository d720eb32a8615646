import { InvalidArgumentError, type Command } from "commander";
import type { ApprovalResource, DecisionRequest } from "@outerloop/core/domain";
import { UserError } from "../exit.ts";
import { goalIdOf } from "../short-id.ts";
import { printableJson, printableLine } from "../text/printable.ts";
import { approvalLines } from "../view/approval-lines.ts";
import type { Context, GlobalOptions } from "./context.ts";
import { positive } from "./numbers.ts";

const defaultLimit = 20;
const maxPage = 100;

/** `approvals`, `approve`, `reject`, `happened`, `run-again`, `signal`: what a person says to a goal that waits. */
export function addApprovals(program: Command, context: Context): void {
  program
    .command("approvals")
    .description("what waits for your decision")
    .option("-g, --goal <goal>", "only those of a goal")
    .option("-n, --limit <n>", "how many", positive, defaultLimit)
    .action(async (_flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalOptions & { goal?: string; limit: number }>();
      const { client } = await context.connect({ ...flags, opensData: true });
      const filter = {
        limit: Math.min(flags.limit, maxPage),
        ...(flags.goal === undefined ? {} : { goal: goalIdOf(flags.goal) }),
      };
      const approvals: ApprovalResource[] = [];
      for await (const approval of client.approvals.list(filter)) {
        approvals.push(approval);
        if (approvals.length >= flags.limit) break;
      }
      if (flags.json === true) return context.print(printableJson(approvals, 2));
      context.print(
        ...(approvals.length === 0
          ? ["Nothing waits for a decision."]
          : approvals.flatMap((approval, index) => [
              ...(index === 0 ? [] : [""]),
              ...approvalLines(approval, context.out.columns ?? 100, context.style),
            ])),
      );
    });
  program
    .command("approve")
    .description("let an external call run; with --args, run it with these instead")
    .argument("<approval>", "its id, as `approvals` shows it")
    .option("--args <json>", "arguments to run it with instead", parseArgs)
    .option("--hash <hash>", "of the call you saw: refused if another one would run")
    .action((id: string, _flags: unknown, command: Command) => {
      const { args } = command.opts<{ args?: DecisionArgs }>();
      return decide(context, id, command, args === undefined ? { decision: "approve" } : { decision: "edit", args });
    });
  program
    .command("reject")
    .description("do not let an external call run; the agent reads the reason")
    .argument("<approval>", "its id, as `approvals` shows it")
    .option("--reason <text>", "why")
    .action((id: string, _flags: unknown, command: Command) => {
      const { reason } = command.opts<{ reason?: string }>();
      return decide(context, id, command, { decision: "reject", ...(reason === undefined ? {} : { reason }) });
    });
  program
    .command("happened")
    .description("say that a call which was cut off has happened")
    .argument("<approval>", "its id, as `approvals` shows it")
    .option("--result <text>", "what came of it, for the agent to read")
    .action((id: string, _flags: unknown, command: Command) => {
      const { result } = command.opts<{ result?: string }>();
      return decide(context, id, command, { decision: "happened", ...(result === undefined ? {} : { result }) });
    });
  program
    .command("run-again")
    .description("say that a call which was cut off has not happened, and run it")
    .argument("<approval>", "its id, as `approvals` shows it")
    .action((id: string, _flags: unknown, command: Command) => decide(context, id, command, { decision: "run_again" }));
  program
    .command("signal")
    .description("send a signal to a goal: what waits for its name goes on")
    .argument("<goal>", "its id, or the beginning of it")
    .argument("<name>", "of the signal")
    .option("--payload <json>", "what it says", parsePayload)
    .option("--task <task>", "an id or a key such as t3: meant for that task alone")
    .action(async (typed: string, name: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalOptions & { payload?: { value: unknown }; task?: string }>();
      const { client } = await context.connect(flags);
      const goal = await client.goals.signal(goalIdOf(typed), {
        name,
        ...(flags.payload === undefined ? {} : { payload: flags.payload.value }),
        ...(flags.task === undefined ? {} : { task: flags.task }),
      });
      if (flags.json === true) return context.print(printableJson(goal));
      context.print(`${printableLine(typed)} was told ${printableLine(name)}; it is ${goal.status}`);
    });
}

type DecisionArgs = Extract<DecisionRequest, { decision: "edit" }>["args"];

async function decide(context: Context, id: string, command: Command, decision: DecisionRequest): Promise<void> {
  const flags = command.optsWithGlobals<GlobalOptions & { hash?: string }>();
  if (!/^a_[0-9a-z]+$/.test(id))
    throw new UserError(
      `"${printableLine(id)}" is not an approval's id: they look like a_…; \`outerloop approvals\` lists them`,
    );
  const { client } = await context.connect(flags);
  const approval = await client.approvals.decide(id, {
    ...decision,
    ...(flags.hash === undefined ? {} : { hash: flags.hash }),
  });
  if (flags.json === true) return context.print(printableJson(approval));
  context.print(
    `${printableLine(approval.tool)} of ${approval.goal} ${approval.task.key}: ${approval.decision?.decision ?? approval.status}`,
  );
}

function parseArgs(text: string): DecisionArgs {
  const value = parseJson(text);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new InvalidArgumentError("must be a JSON object.");
  return value as DecisionArgs;
}

/** In an object, since a payload of `undefined` would look like none. */
function parsePayload(text: string): { value: unknown } {
  return { value: parseJson(text) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidArgumentError("must be JSON.");
  }
}
