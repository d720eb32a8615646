/** Models for tests: answers by the names of schemas and tools, never by the wording of prompts. */
import type { Scripted, Seen } from "../../packages/core/src/models/testing/scripted-server.ts";

/** What one goal's models do; each may be replaced. */
export interface ModelScript {
  readonly intake?: (seen: Seen) => unknown;
  /** Called once a round, counted from 1. */
  readonly plan: (round: number, seen: Seen) => unknown;
  readonly execute: (seen: Seen) => Scripted | Promise<Scripted>;
  readonly verdict?: (seen: Seen) => unknown;
}

/** What a model says that has nothing to say about a goal's text. */
export const understood = { intent: "as the goal says" };

export const done = (answer: string) => ({ tasks: [], done: true, final_answer: answer });

/** Tasks that must each append their line to `out.txt`. */
export const appendTasks = (count: number) => ({
  tasks: Array.from({ length: count }, (_, index) => ({
    id: `t${index + 1}`,
    text: `append line ${index + 1}`,
    depends_on: [],
    tools: ["append_to_file"],
    evidence: [{ tool: "append_to_file" }],
    difficulty: "easy",
  })),
  done: false,
  final_answer: "",
});

export function scriptFor(script: ModelScript): (seen: Seen) => Promise<Scripted> {
  let round = 0;
  return async (seen) => {
    switch (seen.outputName) {
      case "intake":
        return { json: script.intake?.(seen) ?? understood };
      case "plan":
        round += 1;
        return { json: script.plan(round, seen) };
      case "verdict":
        return { json: script.verdict?.(seen) ?? { status: "done", reason: "as asked", new_tasks: [], lesson: "" } };
      default:
        return script.execute(seen);
    }
  };
}

/** A gate that opens when as many have arrived as it waits for; for what must be under way at the same time. */
export function barrier(count: number): { arrive(): Promise<void>; readonly arrived: () => number } {
  let arrived = 0;
  let open!: () => void;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return {
    arrive() {
      arrived += 1;
      if (arrived >= count) open();
      return opened;
    },
    arrived: () => arrived,
  };
}
