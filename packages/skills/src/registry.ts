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
  Probed,
  Skill,
  Tool,
  ToolCall,
  ToolContext,
  ToolOutcome,
  ToolSpec,
} from "@outerloop/core/domain";

/** Characters of what a probe says. */
const maxProbedChars = 20_000;

export type RegisteredTool = Tool<never>;

export interface Registry {
  /** Throws `conflict` where a name is taken; then nothing of the bundle is registered. */
  register(skill: Skill): void;
  /** Whether there was such a bundle. Calls under way finish. */
  unregister(skillName: string): boolean;
  skills(): readonly Skill[];
  /** All tools, or those of these names that exist, as a model is told of them. */
  specs(names?: readonly string[]): readonly ToolSpec[];
  get(toolName: string): RegisteredTool | undefined;
  /** What is wrong with a call before it runs, for the model to mend; null where nothing is. */
  check(call: Pick<ToolCall, "name" | "args">): string | null;
  run(call: Pick<ToolCall, "name" | "args">, context: ToolContext): Promise<ToolOutcome>;
  /** Whether the receiver of this external call takes a repeated key for the same call. */
  deduplicates(call: Pick<ToolCall, "name" | "args">): boolean;
  /** Asks the receiver whether the call with the context's key happened. A probe that fails knows nothing. */
  probe(call: Pick<ToolCall, "name" | "args">, context: ToolContext): Promise<Probed>;
}

/** Combinations of tools that are remembered; plans ask for few. */
const maxOffers = 500;

/** What one call may be given and may give. */
export type ToolLimits = Pick<PayloadLimits, "toolResultBytes" | "fileBytes" | "noteChars">;

export function createRegistry(skills: readonly Skill[] = [], limits: ToolLimits = defaultPayloadLimits): Registry {
  const bundles = new Map<string, Skill>();
  const tools = new Map<string, RegisteredTool>();
  const specs = new Map<string, ToolSpec>();
  /** The same list for the same names, so that what is worked out about one is worked out once. */
  const offers = new Map<string, readonly ToolSpec[]>();

  /** The tool and its parsed arguments, or what is wrong. */
  const resolve = (
    call: Pick<ToolCall, "name" | "args">,
  ):
    | { readonly ok: true; readonly tool: RegisteredTool; readonly args: never }
    | { readonly ok: false; readonly text: string } => {
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
    return args.success ? { ok: true, tool, args: args.data } : { ok: false, text: explainArgs(tool, args.error) };
  };

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
    offers.clear();
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
      offers.clear();
      for (const tool of bundles.get(skillName)?.tools ?? []) {
        tools.delete(tool.name);
        specs.delete(tool.name);
      }
      return bundles.delete(skillName);
    },
    skills: () => [...bundles.values()],
    specs(names = [...specs.keys()]) {
      const offer = names.join("\n");
      const known = offers.get(offer);
      if (known !== undefined) return known;
      const offered = names.flatMap((name) => specs.get(name) ?? []);
      if (offers.size === maxOffers) offers.clear();
      offers.set(offer, offered);
      return offered;
    },
    get: (toolName) => tools.get(toolName),
    check(call) {
      const resolved = resolve(call);
      return resolved.ok ? null : resolved.text;
    },
    async run(call, context) {
      const resolved = resolve(call);
      if (!resolved.ok) return resolved;
      const { tool, args } = resolved;
      return cleanOutcome(
        tool,
        boundOutcome(tool, await runBounded(tool, context, (bounded) => tool.run(args, bounded)), limits),
      );
    },
    deduplicates(call) {
      const resolved = resolve(call);
      if (!resolved.ok || resolved.tool.effect !== "external") return false;
      const { deduplicates } = resolved.tool;
      return typeof deduplicates === "function" ? deduplicates(resolved.args) : deduplicates === true;
    },
    async probe(call, context) {
      const resolved = resolve(call);
      if (!resolved.ok || resolved.tool.effect !== "external") return { kind: "unknown" };
      const { tool, args } = resolved;
      const ask = resolved.tool.reconcile;
      if (ask === undefined) return { kind: "unknown" };
      const probed = await runBounded(tool, context, (bounded) => ask(args, bounded));
      if (typeof probed !== "object" || probed === null || !("kind" in probed)) return { kind: "unknown" };
      return probed.kind === "done"
        ? { kind: "done", text: storableText(String(probed.text).slice(0, maxProbedChars)) }
        : probed;
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

/** What a call that gave no answer means: one that reaches out may have happened all the same. */
function unanswered(tool: RegisteredTool, text: string): ToolOutcome {
  return tool.effect === "external" ? { ok: false, unknown: true, text } : { ok: false, text };
}

async function runBounded<Answer>(
  tool: RegisteredTool,
  context: ToolContext,
  run: (context: ToolContext) => Promise<Answer>,
): Promise<Answer | ToolOutcome> {
  const deadline = new AbortController();
  const signal = AbortSignal.any([context.signal, deadline.signal]);
  const timer = setTimeout(() => deadline.abort(), tool.timeoutMs);
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    if (context.signal.aborted) throw cancelled(tool, context);
    // A tool that ignores its signal is left behind; what it may still do is bounded by its effect.
    return await Promise.race([run({ ...context, signal }), aborted.promise]);
  } catch (thrown) {
    if (context.signal.aborted) throw cancelled(tool, context);
    if (deadline.signal.aborted)
      return unanswered(
        tool,
        `${tool.name} took longer than ${tool.timeoutMs / 1000} s and was stopped. Ask for less at once.`,
      );
    if (thrown instanceof OuterloopError && outages.has(thrown.code)) throw thrown;
    return unanswered(tool, `${tool.name} failed: ${messageOf(thrown)}`);
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
  // What may have happened all the same stays so, however much it has to say.
  return {
    ok: false,
    text: `${tool.name} failed: ${why}. Ask for less, or in pieces.`,
    ...(!outcome.ok && outcome.unknown === true && { unknown: true }),
  };
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

function cleanOutcome(tool: RegisteredTool, outcome: ToolOutcome): ToolOutcome {
  if (outcome.ok && outcome.wait !== undefined && tool.effect !== "pure")
    return unanswered(tool, `${tool.name} asked to wait, which only a tool without effects may.`);
  return { ...outcome, text: storableText(outcome.text) };
}

/** Postgres can store neither NUL nor half of a character. */
function storableText(text: string): string {
  return text.replaceAll("\0", "\uFFFD").toWellFormed();
}
