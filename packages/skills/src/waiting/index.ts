/** Tools to wait by: the task sleeps as a row, for seconds or weeks, and goes on where it was. */
import { z } from "zod";
import { maxWaitMs, type Skill } from "@outerloop/core/domain";
import { defineTool } from "../tool.ts";

const maxWaitSeconds = Math.floor(maxWaitMs / 1000);
/** A week: long enough for a person who is away, short enough that nobody wonders next year. */
const defaultSignalSeconds = 7 * 24 * 3600;

/** @param clock of this process, only to bound how far ahead an instant may be; when a wait is over, the database's clock says. */
export function createWaitingSkill(clock: () => number = Date.now): Skill {
  return {
    name: "waiting",
    description: "Sleeps until an instant or a signal.",
    tools: [sleepUntil(clock), sleepFor, waitForSignal],
  };
}

const sleepUntil = (clock: () => number) =>
  defineTool({
    name: "sleep_until",
    version: "1",
    description:
      "Wait until an instant, such as 2027-01-04T09:00:00Z. The task goes on after it. At most a year ahead.",
    effect: "pure",
    timeoutMs: 10_000,
    input: z.object({
      at: z.iso.datetime({ offset: true, error: "an instant with its zone, such as 2027-01-04T09:00:00Z" }),
    }),
    async run({ at }) {
      if (new Date(at).getTime() - clock() > maxWaitMs)
        return {
          ok: false,
          text: `${at} is more than ${maxWaitSeconds / 86_400} days ahead. Wait for something nearer.`,
        };
      return { ok: true, text: `Waiting until ${at}.`, wait: { kind: "timer", name: "sleep_until", until: at } };
    },
  });

const sleepFor = defineTool({
  name: "sleep_for",
  version: "1",
  description: "Wait for a number of seconds, at most a year. The task goes on after it.",
  effect: "pure",
  timeoutMs: 10_000,
  input: z.object({ seconds: z.number().min(0).max(maxWaitSeconds) }),
  async run({ seconds }) {
    return {
      ok: true,
      text: `Waiting for ${seconds} s.`,
      wait: { kind: "timer", name: "sleep_for", forMs: Math.round(seconds * 1000) },
    };
  },
});

const waitForSignal = defineTool({
  name: "wait_for_signal",
  version: "1",
  description:
    "Wait until somebody sends a signal of this name to the goal, and read what it says. One that was sent before counts, once an attempt.",
  effect: "pure",
  timeoutMs: 10_000,
  input: z.object({
    name: z.string().trim().min(1, "signals have names").max(200),
    timeout_seconds: z.number().min(0).max(maxWaitSeconds).default(defaultSignalSeconds),
    on_timeout: z.enum(["continue", "fail"]).default("continue"),
  }),
  async run({ name, timeout_seconds, on_timeout }) {
    return {
      ok: true,
      text: `Waiting for the signal "${name}".`,
      wait: { kind: "signal", name, forMs: Math.round(timeout_seconds * 1000), onDeadline: on_timeout },
    };
  },
});
