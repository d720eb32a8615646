/**
 * StageModels that answer anything: plans with random graphs, turns with calls of every kind of tool, verdicts of every kind, text
 * that is no JSON, errors that ask for patience and errors that do not. Whatever they say, the runtime must hold.
 */
import {
  OuterloopError,
  type Embedder,
  type Message,
  type ModelRequest,
  type ModelResponse,
  type StageModels,
  type ToolCall,
} from "@outerloop/core";
import type { Random } from "./random.ts";
import { currentActor, type World } from "./world.ts";

export interface ProviderFaults {
  /** Of an error that may be tried again. */
  away: number;
  /** Of one that may not. */
  fatal: number;
  /** Of an answer that cannot be read. */
  malformed: number;
}

/** What a scripted model may know beyond its prompt: the goal's tasks, to depend on and to repeat. */
export interface Scene {
  textOf(goalId: string): string;
  tasksOf(goalId: string): readonly { readonly key: string; readonly text: string }[];
  roundOf(goalId: string): number;
  onModelCall(request: ModelRequest): void;
}

const everyTool = ["look", "append", "write", "note", "mail", "post", "order", "sleep_for", "wait_for_signal"];
export const signalNames = ["go", "news"] as const;
const microUsdPerToken = 3;
const maxRounds = 6;

