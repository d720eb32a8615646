/**
 * How like two requests of models are, where one is of a goal that runs again. Pure.
 *
 * What differs from run to run and says nothing about what is asked is left out: ids of goals, dates, what was recalled, how many
 * tokens a budget left for the answer. What a request is about is its goal's text and, of a task, the task's own section.
 */
import { canonicalJson } from "../../domain/json.ts";
import type { Message, ModelRequest } from "../../domain/model.ts";
import { memorySection } from "../../domain/request-refs.ts";
import { readSections } from "../../domain/section.ts";

/** Texts of a request that are compared, and characters of each. */
const maxTexts = 500;
const maxChars = 20_000;
/** Of what is shown to a person. */
const excerptChars = 160;

const runAttributes = /^<(goal|session)(?: [a-z_]+="[^"]*")*>/;

/** The request as it would be in any other run of the same goal. */
export function normalRequest(request: ModelRequest): string {
  const { stage, system, tools, output, messages } = request;
  return canonicalJson({ stage, system, tools, output, messages: messages.map(normalMessage) });
}

function normalMessage(message: Message): Message {
  return message.role === "user" ? { role: "user", parts: normalParts(message.parts) } : message;
}

function normalParts(parts: readonly string[]): readonly string[] {
  return parts
    .filter((part) => !part.startsWith(`<${memorySection} `))
    .map((part) => part.replace(runAttributes, "<$1>"));
}

/** What no other request may differ in that is to be taken for this one: stage, goal, task or round, and how far the conversation has come. */
export function subjectOf(request: ModelRequest): string {
  const first = request.messages[0];
  const sections = first?.role === "user" ? first.parts.flatMap((part) => readSections(part)) : [];
  const goal = sections.find(({ tag }) => tag === "goal")?.body;
  const task = sections.findLast(({ tag }) => tag === "task");
  const round = sections.find(({ tag }) => tag === "request")?.attributes["round"];
  const own = request.stage === "plan" ? { round } : { task: task?.body, attempt: task?.attributes["attempt"] };
  return canonicalJson({ stage: request.stage, goal, turns: request.messages.length, ...own });
}

/** Texts that one has and the other has not, at the same place or elsewhere. */
export function distance(a: ModelRequest, b: ModelRequest): number {
  const left = new Map<string, number>();
  for (const text of textsOf(a)) left.set(text, (left.get(text) ?? 0) + 1);
  let missing = 0;
  for (const text of textsOf(b)) {
    const count = left.get(text) ?? 0;
    if (count === 0) missing += 1;
    else left.set(text, count - 1);
  }
  return missing + [...left.values()].reduce((sum, count) => sum + count, 0);
}

/** Where two requests first differ, for a person. null where they do not. */
export function firstDifference(recorded: ModelRequest, asked: ModelRequest): string | null {
  const [before, now] = [textsOf(recorded), textsOf(asked)];
  const at = Array.from({ length: Math.max(before.length, now.length) }).findIndex(
    (_, index) => before[index] !== now[index],
  );
  if (at === -1) return null;
  const [was, is] = [before[at] ?? "(nothing)", now[at] ?? "(nothing)"];
  let same = 0;
  while (same < was.length && was[same] === is[same]) same += 1;
  const from = Math.max(0, same - 40);
  return `recorded: ${excerpt(was, from)}\nasked: ${excerpt(is, from)}`;
}

function excerpt(text: string, from: number): string {
  const cut = text.slice(from, from + excerptChars).toWellFormed();
  return JSON.stringify(`${from > 0 ? "…" : ""}${cut}${from + excerptChars < text.length ? "…" : ""}`);
}

function textsOf({ system, messages, tools }: ModelRequest): readonly string[] {
  const spoken = messages.flatMap((message): readonly string[] => {
    switch (message.role) {
      case "user":
        return normalParts(message.parts);
      case "assistant":
        return [message.text, ...message.toolCalls.map(({ name, args }) => `${name} ${canonicalJson(args)}`)];
      case "tool":
        return message.results.map(({ name, text }) => `${name} ${text}`);
    }
  });
  return [system, ...spoken, ...tools.map(({ name }) => name)]
    .slice(0, maxTexts)
    .map((text) => text.slice(0, maxChars));
}
