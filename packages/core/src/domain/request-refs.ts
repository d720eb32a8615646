/**
 * Between a model request and what the journal keeps of it (W4): long parts once by hash, short ones as they are, assistant
 * turns and tool results by the steps that hold them. `rebuildRequest` gives the exact request back; its hash equals the recorded one.
 */
import { canonicalJson, type JsonObject } from "./json.ts";
import { outputSpecs } from "./plan.ts";
import type { AssistantMessage, Message, ModelRequest, OutputSpec, ToolResult, ToolSpec } from "./model.ts";
import { takesShortParts, type MessageRef, type ModelStep, type PartRef } from "./step.ts";
import type { RequestRefs, Step, ToolStep } from "./step.ts";

export type HashText = (text: string) => string;

export interface Kept {
  readonly hash: string;
  readonly body: string;
}

export interface DescribedRequest {
  readonly refs: RequestRefs;
  readonly requestHash: string;
  /** Texts of this goal. */
  readonly blobs: readonly Kept[];
  /** Texts shared by all goals: system prompts and tool schemas. */
  readonly prompts: readonly Kept[];
}

/** The section of a prompt that says what was recalled. */
export const memorySection = "memory";

/** A row of its own costs more than a text of this length, even one that is said again. */
const maxInlineChars = 1024;

/** What was recalled may have to be forgotten, so it is kept where it can be. */
function isInline(part: string): boolean {
  return part.length <= maxInlineChars && !part.startsWith(`<${memorySection} `);
}

/**
 * @param added what this request says that the one before it in the same attempt did not; user parts as texts
 * @param format of the journal that it goes to
 */
export function describeRequest(
  request: ModelRequest,
  added: readonly MessageRef<string>[],
  elided: readonly number[],
  hash: HashText,
  format: number,
): DescribedRequest {
  const blobs = new Map<string, string>();
  const keep = (text: string) => {
    const key = hash(text);
    blobs.set(key, text);
    return key;
  };
  const refer = (part: string): PartRef => (takesShortParts(format) && isInline(part) ? { text: part } : keep(part));
  const tools = canonicalTools(request.tools);
  const [system, toolsHash] = [hash(request.system), hash(tools)];
  return {
    refs: {
      system,
      tools: toolsHash,
      output: request.output?.name ?? null,
      maxOutputTokens: request.maxOutputTokens,
      added: added.map((ref) => (ref.role === "user" ? { role: "user", parts: ref.parts.map(refer) } : ref)),
      elided,
    },
    requestHash: hash(canonicalRequest(request, tools)),
    blobs: [...blobs].map(([key, body]) => ({ hash: key, body })),
    prompts: [
      { hash: system, body: request.system },
      { hash: toolsHash, body: tools },
    ],
  };
}

/** Tools are the same in request after request, and the longest part of most. */
const knownTools = new WeakMap<readonly ToolSpec[], string>();

function canonicalTools(tools: readonly ToolSpec[]): string {
  const known = knownTools.get(tools) ?? canonicalJson(tools);
  knownTools.set(tools, known);
  return known;
}

/** As `canonicalJson(request)`. */
function canonicalRequest(request: ModelRequest, tools: string): string {
  const parts = Object.entries(request)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${JSON.stringify(key)}:${key === "tools" ? tools : canonicalJson(value)}`);
  return `{${parts.join(",")}}`;
}

/**
 * @param steps the journal of the same attempt and stage, up to and including `step`
 * @param load the text of a hash; throws where it was forgotten
 */
export function rebuildRequest(step: ModelStep, steps: readonly Step[], load: (hash: string) => string): ModelRequest {
  const bySeq = new Map(steps.map((each) => [each.seq, each]));
  const elided = new Set(step.input.elided);
  const models = steps.filter(
    (each) => each.kind === "model" && each.seq <= step.seq && each.stage === step.stage,
  ) as ModelStep[];
  const messages = models
    .toSorted((a, b) => a.seq - b.seq)
    .flatMap((model) => model.input.added.map((ref) => rebuildMessage(ref, bySeq, elided, load)));
  const output: OutputSpec | undefined =
    step.input.output === null ? undefined : outputSpecs[step.input.output as keyof typeof outputSpecs];
  return {
    stage: step.stage,
    system: load(step.input.system),
    messages,
    tools: JSON.parse(load(step.input.tools)) as ToolSpec[],
    ...(output === undefined ? {} : { output }),
    maxOutputTokens: step.input.maxOutputTokens,
  };
}

function rebuildMessage(
  ref: MessageRef<PartRef>,
  bySeq: ReadonlyMap<number, Step>,
  elided: ReadonlySet<number>,
  load: (hash: string) => string,
): Message {
  switch (ref.role) {
    case "user":
      return { role: "user", parts: ref.parts.map((part) => (typeof part === "string" ? load(part) : part.text)) };
    case "assistant": {
      const step = bySeq.get(ref.seq);
      if (step?.kind !== "model") throw new Error(`the journal has no model step ${ref.seq}`);
      return assistantMessage(step, elided);
    }
    case "tool":
      return {
        role: "tool",
        results: ref.seqs.map((seq) => {
          const step = bySeq.get(seq);
          if (step?.kind !== "tool") throw new Error(`the journal has no tool step ${seq}`);
          return toolResult(step, elided);
        }),
      };
  }
}

/** A tool step as the model reads it, left out where the request named it so. */
export function toolResult(step: ToolStep, elided: ReadonlySet<number>): ToolResult {
  const text = elided.has(step.seq)
    ? `(left out to keep this short: ${step.output.text.length} characters)`
    : step.output.text;
  return { callId: step.output.callId, name: step.name, ok: step.ok, text };
}

/**
 * An assistant's turn as it is sent back. Providers bind their opaque items to the exact conversation, so once something is left out
 * they go too. A turn that is named itself loses the long texts among its calls' arguments.
 */
export function assistantMessage(step: ModelStep, elided: ReadonlySet<number>): AssistantMessage {
  if (elided.size === 0) return step.output.message;
  const { text, toolCalls } = step.output.message;
  if (!elided.has(step.seq)) return { role: "assistant", text, toolCalls };
  return {
    role: "assistant",
    text,
    toolCalls: toolCalls.map((call) => ({ ...call, args: withoutLongTexts(call.args) })),
  };
}

/** What a call was about stays: a path, a query, a title. */
const maxKeptArgChars = 200;

function withoutLongTexts(args: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(args).map(([name, value]) => {
      const text = typeof value === "string" ? value : JSON.stringify(value);
      const rest = text.length - maxKeptArgChars;
      return [
        name,
        rest <= 0
          ? value
          : `${text.slice(0, maxKeptArgChars).toWellFormed()} … (left out to keep this short: ${rest} characters)`,
      ];
    }),
  );
}
