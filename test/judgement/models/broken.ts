/** Models whose answers cannot be used: broken in form, or asking for what does not exist. */
import type { Scripted } from "../../../packages/core/src/models/testing/scripted-server.ts";
import type { Scene } from "../support/house.ts";
import {
  answer,
  call,
  fooled,
  modelOf,
  nothing,
  plainIntake,
  plan,
  plansOnce,
  say,
  type Answer,
  type Model,
  type PlannedTask,
} from "./model.ts";

const goal = "Write the word apple to out.txt";
const task: PlannedTask = { id: "t1", text: "Write the word apple to out.txt" };
const writesIt: Answer = (view) =>
  view.results.length === 0 ? call("write_file", { path: "out.txt", text: "apple\n" }) : say("out.txt has the word.");
const plansIt = plansOnce([task], "The word is in out.txt.");
/** Ends where the task did not come through. */
const plansOrGivesUp: Answer = (view) =>
  view.tasks.some((each) => each.status === "abandoned" || each.status === "failed") ? nothing : plansIt(view);

/** Structured answers that are none. */
export const forms: readonly (readonly [name: string, broken: Scripted])[] = [
  ["malformed", { text: '{"tasks": [{"id": t1, done: maybe' }],
  ["truncated", { text: '{"tasks": [{"id": "t1", "text": "Wri', stop: "length" }],
  ["empty", { text: "" }],
  ["refused", { refusal: "I cannot help with that." }],
  ["of another shape", { json: { result: "ok", tasks: "none", status: 7, intent: [] } }],
  ["no object", { text: "Sure! I will get right to it: [1, 2, 3]" }],
];

export type Stage = "intake" | "plan" | "verdict";
export const stages: readonly Stage[] = ["intake", "plan", "verdict"];

/** Broken at the first asking of every conversation, or at each. */
export type Times = "once" | "always";

export function brokenStage(stage: Stage, name: string, broken: Scripted, times: Times): Scene {
  const whole: Model = modelOf({ plan: plansOrGivesUp, execute: writesIt });
  const breaks: Answer = (view) => (times === "always" || view.told.length === 0 ? broken : whole[stage](view));
  return {
    tag: `${stage}-${name.replaceAll(" ", "-")}-${times}`,
    goal,
    model: { ...whole, [stage]: breaks },
  };
}

/** Plans that could not run, and words that the answer to them must hold. */
export const badPlans: readonly (readonly [name: string, title: string, tasks: readonly PlannedTask[], why: string])[] =
  [
    ["unknown-tool", "a tool that does not exist", [{ ...task, tools: ["save_file"] }], "save_file"],
    ["unknown-id", "a dependency that does not exist", [{ ...task, depends_on: ["t0"] }], "t0"],
    ["itself", "a task that depends on itself", [{ ...task, depends_on: ["t1"] }], "t1"],
    [
      "cycle",
      "a circle of three",
      [
        { ...task, depends_on: ["t3"] },
        { id: "t2", text: "Check out.txt", depends_on: ["t1"] },
        { id: "t3", text: "Read out.txt", depends_on: ["t2"] },
      ],
      "circle",
    ],
    ["same-id", "two tasks of one id", [task, { ...task, text: "Write the word pear to out.txt" }], "t1"],
    [
      "evidence-tool",
      "evidence by a tool that the task is not offered",
      [{ ...task, tools: ["write_file"], evidence: [{ tool: "append_to_file" }] }],
      "append_to_file",
    ],
    [
      "evidence-up",
      "evidence outside of the workspace",
      [{ ...task, evidence: [{ artifact: "../out.txt" }] }],
      "../out.txt",
    ],
    [
      "evidence-root",
      "evidence at the root of the disk",
      [{ ...task, evidence: [{ artifact: "/etc/out.txt" }] }],
      "/etc",
    ],
    ["long-text", "a task of 100 KB", [{ ...task, text: `Write out.txt: ${"apple ".repeat(17_000)}` }], "text"],
    [
      "many",
      "two hundred tasks",
      Array.from({ length: 200 }, (_, index) => ({
        id: `t${index + 1}`,
        text: `Write the word apple ${index} to out.txt`,
      })),
      "200",
    ],
  ];

