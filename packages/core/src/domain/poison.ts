/**
 * Work that ends the process it runs in (W8). Only claims that expired count, since they are what a process that died
 * leaves; from the second on the work runs where its death harms nobody else, and only that death fails it.
 */
import type { Step } from "./step.ts";

/** From this many expired claims on, work runs alone. Its neighbours in a process that died have as many: nobody is failed by the count. */
export const expiredClaimsBeforeIsolation = 2;

export interface Death {
  /** How the process that ran nothing else ended; null where nobody was there to see it. */
  readonly exit: { readonly code: number } | { readonly signal: string } | null;
  /** The end of what it wrote to stderr. */
  readonly stderr: string;
  /** The last journaled step of the attempt. */
  readonly lastStep: Step | null;
  /** Processes that ended while they held this work, before this one. */
  readonly diedBefore: number;
}

/** Said on stderr before a process that stands still is ended; a reader of its last words knows it by this. */
export const stuckWords = "outerloop watchdog: the main thread has not moved for";

const maxWords = 5;
const maxWordChars = 300;

/** Why the work failed, for people: what was seen, where it was, how often it happened. */
export function describeDeath(death: Death): string {
  const words = lastWords(death.stderr);
  return [
    `It ends the process that runs it: alone in a process, it ${seen(death)}.`,
    `Before that, ${death.diedBefore} ${death.diedBefore === 1 ? "process" : "processes"} ended while holding it.`,
    whereIn(death.lastStep),
    ...(words === "" ? [] : [`Last lines of stderr: ${words}`]),
  ].join(" ");
}

function seen({ exit, stderr }: Death): string {
  if (exit === null) return "ended that process unseen";
  const how = "signal" in exit ? `was ended by ${exit.signal}` : `ended with exit code ${exit.code}`;
  if (/heap out of memory|Array buffer allocation failed/.test(stderr)) return `ran out of memory and ${how}`;
  if (stderr.includes(stuckWords)) return `stood still without end and ${how}`;
  return how;
}

function whereIn(step: Step | null): string {
  if (step === null) return "No step of this attempt was journaled.";
  const at = `Last journaled step: ${step.seq}, `;
  if (step.kind === "tool") return `${at}the tool ${step.name}.`;
  const asked = step.output.message.toolCalls.map((call) => call.name);
  return `${at}a model call${asked.length === 0 ? "" : ` that asked for ${asked.slice(0, maxWords).join(", ")}`}.`;
}

/** V8 prints a page of addresses behind what matters. */
const noise = /^\s*$|^\s*\d+: 0x|^-{3,}|^\s*at node:internal|^Node\.js v/;

function lastWords(stderr: string): string {
  return stderr
    .split(/\r?\n/)
    .filter((line) => !noise.test(line))
    .slice(-maxWords)
    .map((line) => line.trim().slice(0, maxWordChars))
    .join(" | ");
}
