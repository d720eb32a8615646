/** What the scripted server says and sees, in terms that the three protocols share. */
import type { JsonObject } from "../../domain/json.ts";
import type { StopReason, Usage } from "../../domain/model.ts";

export type Protocol = "responses" | "chat" | "anthropic";

/** One request, without the wording of its prompts: scripts decide by names and counts, so prompts can change freely. */
export interface Seen {
  readonly protocol: Protocol;
  readonly model: string;
  /** The name of the structured output that was asked for: `plan`, `verdict`, `intake`. */
  readonly outputName: string | undefined;
  readonly toolNames: readonly string[];
  /** Messages of the conversation, without the system prompt; each tool result counts as one. */
  readonly messageCount: number;
  /** Results of the calls of the last assistant turn; empty where a user spoke last. */
  readonly lastToolResults: readonly { readonly callId: string; readonly text: string }[];
  /** Counted from 1 over the server's life. */
  readonly number: number;
  /** The request as it came, for tests of the translation itself. */
  readonly body: JsonObject;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Path and query. */
  readonly url: string;
  /** Resolves when the client hangs up before the answer is complete; never otherwise. */
  readonly hungUp: Promise<void>;
}

export interface ScriptedCall {
  readonly name: string;
  /** A string is sent as it is, to be malformed. */
  readonly args: JsonObject | string;
  readonly id?: string;
}

export interface ScriptedAnswer {
  readonly text?: string;
  /** Sent as text; the answer to a request for structured output. */
  readonly json?: unknown;
  readonly toolCalls?: readonly ScriptedCall[];
  readonly refusal?: string;
  /** Thought first, kept by the client and sent back. */
  readonly reasoning?: string;
  /** By default what follows from the rest. */
  readonly stop?: StopReason;
  readonly usage?: ScriptedUsage;
  /** After the text and before the end: stay silent, cut the connection, or end with an event that is no JSON. */
  readonly after?: "hang" | "break" | "garbage";
  /** After the text and before the end: waits for this. */
  readonly hold?: () => Promise<unknown>;
}

export interface ScriptedUsage extends Usage {
  /** Part of `inputTokens`. */
  readonly cacheWriteTokens?: number;
}

export interface ScriptedError {
  readonly error: {
    readonly status: number;
    readonly message: string;
    readonly code?: string;
    readonly headers?: Readonly<Record<string, string>>;
  };
}

/** `hang`: not even headers come back. */
export type Scripted = ScriptedAnswer | ScriptedError | "hang";
export type Script = (seen: Seen) => Scripted | Promise<Scripted>;

/** One server-sent event. */
export interface Frame {
  readonly event?: string;
  readonly data: unknown;
}

/** A protocol: how to read a request, and how to say an answer. `tail` comes after what `after` interrupts. */
export interface Dialect {
  readonly protocol: Protocol;
  readonly path: RegExp;
  read(body: JsonObject): Omit<Seen, "protocol" | "model" | "number" | "body" | "headers" | "url" | "hungUp">;
  say(answer: SpokenAnswer): { readonly head: readonly Frame[]; readonly tail: readonly Frame[] };
  sayError(error: ScriptedError["error"]): unknown;
}

/** An answer with its gaps filled. */
export interface SpokenAnswer {
  readonly id: string;
  readonly model: string;
  readonly text: string;
  readonly reasoning: string | undefined;
  readonly refusal: string | undefined;
  readonly calls: readonly { readonly id: string; readonly name: string; readonly argsText: string }[];
  readonly stop: StopReason;
  readonly usage: ScriptedUsage;
}

/** In two pieces, so that a client which reads only the first notices. */
export function pieces(text: string): string[] {
  const middle = Math.ceil(text.length / 2);
  return [text.slice(0, middle), text.slice(middle)].filter((piece) => piece !== "");
}
