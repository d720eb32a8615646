/**
 * Guards across plans (thrash, drift, stall): what no single step can see. Each counts its strikes in a row; the first sends the
 * plan back with the reason, the next asks the goal's submitter where that is allowed, else the goal fails with the guard's reason.
 * Pure: words come from outside, so what counts as the same word is said in one place.
 *
 * 1. Thrash: most of a plan repeats what is done or under way, or what has come to nothing twice.
 * 2. Drift: no task of a plan has to do with the goal, neither directly nor by a short chain of results that do.
 * 3. Stall: plan after plan, and nothing was finished.
 */
import type { GoalReason } from "./goal.ts";
import type { Clarification } from "./question.ts";

export const guardNames = ["thrash", "drift", "stall"] as const;
export type GuardName = (typeof guardNames)[number];

export const guardReasons: Readonly<Record<GuardName, GoalReason>> = {
  thrash: "thrash",
  drift: "drift",
  stall: "stalled",
};

/** What is kept with the goal from plan to plan. */
export interface GuardCounts {
  /** Strikes in a row. */
  readonly thrash: number;
  readonly drift: number;
  /** Plans in a row after which nothing was finished. */
  readonly stall: number;
  /** The round of planning for which that was counted last. */
  readonly stallRound: number;
  /** What a person has let through once. */
  readonly excused: readonly GuardName[];
  /** Answers to questions that were acted on. */
  readonly heard: number;
  /** Where the newest of them came: a round of planning begins anew behind it, at this position of its journal. */
  readonly since: { readonly round: number; readonly seq: number };
}

export const noGuardCounts: GuardCounts = {
  thrash: 0,
  drift: 0,
  stall: 0,
  stallRound: 0,
  excused: [],
  heard: 0,
  since: { round: -1, seq: 1 },
};

export interface GuardLimits {
  /** Strikes in a row of thrash or drift after which sending back has not helped. */
  readonly strikes: number;
  /** Plans in a row without a finished task. */
  readonly idlePlans: number;
  /** Hops from the goal: a task that speaks of the goal has none, one that only speaks of such a task's result has one more. */
  readonly hops: number;
  /** Times that work which came to nothing may be planned. */
  readonly tries: number;
}

export const defaultGuardLimits: GuardLimits = { strikes: 2, idlePlans: 3, hops: 3, tries: 2 };

/** What is known of words, from outside. */
export interface Language {
  /** The words of a text that say something, each by how much it says: 1 for a name, less for a common word. */
  keyWords(text: string): ReadonlyMap<string, number>;
  /** What kind of work a task's text asks for first (to find, to judge, to write, …); null where no word says. */
  workOf(text: string): string | null;
  /** Whether it can take words apart: not where they are written without spaces. */
  reads(text: string): boolean;
}

/** A task of the goal as the guards see it. */
export interface GuardedTask {
  readonly key: string;
  readonly text: string;
  /** `open`: it lives; `nothing`: it failed, was given up or dropped. */
  readonly outcome: "open" | "done" | "nothing";
  readonly result: string;
  /** Whether the first plan brought it: that plan is how the goal was read. */
  readonly isFirst: boolean;
}

export interface Trip {
  readonly guard: GuardName;
  /** For the planner and for people. */
  readonly why: string;
}

export type GuardMove =
  | { readonly action: "reanchored" }
  /** Its submitter is asked. */
  | { readonly action: "asked" }
  | { readonly action: "failed" };

/** As far as two texts may differ and still ask for the same: the share of what they say that they share (Dice), and no name or number among the rest. */
const sameShare = 0.8;
/** From this weight on a word is a name, a number or a rare one: another one makes another task. */
const tellingWeight = 1;
/** Tasks that a reason names, and how much of each. */
const maxNamed = 5;
const shortly = (text: string) => {
  const line = text.replaceAll(/\s+/g, " ").trim();
  return line.length <= 80 ? line : `${line.slice(0, 79).toWellFormed()}…`;
};
/** Of a plan's tasks, when it is no plan of new work. */
const repeatedShare = 0.5;

export function asksTheSame(a: string, b: string, language: Language): boolean {
  if (language.workOf(a) !== language.workOf(b)) return false;
  const [left, right] = [language.keyWords(a), language.keyWords(b)];
  if (left.size === 0 || right.size === 0) return a.trim() === b.trim();
  let shared = 0;
  let whole = 0;
  for (const [word, weight] of left) {
    whole += weight;
    if (right.has(word)) shared += weight;
    else if (weight >= tellingWeight) return false;
  }
  for (const [word, weight] of right) {
    whole += weight;
    if (!left.has(word) && weight >= tellingWeight) return false;
  }
  return (2 * shared) / whole >= sameShare;
}

