/**
 * Detectors of an attempt that goes in circles. Each first tells the model, in a message after the tool results; firing once more, it
 * ends the attempt. Pure: from the turns alone, so a resumed attempt is told the same.
 */
import { canonicalJson } from "../domain/json.ts";
import type { ModelStep, ToolStep } from "../domain/step.ts";

export interface Turn {
  readonly model: ModelStep;
  readonly tools: readonly ToolStep[];
}

export interface Notice {
  readonly kind: "same_call" | "same_error" | "alternating" | "same_text" | "empty" | "cut_off";
  /** For the model. */
  readonly text: string;
  /** For whoever reads why the attempt ended. */
  readonly why: string;
}

/** After how many of a kind in a row somebody is stuck. */
const sameCalls = 4;
const sameErrors = 3;
const alternations = 6;
const sameTexts = 3;

/** What each turn calls for; null for most. */
export function noticesOf(turns: readonly Turn[]): readonly (Notice | null)[] {
  return turns.map((_, index) => noticeAfter(turns.slice(0, index + 1)));
}

/** Why the attempt ends now: its last turn did once more what it was told of before. */
export function whyStuck(notices: readonly (Notice | null)[]): string | null {
  const last = notices.at(-1);
  if (last === undefined || last === null) return null;
  return notices.slice(0, -1).some((notice) => notice?.kind === last.kind) ? `stuck: ${last.why}` : null;
}

function noticeAfter(turns: readonly Turn[]): Notice | null {
  const last = turns.at(-1);
  if (last === undefined) return null;
  if (last.model.output.message.toolCalls.length === 0) return noticeOfAnswer(last.model);
  const steps = turns.flatMap((turn) => turn.tools);
  return noticeOfErrors(steps) ?? noticeOfAlternation(steps) ?? noticeOfCalls(steps) ?? noticeOfTexts(turns);
}

function noticeOfAnswer({ output }: ModelStep): Notice | null {
  const isEmpty = output.message.text.trim() === "";
  if (output.stop === "length")
    return {
      kind: "cut_off",
      text: "Your answer was cut off since it was too long. Answer again, shorter; put what is long into a file, in pieces.",
      why: "its answers were cut off at the longest that an answer may be",
    };
  return isEmpty && output.stop === "end"
    ? {
        kind: "empty",
        text: "Your answer was empty. Call a tool, or answer with the result.",
        why: "it answered with nothing",
      }
    : null;
}

const argsOf = (step: ToolStep) => `${step.name}(${canonicalJson(step.args)})`;
/** The same call with another result is another look at something that changes. */
const seenOf = (step: ToolStep) => `${argsOf(step)} -> ${step.output.text}`;
const shortly = (step: ToolStep) => `${step.name}(${JSON.stringify(step.args).slice(0, 120)})`;

function noticeOfCalls(steps: readonly ToolStep[]): Notice | null {
  const last = steps.at(-1);
  if (last === undefined) return null;
  const same = steps.filter((step) => seenOf(step) === seenOf(last)).length;
  if (same < sameCalls) return null;
  return {
    kind: "same_call",
    text: `You have made the call ${shortly(last)} ${same} times, always with the same result. Do not repeat it: do something else, or answer with what you have.`,
    why: `it made the call ${shortly(last)} ${same} times with the same result`,
  };
}

/** Numbers and quoted names differ where the mistake is the same. */
const kindOfError = (step: ToolStep) =>
  `${step.name}: ${step.output.text.replaceAll(/"[^"]*"|\d+/g, "#").slice(0, 300)}`;

function noticeOfErrors(steps: readonly ToolStep[]): Notice | null {
  const newest = steps.slice(-sameErrors);
  const last = newest.at(-1);
  if (last === undefined || newest.length < sameErrors || newest.some((step) => step.ok)) return null;
  if (newest.some((step) => kindOfError(step) !== kindOfError(last))) return null;
  return {
    kind: "same_error",
    text: `${last.name} has failed ${sameErrors} times in the same way. Read the error, and try another way, or answer with what you have.`,
    why: `${last.name} failed again and again in the same way: ${last.output.text.slice(0, 200)}`,
  };
}

function noticeOfAlternation(steps: readonly ToolStep[]): Notice | null {
  const newest = steps.slice(-alternations);
  if (newest.length < alternations) return null;
  const [first, second] = newest.map(seenOf);
  if (first === second || newest.some((step, at) => seenOf(step) !== (at % 2 === 0 ? first : second))) return null;
  return {
    kind: "alternating",
    text: `You go back and forth between ${shortly(newest[0]!)} and ${shortly(newest[1]!)}, and nothing changes. Do something else, or answer with what you have.`,
    why: `it went back and forth between ${newest[0]!.name} and ${newest[1]!.name} without a change`,
  };
}

function noticeOfTexts(turns: readonly Turn[]): Notice | null {
  const texts = turns.slice(-sameTexts).map((turn) => turn.model.output.message.text.trim());
  if (texts.length < sameTexts || texts[0] === "" || texts.some((text) => text !== texts[0])) return null;
  const known = new Set(turns.slice(0, -sameTexts).flatMap((turn) => turn.tools.map(seenOf)));
  const results = turns.slice(-sameTexts).flatMap((turn) => turn.tools.map(seenOf));
  // The same words over new findings are only a habit.
  if (new Set(results).size === results.length && results.every((result) => !known.has(result))) return null;
  return {
    kind: "same_text",
    text: "You say the same again and again and find nothing new. Do something else, or answer with what you have.",
    why: "it said the same again and again and found nothing new",
  };
}
