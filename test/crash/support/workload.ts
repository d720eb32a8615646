/**
 * Goals whose models are scripts without memory: what they answer follows from the request and from what has happened,
 * so a call that is made again after a crash gets the answer that it would have got.
 */
import { setTimeout as sleep } from "node:timers/promises";
import {
  startScriptedServer,
  type Scripted,
  type Seen,
} from "../../../packages/core/src/models/testing/scripted-server.ts";
import type { JsonObject } from "@outerloop/core/domain";
import type { Deployment } from "../../support/deployments.ts";
import { done, understood } from "../../support/scripts.ts";
import type { Sink } from "./sink.ts";

/** Stored, external to a receiver that deduplicates, external to one that does not, a read, a timer by length and by instant, a signal. */
export type Call = "append" | "post" | "mail" | "read" | "sleep" | "sleep-until" | "signal";

/** Of a timer. */
export const sleepMs = 3000;

export interface WorkloadOptions {
  readonly sink?: Sink;
  /** Tasks of each goal, independent of one another. */
  readonly tasks?: number;
  /** What each task calls, one a turn. */
  readonly calls: readonly Call[];
  /** How long a model takes to answer. */
  readonly thinkMs?: number;
  /** Runs before each answer and is waited for; what it returns is said instead. */
  readonly onModelCall?: (seen: Seen) => Promise<Scripted | void> | Scripted | void;
}

export interface Workload {
  /** For the processes of a deployment. */
  readonly env: Readonly<Record<string, string>>;
  /** Ids of goals that were accepted, in order. */
  readonly goals: readonly string[];
  /** Model calls so far. */
  readonly modelCalls: () => number;
  /** Posts goals one after the other, `everyMs` apart. */
  post(deployment: Deployment, count: number, everyMs?: number): Promise<void>;
  /** The next goal's number, for who posts otherwise, and what they post. */
  take(): number;
  textOf(number: number): string;
  /** Counts a goal that was accepted otherwise. */
  accept(id: string, number: number): void;
  /** The texts of external calls that must have happened once all goals ended well. */
  expectedEffects(): ReadonlySet<string>;
  readonly tasks: number;
  readonly calls: readonly Call[];
  close(): Promise<void>;
}

const toolOf = {
  append: "append_to_file",
  post: "sink_post",
  mail: "sink_mail",
  read: "list_files",
  sleep: "sleep_for",
  "sleep-until": "sleep_until",
  signal: "wait_for_signal",
} as const;

function argsOf(call: Call, part: string, text: string): JsonObject {
  switch (call) {
    case "append":
      return { path: `part-${part}.txt`, text: `${text}\n` };
    case "post":
    case "mail":
      return { text };
    case "read":
      return {};
    case "sleep":
      return { seconds: sleepMs / 1000 };
    case "sleep-until":
      return { at: new Date(Date.now() + sleepMs).toISOString() };
    case "signal":
      return { name: "go", timeout_seconds: 600 };
  }
}

export async function startWorkload(options: WorkloadOptions): Promise<Workload> {
  const { tasks = 1, calls, thinkMs = 0 } = options;
  const goals: string[] = [];
  let taken = 0;
  const accepted: number[] = [];
  const textOf = (number: number) => `this is goal number ${number}`;
  /** Goals of which a task was begun: then their plan was committed, and the planner is asked only when they are done. */
  const begun = new Set<string>();

  const plan = (goal: string) =>
    begun.has(goal)
      ? done("see the files")
      : {
          tasks: Array.from({ length: tasks }, (_, index) => ({
            id: `t${index + 1}`,
            text: `do part ${index + 1} of load ${goal}`,
            depends_on: [],
            tools: [...new Set(calls.map((call) => toolOf[call]))],
            evidence: [],
            difficulty: "easy",
          })),
          done: false,
          final_answer: "",
        };

  const server = await startScriptedServer(async (seen) => {
    const instead = await options.onModelCall?.(seen);
    if (instead !== undefined) return instead;
    if (thinkMs > 0) await sleep(thinkMs);
    const body = JSON.stringify(seen.body);
    // The goal comes first in every request; memories of other goals may follow.
    const goal = /goal number (\d+)/.exec(body)![1]!;
    if (seen.outputName === "intake") return { json: understood };
    if (seen.outputName === "plan") return { json: plan(goal) };
    if (seen.outputName === "verdict")
      return { json: { status: "done", reason: "as asked", new_tasks: [], lesson: "" } };
    begun.add(goal);
    // The task comes last.
    const part = [...body.matchAll(/do part (\d+) of load \d+/g)].at(-1)![1]!;
    const turn = (seen.messageCount - 1) / 2;
    const call = calls[turn];
    if (call === undefined) return { text: "did it" };
    const text = `g${goal}-t${part}-c${turn}`;
    return { toolCalls: [{ name: toolOf[call], args: argsOf(call, part, text) }] };
  });

  return {
    env: { OPENAI_BASE_URL: server.openAiBaseUrl, OUTERLOOP_MODEL: "openai/gpt-test", ...options.sink?.env },
    goals,
    tasks,
    calls,
    modelCalls: () => server.seen.length,
    textOf,
    take: () => (taken += 1),
    accept(id, number) {
      accepted.push(number);
      goals.push(id);
    },
    async post(deployment, count, everyMs = 0) {
      for (let left = count; left > 0; left -= 1) {
        const number = (taken += 1);
        const { id } = await deployment.client.goals.create({ text: textOf(number) });
        accepted.push(number);
        goals.push(id);
        if (everyMs > 0) await sleep(everyMs);
      }
    },
    expectedEffects: () =>
      new Set(
        accepted
          .map((goal) =>
            Array.from({ length: tasks }, (_, task) =>
              calls.flatMap((call, turn) =>
                call === "post" || call === "mail" ? [`g${goal}-t${task + 1}-c${turn}`] : [],
              ),
            ),
          )
          .flat(2),
      ),
    close: () => server.close(),
  };
}
