/**
 * The ReAct loop as a pure machine: from a task and the steps journaled so far to what comes next. The worker makes the
 * calls and journals them; after a crash the same function goes on from the same journal.
 */
import { assistantMessage, toolResult } from "../domain/request-refs.ts";
import { section } from "../domain/section.ts";
import type { Goal } from "../domain/goal.ts";
import type { Message, ModelRequest, ToolCall, ToolSpec } from "../domain/model.ts";
import type { MessageRef, ModelStep, Step, ToolStep } from "../domain/step.ts";
import type { Task } from "../domain/task.ts";
import type { RecalledMemory } from "../domain/tool.ts";
import { dependencyPart, goalPart, memoryParts, sessionParts, type SessionTurn } from "./prompt-parts.ts";
import { systemPrompts } from "./prompts.ts";

export interface ExecutionLimits {
  /** Tool calls of one attempt. */
  readonly maxToolCalls: number;
  /** Characters of a whole request; past it the oldest tool results are left out. */
  readonly maxRequestChars: number;
}

/** DESIGN §6: at most 10 tool calls. 400,000 characters are about 100,000 tokens, half of what today's models take. */
export const defaultExecutionLimits: ExecutionLimits = { maxToolCalls: 10, maxRequestChars: 400_000 };
/** Turns that ask for tools after the last one was spent, before the attempt is ended. */
const maxDeafTurns = 2;

export interface ExecutionState {
  readonly task: Task;
  /** What the first message says; kept from the first step on. */
  readonly parts: readonly string[];
  readonly tools: readonly ToolSpec[];
  /** The steps of this attempt, by position. */
  readonly steps: readonly Step[];
  readonly limits: ExecutionLimits;
}

export interface PendingCall {
  readonly seq: number;
  readonly call: ToolCall;
  /** Past the attempt's tool calls: answered without running. */
  readonly refused: boolean;
  /** What its result must add, so that the model knows to answer next. */
  readonly note: string;
}

export type ExecutionMove =
  | {
      readonly kind: "model";
      readonly seq: number;
      readonly request: ModelRequest;
      readonly added: readonly MessageRef<string>[];
      readonly elided: readonly number[];
    }
  | { readonly kind: "tools"; readonly calls: readonly PendingCall[] }
  | { readonly kind: "finish"; readonly result: string }
  | { readonly kind: "give_up"; readonly reason: string };

export interface ExecutionContext {
  readonly goal: Goal;
  readonly session: readonly SessionTurn[];
  readonly dependencies: readonly Task[];
  readonly memories: readonly RecalledMemory[];
}

/** The first message of an attempt. */
export function executionParts(task: Task, context: ExecutionContext): string[] {
  return [
    goalPart(context.goal),
    ...sessionParts(context.session),
    ...context.dependencies.map(dependencyPart),
    ...memoryParts(context.memories),
    ...(task.hint === null ? [] : [section("hint", { attempt: task.attempt }, task.hint)]),
    section("evidence", {}, task.evidence.map((item) => JSON.stringify(item)).join("\n")),
    section("task", { id: task.key, attempt: task.attempt, depth: task.depth }, task.text),
    section("request", {}, "Do this task now."),
  ];
}

const lastCallNote = "\n\n(That was the last tool call of this task. Answer now with what you have.)";

export const refusedCallText = "Not run: the tool calls of this task are used up. Answer now with what you have.";

/** What comes next. Ends: every model turn either adds tool steps, of which there are at most `maxToolCalls`, or finishes, or is one of `maxDeafTurns`. */
export function nextExecutionMove(state: ExecutionState): ExecutionMove {
  const turns = turnsOf(state.steps);
  const last = turns.at(-1);
  if (last === undefined) return modelMove(state, turns, 1);

  const { message, stop } = last.model.output;
  if (message.toolCalls.length === 0) {
    if (message.text.trim()) return { kind: "finish", result: message.text.trim() };
    return {
      kind: "give_up",
      reason: stop === "end" ? "the model answered with nothing" : `the model stopped: ${stop}`,
    };
  }
  const answered = new Set(last.tools.map((step) => step.seq));
  const ran = turns.slice(0, -1).reduce((sum, turn) => sum + turn.tools.length, 0);
  const missing = message.toolCalls
    .map((call, index) => ({
      seq: last.model.seq + 1 + index,
      call,
      refused: ran + index >= state.limits.maxToolCalls,
      note: ran + index === state.limits.maxToolCalls - 1 ? lastCallNote : "",
    }))
    .filter((pending) => !answered.has(pending.seq));
  if (missing.length > 0) return { kind: "tools", calls: missing };

  const spent = ran + message.toolCalls.length;
  const deaf = turns.filter(
    (_, index) => turns.slice(0, index).reduce((sum, turn) => sum + turn.tools.length, 0) >= state.limits.maxToolCalls,
  ).length;
  if (spent > state.limits.maxToolCalls && deaf >= maxDeafTurns)
    return {
      kind: "give_up",
      reason: `asked for more tools after ${state.limits.maxToolCalls} calls instead of answering`,
    };
  return modelMove(state, turns, last.model.seq + 1 + message.toolCalls.length);
}

interface Turn {
  readonly model: ModelStep;
  readonly tools: readonly ToolStep[];
}

function turnsOf(steps: readonly Step[]): Turn[] {
  const turns: { model: ModelStep; tools: ToolStep[] }[] = [];
  for (const step of steps.toSorted((a, b) => a.seq - b.seq)) {
    if (step.kind === "model") turns.push({ model: step, tools: [] });
    else turns.at(-1)?.tools.push(step);
  }
  return turns;
}

function modelMove(state: ExecutionState, turns: readonly Turn[], seq: number): ExecutionMove {
  const elided = chooseElided(state, turns);
  const messages: Message[] = [{ role: "user", parts: state.parts }];
  for (const turn of turns)
    messages.push(assistantMessage(turn.model, elided), {
      role: "tool",
      results: turn.tools.map((step) => toolResult(step, elided)),
    });
  const latest = turns.at(-1);
  return {
    kind: "model",
    seq,
    elided: [...elided],
    added:
      latest === undefined
        ? [{ role: "user", parts: state.parts }]
        : [
            { role: "assistant", seq: latest.model.seq },
            { role: "tool", seqs: latest.tools.map((step) => step.seq) },
          ],
    request: {
      stage: "execute",
      system: systemPrompts.execute,
      messages,
      tools: state.tools,
      maxOutputTokens: 8000,
    },
  };
}

/** The oldest results go first; the newest turn is always whole. */
function chooseElided(state: ExecutionState, turns: readonly Turn[]): ReadonlySet<number> {
  let chars = state.parts.reduce((sum, part) => sum + part.length, 0);
  for (const turn of turns) {
    chars += turn.model.output.message.text.length + JSON.stringify(turn.model.output.message.toolCalls).length;
    for (const step of turn.tools) chars += step.output.text.length;
  }
  const elided = new Set<number>();
  for (const step of turns.slice(0, -1).flatMap((turn) => turn.tools)) {
    if (chars <= state.limits.maxRequestChars) break;
    chars -= step.output.text.length;
    elided.add(step.seq);
  }
  return elided;
}
