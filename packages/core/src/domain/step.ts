/** The journal (W4): what each step was given and what it answered, enough to go on after a crash and to replay. */
import type { AssistantMessage, FailedTry, StopReason, Usage } from "./model.ts";
import type { JsonObject } from "./json.ts";

export type StepStage = "intake" | "plan" | "execute" | "reflect";

/**
 * The form in which this code writes journals; it reads this one and all before it. While a process that reads only older ones is
 * alive, as during an upgrade, all write what it can read.
 *
 * 1. Parts of requests by hash.
 * 2. Short parts as they are.
 */
export const journalFormat = 2;
const shortParts = 2;

/** Whether short parts of requests may stand in their step. */
export function takesShortParts(format: number): boolean {
  return format >= shortParts;
}

/** A part of a user's message: the hash by which its text is kept, or the text itself where that is short. */
export type PartRef = string | { readonly text: string };

export function isHash(part: PartRef): part is string {
  return typeof part === "string";
}

/** A model request, by references to its parts: what was added to the conversation since the step before. */
export interface RequestRefs {
  readonly system: string;
  /** Hash of the canonical JSON of the tool specs; they are kept once. */
  readonly tools: string;
  readonly output: string | null;
  readonly maxOutputTokens: number;
  readonly added: readonly MessageRef<PartRef>[];
  /** Steps whose results were left out of this request to keep it short. */
  readonly elided: readonly number[];
}

/** Assistant turns and tool results are in the journal already, so a message of theirs is only named. */
export type MessageRef<Part> =
  | { readonly role: "user"; readonly parts: readonly Part[] }
  | { readonly role: "assistant"; readonly seq: number }
  | { readonly role: "tool"; readonly seqs: readonly number[] };

export interface ModelStepOutput {
  readonly message: AssistantMessage;
  readonly stop: StopReason;
  readonly provider: string;
  readonly model: string;
  /** As its route names it; left out where that is provider and model. */
  readonly asked?: string;
  /** To the first token; left out where nobody saw it. */
  readonly firstTokenMs?: number;
  /** Of the price list that its cost was counted by. */
  readonly priceVersion?: string;
  /** What was asked before and did not answer usably; left out where the first did. */
  readonly tries?: readonly FailedTry[];
}

export interface ToolStepOutput {
  readonly callId: string;
  readonly text: string;
}

interface StepBase {
  readonly attempt: number;
  readonly seq: number;
  readonly stage: StepStage;
  readonly durationMs: number;
}

export interface ModelStep extends StepBase {
  readonly kind: "model";
  readonly input: RequestRefs;
  readonly output: ModelStepOutput;
  readonly usage: Usage;
  readonly costMicroUsd: number | null;
  readonly requestHash: string;
}

export interface ToolStep extends StepBase {
  readonly kind: "tool";
  readonly name: string;
  readonly args: JsonObject;
  readonly ok: boolean;
  readonly output: ToolStepOutput;
}

export type Step = ModelStep | ToolStep;
