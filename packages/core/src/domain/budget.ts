/**
 * What a model call may cost at most, told before it is made, and whether what is held covers it (DESIGN §6). Pure: the
 * store reserves, workers ask.
 *
 * 1. An estimate is never below what a provider bills: a token of a byte-level vocabulary is at least one byte.
 * 2. A call's answer is cut to what is held, but not below what is still useful.
 */
import type { ModelRequest, Usage } from "./model.ts";

/** What a claim holds of its goal's budgets. */
export interface Held {
  readonly steps: number;
  readonly tokens: number;
  readonly microUsd: number;
  /** Whether money is limited, by the goal or its tenant. */
  readonly money: boolean;
}

/** Of a tenant's budgets; days and months are of UTC. */
export const budgetPeriods = ["day", "month", "total"] as const;
export type BudgetPeriod = (typeof budgetPeriods)[number];

/** Upper bound of a call's price in micro-dollars; null where no price is known. */
export type PriceCall = (inputTokens: number, outputTokens: number) => number | null;

export interface CallNeeds {
  readonly steps: number;
  readonly tokens: number;
  /** What the shortest useful answer takes. */
  readonly fewestTokens: number;
  /** null where no price is known. */
  readonly microUsd: number | null;
  readonly fewestMicroUsd: number | null;
}

/** An answer shorter than this helps nobody: a verdict, a tool call or a short result fits in. */
export const usefulOutputTokens = 1024;
/** What providers add to a prompt that tools or a schema come with, and to each message. */
const requestOverheadTokens = 600;
const messageOverheadTokens = 16;
/** For what the next tool results add, each; larger ones cost one more commit. */
const nextResultTokens = 6000;
const nextResultsAtMost = 30_000;

const bytesOf = (text: string) => Buffer.byteLength(text);
const bytesOfJson = (value: unknown) => bytesOf(JSON.stringify(value));
/** Tools are the same in request after request. */
const knownTools = new WeakMap<ModelRequest["tools"], number>();

function bytesOfTools(tools: ModelRequest["tools"]): number {
  const bytes = knownTools.get(tools) ?? bytesOfJson(tools);
  knownTools.set(tools, bytes);
  return bytes;
}

/** @param before what the provider billed for the same conversation without its last message, where that is known */
export function mostInputTokens(request: ModelRequest, before?: Usage): number {
  const messages = request.messages.reduce((sum, message) => sum + bytesOfJson(message) + messageOverheadTokens, 0);
  const whole =
    requestOverheadTokens +
    bytesOf(request.system) +
    messages +
    (request.tools.length > 0 ? bytesOfTools(request.tools) : 0) +
    (request.output === undefined ? 0 : bytesOfJson(request.output.schema));
  // A server that reports no usage tells nothing.
  if (before === undefined || before.inputTokens === 0) return whole;
  const added = bytesOfJson(request.messages.at(-1)) + 2 * messageOverheadTokens;
  return Math.min(whole, before.inputTokens + before.outputTokens + added);
}

export function callNeeds(request: ModelRequest, price: PriceCall, before?: Usage): CallNeeds {
  const input = mostInputTokens(request, before);
  const fewest = Math.min(usefulOutputTokens, request.maxOutputTokens);
  return {
    steps: 1,
    tokens: input + request.maxOutputTokens,
    fewestTokens: input + fewest,
    microUsd: price(input, request.maxOutputTokens),
    fewestMicroUsd: price(input, fewest),
  };
}

/** Whether the call may be made with what is held, whole. */
export function covers(held: Held, needs: CallNeeds): boolean {
  if (held.steps < needs.steps || held.tokens < needs.tokens) return false;
  return !held.money || (needs.microUsd !== null && held.microUsd >= needs.microUsd);
}

/**
 * The longest answer that what is held pays for, at most what the request asks for.
 * @returns undefined where not even the shortest useful one is paid for
 */
export function affordableOutput(
  held: Held,
  request: ModelRequest,
  price: PriceCall,
  before?: Usage,
): number | undefined {
  const input = mostInputTokens(request, before);
  const fewest = Math.min(usefulOutputTokens, request.maxOutputTokens);
  const pays = (output: number) => {
    const cost = price(input, output);
    return (
      held.steps >= 1 && input + output <= held.tokens && (!held.money || (cost !== null && cost <= held.microUsd))
    );
  };
  if (!pays(fewest)) return undefined;
  // Bisection: price tables are monotonic, but not always linear.
  let low = fewest;
  let high = request.maxOutputTokens;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (pays(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** What to hold for the model call after this one and its tool calls, in the commit that journals it. */
export function nextCallTokens(usage: Usage, toolCalls: number, maxOutputTokens: number): number {
  return (
    usage.inputTokens + usage.outputTokens + Math.min(toolCalls * nextResultTokens, nextResultsAtMost) + maxOutputTokens
  );
}
