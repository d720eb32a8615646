/** Reads a request back into what it is about. The offline model knows nothing but the request. */
import { readSections, type Section } from "../../domain/section.ts";
import type { ModelRequest, ToolCall, ToolResult } from "../../domain/model.ts";

export interface Prompt {
  /** The sections of the first user message, by tag, in order. */
  all(tag: string): readonly Section[];
  first(tag: string): Section | undefined;
  /** The body of the first section of a tag, or "". */
  body(tag: string): string;
}

export function readPrompt(request: ModelRequest): Prompt {
  const user = request.messages.find((message) => message.role === "user");
  const sections = user?.role === "user" ? user.parts.flatMap((part) => readSections(part)) : [];
  const all = (tag: string) => sections.filter((section) => section.tag === tag);
  return { all, first: (tag) => all(tag)[0], body: (tag) => all(tag)[0]?.body ?? "" };
}

export interface CallAndResult {
  readonly call: ToolCall;
  readonly result: ToolResult;
}

/** What was called so far in this attempt, turn by turn. */
export function turnsOf(request: ModelRequest): readonly (readonly CallAndResult[])[] {
  const turns: CallAndResult[][] = [];
  let calls: readonly ToolCall[] = [];
  for (const message of request.messages) {
    if (message.role === "assistant") calls = message.toolCalls;
    if (message.role !== "tool") continue;
    turns.push(
      message.results.flatMap((result) => {
        const call = calls.find((each) => each.id === result.callId);
        return call ? [{ call, result }] : [];
      }),
    );
  }
  return turns;
}
