/** What a scripted model is, and the plain ones that others are made of. */
import type { Scripted } from "../../../packages/core/src/models/testing/scripted-server.ts";
import type { View } from "../support/view.ts";

/** Pure: a view in, an answer out. */
export type Answer = (view: View) => Scripted;

export interface Model {
  readonly intake: Answer;
  readonly plan: Answer;
  readonly execute: Answer;
  readonly verdict: Answer;
}

export function answerAs(model: Model, view: View): Scripted {
  return model[view.stage](view);
}

export const say = (text: string): Scripted => ({ text });
export const answer = (json: unknown): Scripted => ({ json });
export type Args = Readonly<Record<string, string | number | boolean | null>>;
export const call = (name: string, args: Args): Scripted => ({ toolCalls: [{ name, args: { ...args } }] });

export interface PlannedTask {
  readonly id: string;
  readonly text: string;
  readonly depends_on?: readonly string[];
  readonly tools?: readonly string[];
  readonly evidence?: readonly unknown[];
  readonly difficulty?: "easy" | "normal" | "hard";
}

export const plan = (...tasks: readonly PlannedTask[]): Scripted =>
  answer({
    tasks: tasks.map((task) => ({ depends_on: [], tools: [], evidence: [], difficulty: "normal", ...task })),
    done: false,
    final_answer: "",
  });
export const finish = (text: string): Scripted => answer({ tasks: [], done: true, final_answer: text });
/** Sees nothing more to do. */
export const nothing: Scripted = answer({ tasks: [], done: false, final_answer: "" });

export type Status = "done" | "retry" | "split" | "abandon";
export const judge = (status: Status, reason: string, newTasks: readonly string[] = []): Scripted =>
  answer({ status, reason, new_tasks: newTasks, lesson: "" });

const ended = new Set(["done", "failed", "abandoned", "cancelled", "split"]);
export const isLive = (view: View): boolean => view.tasks.some((task) => !ended.has(task.status));

/** These tasks first, and the answer when none of them is left, whatever became of them. */
export function plansOnce(tasks: readonly PlannedTask[], finalAnswer: string | ((view: View) => string)): Answer {
  return (view) => {
    if (view.tasks.length === 0) return plan(...tasks);
    if (isLive(view)) return nothing;
    return finish(typeof finalAnswer === "string" ? finalAnswer : finalAnswer(view));
  };
}

/** Makes these calls, one a turn, and then says what is to be said. */
export function callsThen(calls: readonly (readonly [string, Args])[], then: (view: View) => Scripted): Answer {
  return (view) => {
    const next = calls[view.results.length];
    return next === undefined ? then(view) : call(...next);
  };
}

/** A reader of goals who adds nothing: what must be there is left to the program to find out. */
export const plainIntake: Answer = (view) =>
  answer({
    intent: view.goal,
    entities: [],
    constraints: [],
    deliverable: "",
    risk: "low",
    evidence: [],
    questions: [],
  });

/** Waves everything through. That must not matter. */
export const fooled: Answer = () => judge("done", "It says that it is done.");

/** A model whose parts are replaced by those that a case is about. */
export const modelOf = (parts: Pick<Model, "plan" | "execute"> & Partial<Model>): Model => ({
  intake: plainIntake,
  verdict: fooled,
  ...parts,
});