export function findThrash(
  planned: readonly { readonly id: string; readonly text: string }[],
  tasks: readonly GuardedTask[],
  language: Language,
  limits: GuardLimits = defaultGuardLimits,
): Trip | null {
  const repeats = planned.flatMap((task) => {
    const same = tasks.filter((each) => asksTheSame(task.text, each.text, language));
    const done = same.find((each) => each.outcome === "done");
    if (done !== undefined) return [`${task.id} repeats ${done.key}, which is done: "${shortly(task.text)}"`];
    const open = same.find((each) => each.outcome === "open");
    if (open !== undefined) return [`${task.id} repeats ${open.key}, which is under way: "${shortly(task.text)}"`];
    const vain = same.filter((each) => each.outcome === "nothing");
    return vain.length >= limits.tries
      ? [`${task.id} was planned ${vain.length} times and came to nothing: "${shortly(task.text)}"`]
      : [];
  });
  if (repeats.length === 0 || repeats.length < planned.length * repeatedShare) return null;
  return {
    guard: "thrash",
    why: `The plan repeats what was planned before: ${repeats.slice(0, maxNamed).join("; ")}. Use the results that are there, try another way, or finish. Where something must be done again, say in the task's text what is new.`,
  };
}

/**
 * @param anchors what the goal is about: its text, what was understood of it, answers, names of its files
 */
export function findDrift(
  planned: readonly { readonly id: string; readonly text: string; readonly depends_on?: readonly string[] }[],
  tasks: readonly GuardedTask[],
  anchors: readonly string[],
  language: Language,
  limits: GuardLimits = defaultGuardLimits,
): Trip | null {
  // The first plan is how the goal was read; there is nothing yet to drift from.
  if (planned.length === 0 || tasks.length === 0) return null;
  if (!planned.every((task) => language.reads(task.text))) return null;
  const about = language.keyWords(anchors.join("\n"));
  const reached: { readonly key: string; readonly words: ReadonlyMap<string, number>; readonly hops: number }[] = [
    { key: "", words: about, hops: 0 },
  ];
  const hopsOf = (text: string, needs: readonly string[] = []): number => {
    const words = language.keyWords(text);
    const near = reached.filter((each) => needs.includes(each.key) || hasToDoWith(words, each.words));
    return Math.min(...near.map((each) => each.hops + 1), Infinity);
  };
  for (const task of tasks) {
    const hops = Math.min(hopsOf(task.text), task.isFirst ? 1 : Infinity);
    if (hops < Infinity)
      reached.push({ key: task.key, words: language.keyWords(`${task.text}\n${task.result}`), hops });
  }
  const nearest = Math.min(...planned.map((task) => hopsOf(task.text, task.depends_on)));
  if (nearest <= limits.hops) return null;
  const named = planned.slice(0, maxNamed).map((task) => `${task.id} "${shortly(task.text)}"`);
  return {
    guard: "drift",
    why: `None of the planned tasks has to do with the goal: ${named.join("; ")}. Read the goal again, and plan what it still needs, or finish.`,
  };
}

/** Shared words must say as much as one name does, or be a third of what the text says. */
function hasToDoWith(words: ReadonlyMap<string, number>, about: ReadonlyMap<string, number>): boolean {
  let shared = 0;
  let whole = 0;
  for (const [word, weight] of words) {
    whole += weight;
    if (about.has(word)) shared += weight;
  }
  // A text that names nothing is no sign of anything: "write the final report".
  return whole < tellingWeight || shared >= tellingWeight || shared >= whole / 3;
}

/** What follows where telling the planner has not helped. */
export function moveOf(mayAsk: boolean): GuardMove {
  return { action: mayAsk ? "asked" : "failed" };
}

/** What people say when they want no more of it; the default where nobody answers. */
export const stopAnswer = "stop";
/** The whole answer, or what it begins with where it says nothing of how to go on: "no problem, go on" lets it go on. */
const onlyStop =
  /^\W*(?:please\s+)?(?:stop|stopp|no|end|cancel|quit|abort|nein|non|halt|don'?t(?:\s+go\s+on)?|do\s+not\s+go\s+on)(?:\W+(?:it|this|that|now|here|please|stop|stopp|thanks|thank you))*\W*$/i;
const stopFirst =
  /^\W*(?:please\s+)?(?:stop|stopp|cancel|quit|abort|halt)(?:\s+(?:it|this|that|now|here|please))*\s*[.,;:!–—-]/i;
const goesOn = /\b(?:go\s+on|continue|instead|but|use|write|try|look|take|do)\b/i;

const saysStop = (answer: string) => onlyStop.test(answer) || (stopFirst.test(answer) && !goesOn.test(answer));

/**
 * Takes up what was answered since the last plan.
 * @returns the guard whose question was answered with a stop, and what is counted from here on
 */
export function hearAnswers(
  counts: GuardCounts,
  clarifications: readonly Clarification[],
): {
  readonly counts: GuardCounts;
  readonly stopped: { readonly guard: GuardName; readonly answer: Clarification } | null;
} {
  let heard = counts;
  for (const answer of clarifications.slice(counts.heard)) {
    if (answer.about === "intake") continue;
    if (saysStop(answer.answer)) return { counts: heard, stopped: { guard: answer.about, answer } };
    heard = { ...heard, [answer.about]: 0, excused: [...new Set([...heard.excused, answer.about])] };
  }
  return { counts: { ...heard, heard: clarifications.length }, stopped: null };
}
