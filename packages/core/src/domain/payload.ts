/**
 * How large a payload may be (W4), checked before anything is written. A model's answer that is too large ends its task; a
 * call's arguments or result that are too large are an error of that call, which the model reads.
 */
import type { JsonObject } from "./json.ts";
import type { AssistantMessage, ToolCall } from "./model.ts";

export interface PayloadLimits {
  /** Of a model's whole answer: text, calls and what its provider wants back. */
  readonly answerBytes: number;
  /** Of one call's arguments. */
  readonly toolArgsBytes: number;
  /** Of one call's result as its tool gives it; what the model is shown of it is shorter. */
  readonly toolResultBytes: number;
  /** Of one write to a file. */
  readonly fileBytes: number;
  readonly noteChars: number;
  /** Of one plan. */
  readonly planTasks: number;
}

export const defaultPayloadLimits: PayloadLimits = {
  answerBytes: 8 * 1024 * 1024,
  toolArgsBytes: 4 * 1024 * 1024,
  toolResultBytes: 1024 * 1024,
  fileBytes: 4 * 1024 * 1024,
  noteChars: 20_000,
  planTasks: 50,
};

/** What people and schemas nest. Postgres and V8 give up at some thousands, in ways that end more than the call. */
export const maxArgsDepth = 64;

const encoder = new TextEncoder();

export function bytesOfText(text: string): number {
  return encoder.encode(text).length;
}

export type BoundAnswer =
  | { readonly ok: true; readonly message: AssistantMessage }
  | { readonly ok: false; readonly why: string };

/**
 * An answer within its limits: arguments that are too deep or too large are replaced by `{ malformed: why }`, which is an
 * error of their call.
 */
export function boundAnswer(
  message: AssistantMessage,
  limits: Pick<PayloadLimits, "answerBytes" | "toolArgsBytes">,
): BoundAnswer {
  // Deep ones first: nothing that recurses may look at them.
  const isDeep = message.toolCalls.some((call) => isDeeper(call.args, maxArgsDepth));
  const shallow = isDeep ? withoutOpaque(message, message.toolCalls.map(boundDepth)) : message;
  const size = bytesOfText(JSON.stringify(shallow));
  if (size > limits.answerBytes)
    return {
      ok: false,
      why: `the model's answer has ${size} bytes, more than the ${limits.answerBytes} that it may have`,
    };
  if (size <= limits.toolArgsBytes) return { ok: true, message: shallow };
  const calls = shallow.toolCalls.map((call) => boundSize(call, limits.toolArgsBytes));
  const isBound = calls.some((call, index) => call !== shallow.toolCalls[index]);
  return { ok: true, message: isBound ? withoutOpaque(shallow, calls) : shallow };
}

/** What a provider bound to the exact turn goes with what was changed of it. */
function withoutOpaque(message: AssistantMessage, toolCalls: readonly ToolCall[]): AssistantMessage {
  return { role: "assistant", text: message.text, toolCalls };
}

function boundDepth(call: ToolCall): ToolCall {
  if (!isDeeper(call.args, maxArgsDepth)) return call;
  return { ...call, args: malformed(`they are nested more than ${maxArgsDepth} levels deep; flatten them`) };
}

function boundSize(call: ToolCall, limit: number): ToolCall {
  const size = bytesOfText(JSON.stringify(call.args));
  if (size <= limit) return call;
  return {
    ...call,
    args: malformed(`they have ${size} bytes, more than the ${limit} that they may have; send less at once`),
  };
}

const malformed = (why: string): JsonObject => ({ malformed: why });

/** Without recursion. */
export function isDeeper(value: unknown, most: number): boolean {
  let level: unknown[] = [value];
  // Ends: each round goes one level down, and no further than `most`.
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth >= most) return true;
    level = level.flatMap((each) => (each !== null && typeof each === "object" ? Object.values(each) : []));
    level = level.filter((each) => each !== null && typeof each === "object");
  }
  return false;
}
