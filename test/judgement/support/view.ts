/**
 * What a scripted model sees of a request. Everything it may decide by is here, so a model is a pure function of it: the
 * same view gets the same answer, in whatever order the goals of a deployment ask.
 */
import { readSections, type Section } from "@outerloop/core/domain";
import type { Seen } from "../../../packages/core/src/models/testing/scripted-server.ts";
import { readConversation, type Call } from "./conversation.ts";

export interface SeenTask {
  readonly key: string;
  readonly status: string;
  /** Text and, where it has ended, result. */
  readonly text: string;
}

export interface View {
  readonly stage: "intake" | "plan" | "execute" | "verdict";
  /** Names the model that plays this goal: the last `[word]` of the goal's text. */
  readonly tag: string;
  readonly goal: string;
  readonly sections: readonly Section[];
  /** The whole first message. */
  readonly text: string;
  readonly toolNames: readonly string[];
  /** Plans: every task of the goal. */
  readonly tasks: readonly SeenTask[];
  /** Plans: counted from 1. */
  readonly round: number;
  /** Turns and verdicts: the one task. */
  readonly task: { readonly key: string; readonly text: string; readonly attempt: number; readonly depth: number };
  readonly hint: string;
  /** Calls that the model made so far in this conversation, and what came back. */
  readonly calls: readonly Call[];
  readonly results: readonly string[];
  /** What the model was told after the first message: what is wrong with its answers. */
  readonly told: readonly string[];
}

const stages: Readonly<Record<string, View["stage"]>> = { intake: "intake", plan: "plan", verdict: "verdict" };

export function readView(seen: Seen): View {
  const turns = readConversation(seen);
  const said = turns.flatMap((turn) => (turn.who === "user" ? [turn.text] : []));
  const sections = readSections(said[0] ?? "");
  const find = (tag: string) => sections.find((section) => section.tag === tag);
  const goal = find("goal")?.body ?? "";
  const tasks = sections.filter((section) => section.tag === "task");
  const own = tasks.at(-1);
  return {
    stage: stages[seen.outputName ?? ""] ?? "execute",
    tag: [...goal.matchAll(/\[([\w-]+)\]/g)].at(-1)?.[1] ?? "",
    goal,
    sections,
    text: said[0] ?? "",
    toolNames: seen.toolNames,
    tasks: tasks.map(({ attributes, body }) => ({
      key: attributes["id"] ?? "",
      status: attributes["status"] ?? "",
      text: body,
    })),
    round: Number(find("request")?.attributes["round"] ?? 1),
    task: {
      key: own?.attributes["id"] ?? "",
      text: own?.body ?? "",
      attempt: Number(own?.attributes["attempt"] ?? 1),
      depth: Number(own?.attributes["depth"] ?? 0),
    },
    hint: find("hint")?.body ?? "",
    calls: turns.flatMap((turn) => (turn.who === "model" ? turn.calls : [])),
    results: turns.flatMap((turn) => (turn.who === "tool" ? [turn.text] : [])),
    told: said.slice(1),
  };
}
