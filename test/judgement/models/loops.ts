/** Models that never come to an end by themselves: they split, repeat, wander, ask tools or give up for ever. */
import type { Scene, SeenEvent } from "../support/house.ts";
import type { View } from "../support/view.ts";
import {
  call,
  finish,
  judge,
  modelOf,
  nothing,
  plan,
  plansOnce,
  say,
  isLive,
  type Answer,
  type PlannedTask,
} from "./model.ts";

/** How often the planner has been heard so far: once a task that it planned, and once an answer that was sent back. */
const heard = (view: View) => view.tasks.length + view.told.length;
const cycle = <Item>(items: readonly Item[], index: number): Item => items[index % items.length]!;

/** Plans one of these each time it is asked, and never says done. */
const plansOnAndOn = (texts: readonly string[]): Answer => {
  return (view) => {
    if (isLive(view)) return nothing;
    const index = heard(view);
    return plan({ id: `n${index + 1}`, text: cycle(texts, index) });
  };
};

const study = (tag: string, goal: string, text: string, parts: (view: View) => readonly string[]): Scene => ({
  tag,
  goal,
  model: modelOf({
    plan: plansOnce([{ id: "t1", text }], "That is what there is to know about apples."),
    execute: () => say("There is more to know about apples."),
    verdict: (view) => judge("split", "there is more", parts(view)),
  }),
});

export const splitters = {
  twice: study("splits-in-two", "Learn about apples", "Learn about apples", (view) => [
    `Sort out the first half: ${view.task.text.slice(-60)} `,
    `Sort out the second half: ${view.task.text.slice(-60)}`,
  ]),
  itself: study("splits-itself", "Learn about apples", "Learn about apples", (view) => [view.task.text]),
  wide: {
    ...study("splits-wide", "Learn about apples", "Learn about apples", () =>
      Array.from({ length: 20 }, (_, index) => `Learn about apples of the kind ${index + 1}`),
    ),
    body: { budget: { steps: 60, wall_ms: 600_000 } },
  },
} as const satisfies Record<string, Scene>;

const notes = [{ path: "notes.txt", text: "apple\napple\npear\n" }];
const countGoal = "Count the apples in notes.txt and say what they cost";
const sameTask = ["Count the apples in notes.txt"];
const reworded = [
  "Count the apples in notes.txt",
  "Count the apples that are in the file notes.txt",
  "Now count the apples in notes.txt",
  "Please count apples in notes.txt",
  "In notes.txt, count the apples",
  "Count all apples in notes.txt",
];

/** Every round one of these, given up each time, beside another page that is read, so that something is always finished. */
const addsAndDrops =
  (texts: readonly string[]): Answer =>
  (view) => {
    if (isLive(view)) return nothing;
    const round = Math.floor(view.tasks.length / 2) + view.told.length;
    const page = view.tasks.length / 2 + 1;
    return plan(
      { id: `d${heard(view)}`, text: cycle(texts, round) },
      { id: `p${heard(view)}`, text: `Read page ${page} of the price list of apples` },
    );
  };
const givesUp: Answer = (view) =>
  view.task.text.startsWith("Read page") ? judge("done", "read") : judge("abandon", "that did not work");

export const thrashers = {
  same: {
    tag: "plans-the-same",
    goal: countGoal,
    attachments: notes,
    model: modelOf({ plan: plansOnAndOn(sameTask), execute: () => say("There are two apples.") }),
  },
  reworded: {
    tag: "plans-reworded",
    goal: countGoal,
    attachments: notes,
    model: modelOf({ plan: plansOnAndOn(reworded), execute: () => say("There are two apples.") }),
  },
  addAndDrop: {
    tag: "adds-and-drops",
    goal: "Find out what apples cost",
    model: modelOf({
      plan: addsAndDrops(["Ask the growers what apples cost", "Estimate what apples cost from last year's invoices"]),
      execute: () => say("Apples cost something."),
      verdict: givesUp,
    }),
  },
  failedReworded: {
    tag: "tries-what-failed",
    goal: "Find out what apples cost",
    model: modelOf({
      plan: addsAndDrops([
        "Ask the growers what apples cost",
        "Ask the growers again what apples cost",
        "Now ask growers what the apples cost",
        "Ask all growers what apples cost",
      ]),
      execute: () => say("Apples cost something."),
      verdict: givesUp,
    }),
  },
} as const satisfies Record<string, Scene>;

export const goOn = "Take what is known so far and come to an end.";
export const stop = "Stop here, this leads nowhere.";

const answerWith =
  (text: string): NonNullable<Scene["onEvent"]> =>
  async (event: SeenEvent, house, goalId) => {
    if (event.type !== "goal.asked") return;
    const response = await house.post(`/v1/goals/${goalId}/answer`, { text });
    if (!response.ok) throw new Error(`answer: ${response.status} ${await response.text()}`);
  };

