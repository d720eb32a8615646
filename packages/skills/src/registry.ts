/**
 * The one owner of tool access: what tools there are, how a model is told of them, and what happens when it calls one.
 * A bad call never throws; the model gets a text that says how to mend it. What throws is what the model cannot mend:
 * the caller's own abort, and a store or queue that is away.
 */
import { z } from "zod";
import { bytesOfText, defaultPayloadLimits, OuterloopError, messageOf } from "@outerloop/core/domain";
import type {
  ErrorCode,
  JsonObject,
  PayloadLimits,
  Skill,
  Tool,
  ToolCall,
  ToolContext,
  ToolOutcome,
  ToolSpec,
} from "@outerloop/core/domain";

/** Characters of one result: about 5,000 tokens, so that ten of them still leave most of a model's context. */
export const maxResultChars = 20_000;

export type RegisteredTool = Tool<never>;

export interface Registry {
  /** Throws `conflict` where a name is taken; then nothing of the bundle is registered. */
  register(skill: Skill): void;
  /** Whether there was such a bundle. Calls under way finish. */
  unregister(skillName: string): boolean;
  skills(): readonly Skill[];
  /** All tools, or those of these names that exist, as a model is told of them. */
  specs(names?: readonly string[]): ToolSpec[];
  get(toolName: string): RegisteredTool | undefined;
  run(call: Pick<ToolCall, "name" | "args">, context: ToolContext): Promise<ToolOutcome>;
}

/** What one call may be given and may give. */
export type ToolLimits = Pick<PayloadLimits, "toolResultBytes" | "fileBytes" | "noteChars">;

export function createRegistry(skills: readonly Skill[] = [], limits: ToolLimits = defaultPayloadLimits): Registry {
  const bundles = new Map<string, Skill>();
  const tools = new Map<string, RegisteredTool>();
  const specs = new Map<string, ToolSpec>();

  const register = (skill: Skill) => {
    if (bundles.has(skill.name))
      throw new OuterloopError("conflict", `a skill "${skill.name}" is registered already; unregister it first`);
    const names = skill.tools.map((tool) => tool.name);
    const taken = names.find((name, index) => tools.has(name) || names.indexOf(name) !== index);
    if (taken)
      throw new OuterloopError(
        "conflict",
        `skill "${skill.name}" offers the tool "${taken}", a name that is taken; rename one of them`,
      );
    bundles.set(skill.name, skill);
    for (const tool of skill.tools) {
      tools.set(tool.name, tool);
      specs.set(tool.name, specOf(tool));
    }
  };
  for (const skill of skills) register(skill);

  return {
    register,
    unregister(skillName) {
      for (const tool of bundles.get(skillName)?.tools ?? []) {
        tools.delete(tool.name);
        specs.delete(tool.name);
      }
      return bundles.delete(skillName);
    },
    skills: () => [...bundles.values()],
    specs: (names) => (names ?? [...specs.keys()]).flatMap((name) => specs.get(name) ?? []),
    get: (toolName) => tools.get(toolName),
    async run(call, context) {
      const tool = tools.get(call.name);
      if (!tool)
        return { ok: false, text: `There is no tool "${call.name}". There are: ${[...tools.keys()].join(", ")}.` };
      const malformed = call.args["malformed"];
      if (typeof malformed === "string" && Object.keys(call.args).length === 1)
        return {
          ok: false,
          text: `${call.name} was not run, its arguments are no JSON object that can be read: ${malformed.slice(0, 200)}`,
        };
      const args = tool.input.safeParse(call.args);
      if (!args.success) return { ok: false, text: explainArgs(tool, args.error) };
      return cutOutcome(boundOutcome(tool, await runBounded(tool, args.data, context), limits));
    },
  };
}

function specOf(tool: RegisteredTool): ToolSpec {
  const { $schema: _, ...parameters } = z.toJSONSchema(tool.input, { io: "input", unrepresentable: "any" });
  return { name: tool.name, description: tool.description, parameters: parameters as JsonObject };
}