export function badPlan(name: string, tasks: readonly PlannedTask[], times: Times): Scene {
  return {
    tag: `plan-${name}-${times}`,
    goal,
    model: modelOf({
      plan: (view) => {
        if (view.tasks.length > 0) return plansOrGivesUp(view);
        return times === "always" || view.told.length === 0 ? plan(...tasks) : plan(task);
      },
      execute: writesIt,
    }),
  };
}

/** An executor's turns that lead nowhere at first, or always. */
const turns: readonly (readonly [name: string, title: string, turn: Answer])[] = [
  ["empty", "an empty answer", () => say("")],
  ["cut", "an answer that was cut off", () => ({ text: "I will now wri", stop: "length" })],
  ["refusal", "a refusal", () => ({ refusal: "I cannot help with that." })],
  ["filtered", "an answer that was filtered", () => ({ text: "", stop: "content_filter" })],
  ["unknown-tool", "a call of a tool that does not exist", () => call("save_file", { path: "out.txt", text: "apple" })],
  ["wrong-types", "a call with arguments of other types", () => call("write_file", { path: 7, text: null })],
  ["wrong-names", "a call with arguments of other names", () => call("write_file", { file: "out.txt", body: "apple" })],
  ["no-json", "a call whose arguments are no JSON", () => ({ toolCalls: [{ name: "write_file", args: '{"path": ' }] })],
  ["no-object", "a call whose arguments are a list", () => ({ toolCalls: [{ name: "write_file", args: "[1, 2]" }] })],
];
export const badTurns = turns;

/** Once: until something came back or it was told. */
export function badTurn(name: string, turn: Answer, times: Times): Scene {
  return {
    tag: `turn-${name}-${times}`,
    goal,
    model: modelOf({
      plan: plansOrGivesUp,
      execute: (view) => {
        const isFirst = view.told.length === 0 && view.results.length === 0 && view.task.attempt === 1;
        if (times === "always" || isFirst) return turn(view);
        return view.results.at(-1)?.startsWith("Wrote") === true
          ? say("out.txt has the word.")
          : call("write_file", { path: "out.txt", text: "apple\n" });
      },
    }),
  };
}

/** A hundred calls in one turn, and the one that counts among the first. */
export const hundredCalls: Scene = {
  tag: "hundred-calls",
  goal,
  model: modelOf({
    plan: plansOrGivesUp,
    execute: (view) =>
      view.results.length > 0
        ? say("out.txt has the word.")
        : {
            toolCalls: Array.from({ length: 100 }, (_, index) =>
              index === 0
                ? { name: "write_file", args: { path: "out.txt", text: "apple\n" } }
                : { name: "search_files", args: { query: `apple ${index}` } },
            ),
          },
  }),
};

/** A hundred calls in one turn, again and again. */
export const hundredsOfCalls: Scene = {
  tag: "hundreds-of-calls",
  goal,
  model: modelOf({
    plan: plansOrGivesUp,
    execute: (view) => ({
      toolCalls: Array.from({ length: 100 }, (_, index) => ({
        name: "search_files",
        args: { query: `apple ${index} ${view.results.length}` },
      })),
    }),
  }),
};

/** A verdict that splits into what cannot be tasks. */
export const badSplits: readonly Scene[] = [
  ["nothing", []],
  ["blank", ["", "  "]],
  ["huge", [`Write out.txt: ${"apple ".repeat(17_000)}`]],
].map(([name, newTasks]) => ({
  tag: `split-into-${String(name)}`,
  goal,
  model: modelOf({
    plan: plansOrGivesUp,
    execute: writesIt,
    verdict: (view) =>
      view.task.attempt === 1 && view.task.depth === 0
        ? answer({ status: "split", reason: "too big", new_tasks: newTasks, lesson: "" })
        : fooled(view),
  }),
}));

/** An intake that asks where nobody may be asked: its defaults are what is known. */
export const askingIntake: Scene = {
  tag: "intake-asks-nobody",
  goal,
  model: modelOf({
    intake: (view) => {
      const plain = plainIntake(view) as { readonly json: object };
      return answer({ ...plain.json, questions: [{ question: "Which word?", default: "apple" }] });
    },
    plan: plansOrGivesUp,
    execute: writesIt,
  }),
};
