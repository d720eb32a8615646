/**
 * The model of the workload `goal`, inside the worker's own process: deterministic, and as quick as it is told to be. It goes
 * through the same port as every provider, so routing, retries, bounds and prices around it are what a real run has.
 *
 * A goal is 22 steps: a plan of 5 independent tasks; for each a turn that calls one tool, the tool, a turn with the result
 * and a verdict; and a plan that says done. What each answers is about 1 KB, as GOALS.md has it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { AssistantMessage, ModelRequest, Provider } from "@outerloop/core";
import { readSections } from "@outerloop/core/domain";

export const tasksOfGoal = 5;
export const stepsOfGoal = 2 + tasksOfGoal * 4;
export const benchTool = "look_up_figures";

/** What a step adds to the journal is then about 1 KB; its row is larger by ids, hashes and counters. */
const answerChars = 700;
const taskChars = 110;
/** English text, on average. */
const charsPerToken = 4;

/** @param delayMs how long the model thinks; 0 answers at once */
export function createBenchProvider(delayMs: number): Provider {
  return {
    // One that costs nothing, as a model on one's own machine does.
    name: "offline",
    capabilities: () => ({ tools: true, structured: "native", embeddings: false, transcription: false }),
    async generate(model, request, { signal, onText }) {
      if (delayMs > 0) await sleep(delayMs, undefined, { signal });
      const message = answer(request);
      if (message.text !== "") onText?.(message.text);
      const chars = message.text.length + message.toolCalls.reduce((sum, call) => sum + lengthOf(call.args), 0);
      return {
        message,
        stop: message.toolCalls.length > 0 ? "tool_calls" : "end",
        model,
        usage: {
          inputTokens: Math.ceil(charsOf(request) / charsPerToken),
          cachedInputTokens: 0,
          outputTokens: Math.ceil(chars / charsPerToken),
          reasoningTokens: 0,
        },
      };
    },
  };
}

function answer(request: ModelRequest): AssistantMessage {
  switch (request.stage) {
    case "intake":
      return json({ intent: "measure", entities: [], constraints: [], deliverable: "figures", risk: "" });
    case "plan":
      return json(hasTasks(request) ? finalPlan : firstPlan);
    case "execute":
      return request.messages.some((message) => message.role === "tool") ? say(resultText) : call;
    case "reflect":
      return json(verdict);
  }
}

const json = (value: unknown) => say(JSON.stringify(value));
const say = (text: string): AssistantMessage => ({ role: "assistant", text, toolCalls: [] });

/** Text of so many characters that says the same on every run. */
export function filler(start: string, chars: number): string {
  const words = "measured by the clock of one machine and compared with the floor of the same run, ";
  return start + words.repeat(Math.ceil(chars / words.length)).slice(0, Math.max(0, chars - start.length));
}

const firstPlan = {
  tasks: Array.from({ length: tasksOfGoal }, (_, index) => ({
    id: `t${index + 1}`,
    text: filler(`Look up the figures of part ${index + 1} and say what they mean: `, taskChars),
    depends_on: [],
    tools: [benchTool],
    evidence: [{ tool: benchTool }],
    difficulty: "easy",
  })),
  done: false,
  final_answer: "",
};
const finalPlan = { tasks: [], done: true, final_answer: filler("All parts were looked up: ", answerChars) };
const verdict = {
  status: "done",
  reason: filler("The trace shows the call and the result says what it found: ", answerChars),
  new_tasks: [],
  lesson: "Figures of one part are found by a single look-up.",
};
const resultText = filler("The figures of this part: ", answerChars);
const call: AssistantMessage = {
  role: "assistant",
  text: "",
  toolCalls: [{ id: "call_1", name: benchTool, args: { query: filler("figures of this part: ", answerChars) } }],
};

function hasTasks(request: ModelRequest): boolean {
  return request.messages.some(
    (message) =>
      message.role === "user" && message.parts.some((part) => readSections(part).some(({ tag }) => tag === "task")),
  );
}

function charsOf(request: ModelRequest): number {
  let chars = request.system.length;
  for (const message of request.messages) {
    if (message.role === "user") for (const part of message.parts) chars += part.length;
    if (message.role === "tool") for (const result of message.results) chars += result.text.length;
    if (message.role === "assistant") chars += message.text.length;
  }
  return chars;
}

const lengthOf = (value: unknown) => JSON.stringify(value).length;
