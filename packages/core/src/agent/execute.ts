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
import { dependencyPart, goalParts, memoryParts, sessionParts, type SessionTurn } from "./prompt-parts.ts";
import { noResult } from "./evidence.ts";
import { executePrompt } from "./execute.prompt.ts";
import { noticesOf, whyStuck, type Notice, type Turn } from "./stuck.ts";

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
    ...goalParts(context.goal),
    ...sessionParts(context.session),
    ...context.dependencies.map(dependencyPart),
    ...memoryParts(context.memories),
    ...(task.hint === null ? [] : [section("hint", { attempt: task.attempt }, task.hint)]),
    section("evidence", {}, task.evidence.map((item) => JSON.stringify(item)).join("\n")),
    section("task", { id: task.key, attempt: task.attempt, depth: task.depth }, task.text),
    section("request", {}, "Do this task now."),
  ];
}

const outOfCalls = "stuck: it asked for more tools";

/** Whether an attempt ended since its calls were used up: its task may be too big for one. */
export function ranOutOfCalls(result: string): boolean {
  return result.startsWith(noResult(outOfCalls).slice(0, -1));
}

const lastCallNote = "\n\n(That was the last tool call of this task. Answer now with what you have.)";

export const refusedCallText = "Not run: the tool calls of this task are used up. Answer now with what you have.";

/**
 * What comes next. Ends: every model turn either adds tool steps, of which there are at most `maxToolCalls`, or is one of
 * `maxDeafTurns`, or finishes, or is told something that it is told once.
 */
export function nextExecutionMove(state: ExecutionState): ExecutionMove {
  const turns = turnsOf(state.steps);
  const last = turns.at(-1);
  if (last === undefined) return modelMove(state, turns, [], 1);

  const { message, stop } = last.model.output;
  const notices = noticesOf(turns);
  const stuck = whyStuck(notices);
  if (message.toolCalls.length === 0) {
    const text = message.text.trim();
    // Told once that it was cut off, its answer is taken as far as it goes.
    if (text !== "" && (notices.at(-1) === null || stuck !== null))
      return { kind: "finish", result: stop === "length" ? `${text}\n… (cut off: the answer was too long)` : text };
    if (stuck !== null || notices.at(-1) === null)
      return { kind: "give_up", reason: stuck ?? `the model stopped: ${stop}` };
    return modelMove(state, turns, notices, last.model.seq + 1);
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
  if (stuck !== null) return { kind: "give_up", reason: stuck };

  const spent = ran + message.toolCalls.length;
  const deaf = turns.filter(
    (_, index) => turns.slice(0, index).reduce((sum, turn) => sum + turn.tools.length, 0) >= state.limits.maxToolCalls,
  ).length;
  if (spent > state.limits.maxToolCalls && deaf >= maxDeafTurns)
    return {
      kind: "give_up",
      reason: `${outOfCalls} after ${state.limits.maxToolCalls} calls instead of answering`,
    };
  return modelMove(state, turns, notices, last.model.seq + 1 + message.toolCalls.length);
}

function turnsOf(steps: readonly Step[]): Turn[] {
  const turns: { model: ModelStep; tools: ToolStep[] }[] = [];
  for (const step of steps.toSorted((a, b) => a.seq - b.seq)) {
    if (step.kind === "model") turns.push({ model: step, tools: [] });
    else turns.at(-1)?.tools.push(step);
  }
  return turns;
}

function modelMove(
  state: ExecutionState,
  turns: readonly Turn[],
  notices: readonly (Notice | null)[],
  seq: number,
): ExecutionMove {
  const elided = chooseElided(state, turns);
  const messages: Message[] = [{ role: "user", parts: state.parts }];
  for (const [index, turn] of turns.entries()) {
    // An empty turn is nothing that a provider takes back.
    if (hasSaid(turn)) messages.push(assistantMessage(turn.model, elided));
    if (turn.tools.length > 0)
      messages.push({ role: "tool", results: turn.tools.map((step) => toolResult(step, elided)) });
    messages.push(...noticeMessages(notices[index]));
  }
  const latest = turns.at(-1);
  return {
    kind: "model",
    seq,
    elided: [...elided],
    added:
      latest === undefined
        ? [{ role: "user", parts: state.parts }]
        : [
            ...(hasSaid(latest) ? [{ role: "assistant" as const, seq: latest.model.seq }] : []),
            ...(latest.tools.length > 0 ? [{ role: "tool" as const, seqs: latest.tools.map((step) => step.seq) }] : []),
            ...noticeMessages(notices.at(-1)),
          ],
    request: {
      stage: "execute",
      system: executePrompt,
      messages,
      tools: state.tools,
      maxOutputTokens: 8000,
    },
  };
}

const hasSaid = ({ model: { output } }: Turn) =>
  output.message.toolCalls.length > 0 || output.message.text.trim() !== "";

function noticeMessages(
  notice: Notice | null | undefined,
): { readonly role: "user"; readonly parts: readonly string[] }[] {
  return notice === null || notice === undefined ? [] : [{ role: "user", parts: [section("notice", {}, notice.text)] }];
}

/** Once a request is too long it is cut well below the limit, so that what is left of it stays the same for a while and is read from a provider's cache. */
const elideTo = 0.7;
/** Arguments of a call that are worth leaving out: a file's text, not a path. */
const minElidedArgsChars = 2000;

/** The oldest go first, results and long arguments alike; the newest turn is always whole, and every call keeps its result. */
function chooseElided(state: ExecutionState, turns: readonly Turn[]): ReadonlySet<number> {
  const argsChars = (turn: Turn) => JSON.stringify(turn.model.output.message.toolCalls).length;
  let chars = state.parts.reduce((sum, part) => sum + part.length, 0);
  for (const turn of turns) {
    chars += turn.model.output.message.text.length + argsChars(turn);
    for (const step of turn.tools) chars += step.output.text.length;
  }
  const elided = new Set<number>();
  if (chars <= state.limits.maxRequestChars) return elided;
  for (const turn of turns.slice(0, -1)) {
    const args = argsChars(turn);
    const parts = [
      ...turn.tools.map((step) => ({ seq: step.seq, chars: step.output.text.length })),
      ...(args >= minElidedArgsChars ? [{ seq: turn.model.seq, chars: args }] : []),
    ];
    for (const part of parts) {
      if (chars <= state.limits.maxRequestChars * elideTo) return elided;
      chars -= part.chars;
      elided.add(part.seq);
    }
  }
  return elided;
}
