/**
 * Structured answers in two pure steps, so that whoever drives them can journal each call: read what came back; where
 * it does not fit, ask once more with the reason.
 */
import { z } from "zod";
import { OuterloopError } from "../domain/errors.ts";
import type { AssistantMessage, ModelRequest, ModelResponse } from "../domain/model.ts";

export type StructuredRead<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly why: string };

/** Enough for a model to find its mistake. */
const longestWhy = 1000;

/** Local models write their thoughts first, or wrap the JSON in a fence or in prose. */
const thoughts = /^\s*<think>[\s\S]*?<\/think>/;
const fence = /```(?:json)?\s*\n([\s\S]*?)\n\s*```/;

export function readStructured<Value>(text: string, schema: z.ZodType<Value>): StructuredRead<Value> {
  const json = parseJson(text.replace(thoughts, ""));
  if (json === undefined) {
    const why = text.trim() === "" ? "the answer was empty" : "the answer was not JSON";
    return { ok: false, why };
  }
  const read = schema.safeParse(json);
  return read.success
    ? { ok: true, value: read.data }
    : { ok: false, why: z.prettifyError(read.error).slice(0, longestWhy) };
}

/** undefined where there is none: JSON itself has no undefined. */
function parseJson(text: string): unknown {
  const candidates = [text, fence.exec(text)?.[1], text.slice(text.indexOf("{"), text.lastIndexOf("}") + 1)];
  for (const candidate of candidates) {
    try {
      if (candidate) return JSON.parse(candidate);
    } catch {
      // The next reading may do.
    }
  }
  return undefined;
}

/** The request that asks again: the same, plus the answer and what is wrong with it. */
export function repairRequest(
  request: ModelRequest,
  response: Pick<ModelResponse, "message">,
  why: string,
): ModelRequest {
  const instruction = `Your answer could not be used:\n${why}\nAnswer again with the complete, corrected JSON and nothing else.`;
  return {
    ...request,
    messages: [...request.messages, ...answerOf(response.message), { role: "user", parts: [instruction] }],
  };
}

/** Without calls of tools, which would want results, and then also without what is bound to them. */
function answerOf(message: AssistantMessage): AssistantMessage[] {
  if (message.text === "") return [];
  return message.toolCalls.length === 0 ? [message] : [{ role: "assistant", text: message.text, toolCalls: [] }];
}

/** What to throw when the repair did not fit either. */
export function unusableAnswer(request: ModelRequest, why: string): OuterloopError {
  const wanted = request.output ? `a ${request.output.name}` : "JSON";
  return new OuterloopError(
    "model_output",
    `${request.stage}: the model did not answer with ${wanted}, also not when told why: ${why}`,
  );
}