/** Plans the same again and again until a person's word is in the prompt. */
const asked = (tag: string, body: Scene["body"], onEvent?: Scene["onEvent"]): Scene => ({
  tag,
  goal: countGoal,
  attachments: notes,
  model: modelOf({
    plan: (view) => {
      if (view.text.includes(goOn)) return finish("There are two apples; what they cost is not known.");
      return plansOnAndOn(sameTask)(view);
    },
    execute: () => say("There are two apples."),
  }),
  ...(body !== undefined && { body }),
  ...(onEvent !== undefined && { onEvent }),
});
export const askers = {
  goOn: asked("asked-go-on", { questions: true }, answerWith(goOn)),
  stop: asked("asked-stop", { questions: true }, answerWith(stop)),
  deadline: asked("asked-nobody", { questions: { wait_ms: 1000 } }),
} as const satisfies Record<string, Scene>;

/** Each task follows from the result before it, and none but the first from the goal. */
const wandering: readonly (readonly [task: string, result: string])[] = [
  ["Look at the vector extensions of SQLite", "sqlite-vec was programmed in a language called Zig."],
  ["Read how Zig began", "Zig began in a village below the Matterhorn."],
  ["Find hotels in the village below the Matterhorn", "The hotels serve porridge for breakfast."],
  ["Look up recipes for porridge", "Porridge is made of oats, mostly from Scotland."],
  ["List the castles of Scotland", "Glamis has a ghost called Earl Beardie."],
  ["Draw the family tree of Earl Beardie", "His grandmother played chess."],
  ["Learn the openings of chess", "The Sicilian is the most popular one."],
  ["Plan a journey to Sicily", "The ferry leaves at nine."],
  ["Paint the ferry", "It is blue now."],
];
const vectorGoal = "Recommend a vector extension for SQLite";

export const drifters = {
  stepwise: {
    tag: "drifts-stepwise",
    goal: vectorGoal,
    model: modelOf({
      plan: plansOnAndOn(wandering.map(([task]) => task)),
      execute: (view) => say(wandering.find(([task]) => task === view.task.text)?.[1] ?? "Nothing."),
    }),
  },
  abrupt: {
    tag: "drifts-at-once",
    goal: vectorGoal,
    model: modelOf({
      plan: plansOnAndOn([
        "Look at the vector extensions of SQLite",
        "Bake rye bread",
        "Tune the old piano",
        "Water the garden",
        "Knit a scarf",
      ]),
      execute: () => say("sqlite-vec is one."),
    }),
  },
} as const satisfies Record<string, Scene>;

/** All about the goal, all different, none ever finished. */
export const stalling: Scene = {
  tag: "finishes-nothing",
  goal: "Find out what apples cost",
  model: modelOf({
    plan: plansOnAndOn([
      "Search the attached price lists for apples",
      "Ask the growers' association about its apple prices",
      "Estimate the cost of apples from invoices of last year",
      "Telephone the wholesale market about a crate of apples",
      "Interview a greengrocer on how apples are priced",
      "Read the statistics office's index of fruit, apples included",
      "Scan leaflets of supermarkets for apples",
      "Visit an orchard and weigh apples against the till",
    ]),
    execute: () => say("That led nowhere."),
    verdict: () => judge("abandon", "it led nowhere"),
  }),
};

const caller = (tag: string, task: Partial<PlannedTask>, execute: Answer): Scene => ({
  tag,
  goal: "Find the word pear in the notes",
  attachments: notes,
  model: modelOf({
    plan: (view) =>
      view.tasks.length === 0 ? plan({ id: "t1", text: "Find the word pear in the notes", ...task }) : nothing,
    execute,
  }),
});
const nth = (view: View) => view.calls.length;

export const callers = {
  same: caller("calls-the-same", {}, () => call("list_files", {})),
  alternating: caller("calls-two-in-turn", {}, (view) =>
    nth(view) % 2 === 0 ? call("list_files", {}) : call("read_file", { path: "notes.txt" }),
  ),
  failing: caller("calls-what-fails", { tools: ["always_fails"] }, (view) =>
    call("always_fails", { id: `try ${nth(view)}` }),
  ),
  varying: caller("calls-to-the-limit", {}, (view) => call("search_files", { query: `word ${nth(view)}` })),
} as const satisfies Record<string, Scene>;

/** Calls the same until it is told, and then answers. */
export const heeding: Scene = {
  ...caller("heeds-the-word", {}, (view) => (view.told.length === 0 ? call("list_files", {}) : say("notes.txt:3 "))),
  model: modelOf({
    plan: plansOnce([{ id: "t1", text: "Find the word pear in the notes" }], 'notes.txt:3 "pear"'),
    execute: (view) => (view.told.length === 0 ? call("list_files", {}) : say('notes.txt:3 "pear"')),
  }),
};

/** Says done at once, where that is right and where it says nothing. */
export const hasty = {
  right: {
    tag: "done-at-once",
    goal: "What is seven times six?",
    model: modelOf({ plan: () => finish("42"), execute: () => say("unused") }),
  },
  wordless: {
    tag: "done-without-a-word",
    goal: "What is seven times six?",
    model: modelOf({ plan: () => finish(""), execute: () => say("unused") }),
  },
} as const satisfies Record<string, Scene>;