function explainArgs(tool: RegisteredTool, error: z.ZodError): string {
  const faults = error.issues.map((issue) => `${issue.path.join(".") || "arguments"}: ${issue.message}`);
  const schema =
    tool.input instanceof z.ZodObject
      ? ` ${tool.name} takes: ${Object.keys(tool.input.shape).join(", ") || "no arguments"}.`
      : "";
  return `${tool.name} was not run, its arguments do not fit. ${faults.join("; ")}.${schema}`;
}

/** Not the call's fault, so not a result: the step runs again when the service is back. */
const outages: ReadonlySet<ErrorCode> = new Set(["store_unavailable", "queue_unavailable", "model_unavailable"]);

async function runBounded(tool: RegisteredTool, args: never, context: ToolContext): Promise<ToolOutcome> {
  const deadline = new AbortController();
  const signal = AbortSignal.any([context.signal, deadline.signal]);
  const timer = setTimeout(() => deadline.abort(), tool.timeoutMs);
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    if (context.signal.aborted) throw cancelled(tool, context);
    // A tool that ignores its signal is left behind; what it may still do is bounded by its effect.
    return await Promise.race([tool.run(args, { ...context, signal }), aborted.promise]);
  } catch (thrown) {
    if (context.signal.aborted) throw cancelled(tool, context);
    if (deadline.signal.aborted)
      return {
        ok: false,
        text: `${tool.name} took longer than ${tool.timeoutMs / 1000} s and was stopped. Ask for less at once.`,
      };
    if (thrown instanceof OuterloopError && outages.has(thrown.code)) throw thrown;
    return { ok: false, text: `${tool.name} failed: ${messageOf(thrown)}` };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  }
}

function cancelled(tool: RegisteredTool, context: ToolContext): OuterloopError {
  return new OuterloopError("cancelled", `${tool.name} of task ${context.taskId} was stopped: its caller gave it up`, {
    cause: context.signal.reason,
  });
}

/** What is too large to keep is an error that says how large it may be; nothing of it is written. */
function boundOutcome(tool: RegisteredTool, outcome: ToolOutcome, limits: ToolLimits): ToolOutcome {
  const why = tooLarge(outcome, limits);
  if (why === null) return outcome;
  // What reached out has happened: the model must not think that it can be tried again.
  if (tool.effect === "external" && outcome.ok)
    return { ok: true, text: `${tool.name} was carried out, but ${why}, so it was not kept.` };
  return { ok: false, text: `${tool.name} failed: ${why}. Ask for less, or in pieces.` };
}

function tooLarge(outcome: ToolOutcome, limits: ToolLimits): string | null {
  const over = (what: string, size: number, limit: number, unit: string) =>
    size > limit ? `${what} has ${size} ${unit}, more than the ${limit} that it may have` : null;
  const result = over("its result", bytesOfText(outcome.text), limits.toolResultBytes, "bytes");
  if (result !== null || !outcome.ok) return result;
  for (const write of outcome.writes ?? []) {
    const why =
      write.kind === "file"
        ? over(`what it writes to ${write.path}`, bytesOfText(write.text), limits.fileBytes, "bytes")
        : over("the note", write.text.length, limits.noteChars, "characters");
    if (why !== null) return why;
  }
  return null;
}

/** Also takes out what Postgres cannot store: NUL, and halves of a character that a cut left. */
function cutOutcome(outcome: ToolOutcome): ToolOutcome {
  const text = outcome.text.slice(0, maxResultChars).replaceAll("\0", "\uFFFD").toWellFormed();
  const rest = outcome.text.length - text.length;
  return {
    ...outcome,
    text:
      rest <= 0
        ? text
        : `${text}\n… cut: ${rest} of ${outcome.text.length} characters left out. Ask for a smaller part to read on.`,
  };
}