export function createScriptedModels(world: World, random: Random, faults: ProviderFaults, scene: Scene): StageModels {
  let calls = 0;
  const unique = () => `n${(calls += 1)}`;

  async function model(request: ModelRequest): Promise<ModelResponse> {
    scene.onModelCall(request);
    await world.pause(random.chance(0.1) ? random.int(1000, 20_000) : random.int(5, 400));
    if (random.chance(faults.away))
      throw random.chance(0.5)
        ? new OuterloopError("rate_limited", "too many requests", {
            retry: { afterMs: random.chance(0.3) ? random.int(30_000, 90_000) : random.int(100, 5000) },
          })
        : new OuterloopError("model_unavailable", "500", { retry: "backoff" });
    if (random.chance(faults.fatal))
      throw random.chance(0.5)
        ? new OuterloopError("model_refused", "the model refused")
        : new OuterloopError("too_large", "the answer is too large", {
            billed: { tokens: 400, costMicroUsd: 400 * microUsdPerToken },
          });
    return respond(request);
  }

  function respond(request: ModelRequest): ModelResponse {
    const malformed = random.chance(faults.malformed);
    const toolCalls = request.stage === "execute" ? callTools(request) : [];
    const outputTokens = Math.min(
      random.chance(0.05) ? request.maxOutputTokens : random.int(20, 300),
      request.maxOutputTokens,
    );
    const words = malformed ? (random.chance(0.5) ? "" : "I would rather not say.") : speak(request, toolCalls);
    const inputTokens = 300 + request.messages.reduce((sum, message) => sum + tokensOf(message), 0);
    return {
      message: { role: "assistant", text: words, toolCalls: malformed ? [] : toolCalls },
      stop: toolCalls.length > 0 ? "tool_calls" : "end",
      usage: { inputTokens, cachedInputTokens: 0, outputTokens, reasoningTokens: 0 },
      provider: "scripted",
      model: "script",
      costMicroUsd: (inputTokens + outputTokens) * microUsdPerToken,
      asked: "scripted/script",
      isRouted: true,
      priceVersion: null,
      firstTokenMs: null,
      tries: [],
    };
  }

  function speak(request: ModelRequest, toolCalls: readonly ToolCall[]): string {
    switch (request.stage) {
      case "plan":
        return JSON.stringify(plan());
      case "reflect":
        return JSON.stringify(verdict());
      case "execute":
        return toolCalls.length > 0 ? "on my way" : "the result";
      case "intake":
        return JSON.stringify(intake());
    }
  }

  function intake(): unknown {
    const asks = Array.from({ length: random.pick([0, 0, 1, 4]) }, () => ({
      question: `which ${unique()}?`,
      default: `any ${unique()}`,
    }));
    return {
      intent: `something ${unique()}`,
      entities: [{ type: "place", value: "Bergen" }],
      constraints: random.chance(0.3) ? ["be brief"] : [],
      deliverable: "an answer",
      risk: "",
      // The last leads out of the workspace, the one before is no tool.
      evidence: random.chance(0.2)
        ? [random.pick([{ tool: random.pick(everyTool) }, { note: true }, { tool: "nothing" }, { artifact: "../up" }])]
        : [],
      questions: random.chance(0.05) ? [{ question: "" }] : asks,
    };
  }

  /** Some of what is planned was planned before, or has nothing to do with the goal. */
  function plannedText(mood: "new" | "repeats" | "drifts", goalId: string): string {
    const tasks = scene.tasksOf(goalId);
    if (mood === "repeats" && tasks.length > 0) return random.pick(tasks).text;
    return mood === "drifts" ? `wander to island ${unique()}` : `visit ${unique()} of ${scene.textOf(goalId)}`;
  }

  function plan(): unknown {
    const goalId = currentActor()?.claim?.id ?? "";
    const keys = scene.tasksOf(goalId).map((task) => task.key);
    const mood = random.chance(0.75) ? "new" : random.pick(["repeats", "drifts"] as const);
    const round = scene.roundOf(goalId) + 1;
    if (round > maxRounds || (round > 1 && random.chance(0.4)))
      return { tasks: [], done: true, final_answer: `answer ${unique()}` };
    if (random.chance(0.04)) return { tasks: [], done: false, final_answer: "unsupported: no" };
    if (random.chance(0.05)) return { tasks: [], done: false, final_answer: "nothing more" };
    const count = random.int(1, random.chance(0.1) ? 12 : 4);
    const first = random.chance(0.2) ? 1 : keys.length + 1;
    const ids = Array.from({ length: count }, (_, index) => `t${first + index}`);
    return {
      tasks: ids.map((id, index) => {
        const tools = everyTool.filter(() => random.chance(0.35));
        return {
          id,
          text: plannedText(mood, goalId),
          depends_on: [
            ...ids.slice(0, index).filter(() => random.chance(0.35)),
            ...keys.filter(() => random.chance(0.15)),
            // A circle, or what is not there.
            ...(random.chance(0.01) ? [ids.at(-1)!] : []),
            ...(random.chance(0.01) ? ["t999"] : []),
          ],
          tools,
          evidence: tools.length === 0 || random.chance(0.05) ? [] : [{ tool: random.pick(tools) }],
          difficulty: "normal",
        };
      }),
      done: false,
      final_answer: "",
    };
  }

  function verdict(): unknown {
    const status = random.chance(0.72) ? "done" : random.pick(["retry", "retry", "split", "split", "abandon"] as const);
    return {
      status,
      reason: status === "done" ? "" : `because ${unique()}`,
      new_tasks: status === "split" ? Array.from({ length: random.int(0, 3) }, () => `part ${unique()}`) : [],
      lesson: random.chance(0.1) ? `lesson ${unique()}` : "",
    };
  }

  function callTools(request: ModelRequest): ToolCall[] {
    const turns = request.messages.filter((message) => message.role === "assistant");
    const called = new Set(turns.flatMap((turn) => turn.toolCalls.map((call) => call.name)));
    const left = request.tools.filter((tool) => !called.has(tool.name));
    if (request.tools.length === 0 || random.chance(left.length === 0 ? 0.9 : 0.1)) return [];
    const count = random.chance(0.6) ? 1 : random.int(2, 3);
    return Array.from({ length: count }, () => {
      const name = random.chance(0.01) ? "no_such_tool" : random.pick(left.length > 0 ? left : request.tools).name;
      return { id: `c_${unique()}`, name, args: argsOf(name) };
    });
  }

  function argsOf(name: string): ToolCall["args"] {
    if (random.chance(0.01)) return { malformed: "{" };
    if (name === "sleep_for") return { seconds: random.int(0, 20) };
    if (name === "wait_for_signal")
      return {
        name: random.pick(signalNames),
        timeout_seconds: random.int(1, 40),
        on_timeout: random.chance(0.8) ? "continue" : "fail",
      };
    // The same call twice is one of the things that must be told apart.
    return { n: name !== "look" && random.chance(0.2) ? `same${random.int(1, 2)}` : unique() };
  }

  return {
    model,
    embedder: () => embedder,
    embedderOf: () => null,
    countModels: () => 1,
    price: () => (input, output) => (input + output) * microUsdPerToken,
  };
}

/** A token of a prompt is a byte or more. What a model thought is billed once, when it thought it. */
function tokensOf(message: Message): number {
  switch (message.role) {
    case "user":
      return 0;
    case "assistant":
      return Math.ceil(message.text.length / 4);
    case "tool":
      return 4 * message.results.length;
  }
}

const embedder: Embedder = {
  name: "scripted/embed",
  dimensions: 3,
  embed: async (texts) => texts.map(() => [1, 0, 0]),
};
