/** A provider that answers goals by rule, may be told to fail, and counts what reached it and when. */
import {
  startScriptedServer,
  type Scripted,
  type Seen,
} from "../../../packages/core/src/models/testing/scripted-server.ts";
import { done, understood } from "../../support/scripts.ts";

/** What a request is for, by its schema and tools. `probe`: a word, asked for by nobody's goal. */
export type Purpose = "intake" | "plan" | "execute" | "verdict" | "probe";

export interface Asked {
  readonly purpose: Purpose;
  /** By `performance.now()` of the test. */
  readonly at: number;
  readonly model: string;
  readonly seen: Seen;
  /** The key that it came with. */
  readonly key: string;
  /** Whether it was answered by what `instead` said. */
  readonly replaced: boolean;
}

/** Said in place of the answer; undefined for the answer by rule. */
export type Instead = (purpose: Purpose, seen: Seen) => Scripted | undefined | Promise<Scripted | undefined>;

export interface TestProvider {
  readonly openAiBaseUrl: string;
  readonly anthropicBaseUrl: string;
  /** In the order of arrival. */
  readonly asked: readonly Asked[];
  close(): Promise<void>;
}

export interface GoalRules {
  /** Of each goal, independent of one another. */
  readonly tasks?: number;
  /** Calls of a tool in each task before its answer. */
  readonly calls?: number;
  readonly difficulty?: "easy" | "normal" | "hard";
}

export async function startProvider(instead: Instead = () => undefined, rules: GoalRules = {}): Promise<TestProvider> {
  const asked: Asked[] = [];
  const server = await startScriptedServer(async (seen) => {
    const at = performance.now();
    const purpose = purposeOf(seen);
    const replacement = await instead(purpose, seen);
    const { authorization = "", "x-api-key": apiKey = "" } = seen.headers;
    const key = String(apiKey) || String(authorization).replace("Bearer ", "");
    asked.push({ purpose, at, model: seen.model, seen, key, replaced: replacement !== undefined });
    return replacement ?? answerOf(purpose, seen, rules);
  });
  const { openAiBaseUrl, anthropicBaseUrl } = server;
  return { openAiBaseUrl, anthropicBaseUrl, asked, close: () => server.close() };
}

function purposeOf(seen: Seen): Purpose {
  switch (seen.outputName) {
    case "intake":
    case "plan":
    case "verdict":
      return seen.outputName;
    default:
      return seen.toolNames.length === 0 ? "probe" : "execute";
  }
}

/** Without memory: a call that is made again, of whichever provider, gets the same answer. */
function answerOf(purpose: Purpose, seen: Seen, { tasks = 1, calls = 1, difficulty = "easy" }: GoalRules): Scripted {
  switch (purpose) {
    case "intake":
      return { json: understood };
    case "plan":
      return {
        json: JSON.stringify(seen.body).includes("depends_on=") ? done("see the file") : planOf(tasks, difficulty),
      };
    case "verdict":
      return { json: { status: "done", reason: "as asked", new_tasks: [], lesson: "" } };
    case "execute": {
      // A turn of the task is two messages: the call and its result.
      const turn = (seen.messageCount - 1) / 2;
      return turn < calls
        ? { toolCalls: [{ name: "append_to_file", args: { path: "out.txt", text: `line ${turn}\n` } }] }
        : { text: "appended" };
    }
    case "probe":
      return { text: "ok" };
  }
}

export function planOf(tasks: number, difficulty: string) {
  return {
    tasks: Array.from({ length: tasks }, (_, index) => ({
      id: `t${index + 1}`,
      text: `append part ${index + 1}`,
      depends_on: [],
      tools: ["append_to_file"],
      evidence: [],
      difficulty,
    })),
    done: false,
    final_answer: "",
  };
}
