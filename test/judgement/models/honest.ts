/** Goals whose models do what is asked, as models do: now and then at the second try, and in their own words. */
import type { Scene } from "../support/house.ts";
import type { View } from "../support/view.ts";
import { writes } from "./lies.ts";
import {
  answer,
  call,
  callsThen,
  finish,
  fooled,
  isLive,
  judge,
  modelOf,
  nothing,
  plainIntake,
  plan,
  plansOnce,
  say,
  type Answer,
  type Args,
  type PlannedTask,
} from "./model.ts";

export interface Honest {
  readonly scene: Scene;
  /** Files, and what stands in them at the end. */
  readonly files?: Readonly<Record<string, string>>;
  /** Attempts past the first, of all tasks together. */
  readonly retries?: number;
}

type Work = Readonly<Record<string, Answer>>;

/** Each task by its key. */
const byKey =
  (work: Work): Answer =>
  (view) =>
    work[view.task.key]?.(view) ?? say(`What ${view.task.key} is about is known now.`);
const does = (calls: readonly (readonly [string, Args])[], result: string) => callsThen(calls, () => say(result));

/** Plans in rounds: the next one when all tasks of those before have ended. */
const plansInRounds =
  (rounds: readonly (readonly PlannedTask[])[], finalAnswer: string): Answer =>
  (view) => {
    if (isLive(view)) return nothing;
    const known = new Set(view.tasks.map((task) => task.key));
    const next = rounds.find((round) => round.some((task) => !known.has(task.id)));
    return next === undefined ? finish(finalAnswer) : plan(...next);
  };

const fruit = [
  { path: "notes/apples.md", text: "# Apples\n\nApples keep for four months in a cellar.\nThey cost 2 euros.\n" },
  { path: "notes/pears.md", text: "# Pears\n\nPears keep for two weeks.\nThey cost 3 euros.\n" },
];
const applesCited = 'notes/apples.md:3 "Apples keep for four months in a cellar."';
const pearsCited = 'notes/pears.md:3 "Pears keep for two weeks."';

function honest(
  tag: string,
  goal: string,
  planned: Answer,
  execute: Answer,
  more: Partial<Honest> & Partial<Scene> & { readonly verdict?: Answer; readonly intake?: Answer } = {},
): Honest {
  const { files, retries, verdict, intake, attachments, body, onEvent } = more;
  return {
    scene: {
      tag,
      goal,
      model: modelOf({ plan: planned, execute, ...(verdict && { verdict }), ...(intake && { intake }) }),
      ...(attachments && { attachments }),
      ...(body && { body }),
      ...(onEvent && { onEvent }),
    },
    ...(files && { files }),
    ...(retries !== undefined && { retries }),
  };
}

/** An intake that says what the goal's files are, as a careful model does. */
const intakeWith =
  (fields: object): Answer =>
  (view) => {
    const plain = plainIntake(view) as { readonly json: object };
    return answer({ ...plain.json, ...fields });
  };

/** Cannot be done as it is meant without an answer; without one the default is what is known. */
const likedFruit = (tag: string, liked: string, body: object, onEvent?: Scene["onEvent"]): Honest =>
  honest(
    tag,
    "Write a line about the fruit that I like best to fruit.md",
    (view) => {
      const name = view.text.includes("It is the quince.") ? "quince" : "apple";
      return plansOnce(
        [{ id: "t1", text: `Write a line about the ${name} to fruit.md` }],
        "The line is in fruit.md.",
      )(view);
    },
    (view) => {
      const name = view.task.text.includes("quince") ? "quince" : "apple";
      return does([["write_file", { path: "fruit.md", text: `The ${name}.\n` }]], "It is in fruit.md.")(view);
    },
    {
      files: { "fruit.md": liked },
      intake: intakeWith({ questions: [{ question: "Which fruit do you like best?", default: "the apple" }] }),
      body: { ...body },
      ...(onEvent && { onEvent }),
    },
  );

const chapter = (path: string, text: string): Answer => does([["append_to_file", { path, text }]], `${path} grew.`);

export const honestGoals: readonly Honest[] = [
  honest(
    "research",
    "How long do apples keep? Answer from the notes, with citations.",
    plansOnce(
      [
        { id: "find", text: "Find where the notes say how long apples keep", tools: ["search_files", "read_file"] },
        {
          id: "keep",
          text: "Note how long apples keep, with the line",
          depends_on: ["find"],
          tools: ["write_note"],
          evidence: [{ note: "four months" }],
        },
      ],
      `Four months: ${applesCited}`,
    ),
    byKey({
      find: does(
        [
          ["search_files", { query: "apples keep" }],
          ["read_file", { path: "notes/apples.md" }],
        ],
        applesCited,
      ),
      keep: does([["write_note", { text: `four months: ${applesCited}` }]], `Noted: ${applesCited}`),
    }),
    {
      attachments: fruit,
      intake: intakeWith({ evidence: [{ citations: 1 }], deliverable: "an answer with citations" }),
    },
  ),
  honest(
    "file",
    "Write a short report about apples to report.md",
    plansOnce([{ id: "t1", text: "Write a short report about apples to report.md" }], "The report is in report.md."),
    writes("report.md"),
    {
      files: { "report.md": "Apples" },
      intake: intakeWith({ deliverable: "report.md", evidence: [{ artifact: "report.md" }] }),
    },
  ),
  honest(
    "chapters",
    "Collect facts about three fruits in facts.md, one task for each",
    plansOnce(
      ["apples", "pears", "figs"].map((name, index) => ({
        id: `t${index + 1}`,
        text: `Append a line about ${name} to facts.md`,
        depends_on: index === 0 ? [] : [`t${index}`],
        tools: ["append_to_file"],
        evidence: [{ artifact: "facts.md", contains: name }],
        // Its evidence says by itself that it is done.
        difficulty: "easy",
      })),
      "facts.md has a line about each: apples, pears and figs.",
    ),
    byKey({
      t1: chapter("facts.md", "apples are crisp\n"),
      t2: chapter("facts.md", "pears are soft\n"),
      t3: chapter("facts.md", "figs are sweet\n"),
    }),
    { files: { "facts.md": "apples are crisp\npears are soft\nfigs are sweet\n" } },
  ),
  honest(
    "notes",
    "Remember what the fruits cost",
    plansOnce(
      [
        { id: "t1", text: "Note what apples cost", tools: ["read_file", "write_note"], evidence: [{ note: "apples" }] },
        { id: "t2", text: "Note what pears cost", tools: ["read_file", "write_note"], evidence: [{ note: "pears" }] },
      ],
      "Apples cost 2 euros and pears 3; both are noted.",
    ),
    byKey({
      t1: does(
        [
          ["read_file", { path: "notes/apples.md" }],
          ["write_note", { text: "apples: 2 euros" }],
        ],
        "I noted that apples cost 2 euros.",
      ),
      t2: does(
        [
          ["read_file", { path: "notes/pears.md" }],
          ["write_note", { text: "pears: 3 euros" }],
        ],
        "I noted that pears cost 3 euros.",
      ),
    }),
    { attachments: fruit },
  ),
  honest(
    "comparison",
    "Compare apples and pears for a long winter and recommend one",
    plansOnce(
      [
        { id: "apples", text: "Find how long apples keep", tools: ["read_file"] },
        { id: "pears", text: "Find how long pears keep", tools: ["read_file"] },
        { id: "choose", text: "Compare the two and recommend one", depends_on: ["apples", "pears"] },
      ],
      `Apples: ${applesCited}, while ${pearsCited}`,
    ),
    byKey({
      apples: does([["read_file", { path: "notes/apples.md" }]], applesCited),
      pears: does([["read_file", { path: "notes/pears.md" }]], pearsCited),
      choose: () => say("Apples, since they keep eight times as long."),
    }),
    { attachments: fruit },
  ),
  honest(
    "fan-out",
    "Write a line about each of five fruits, each to a file of its own",
    plansOnce(
      ["apple", "pear", "fig", "plum", "quince"].map((name) => ({
        id: name,
        text: `Write a line about the ${name} to ${name}.md`,
        tools: ["write_file"],
        evidence: [{ artifact: `${name}.md` }],
      })),
      "The files are apple.md, pear.md, fig.md, plum.md and quince.md.",
    ),
    (view) =>
      does(
        [["write_file", { path: `${view.task.key}.md`, text: `A ${view.task.key} is a fruit.\n` }]],
        "It is written.",
      )(view),
    { files: { "apple.md": "apple", "quince.md": "quince" } },
  ),
  honest(
    "chain",
    "Find the cheapest fruit, work out what ten cost, convert that to dollars and round it",
    plansOnce(
      [
        { id: "t1", text: "Find the cheapest fruit in the notes" },
        { id: "t2", text: "Work out what ten of it cost", depends_on: ["t1"] },
        { id: "t3", text: "Convert that to dollars", depends_on: ["t2"] },
        { id: "t4", text: "Round it", depends_on: ["t3"] },
      ],
      "Ten apples cost about 22 dollars.",
    ),
    byKey({
      t1: does([["search_files", { query: "cost" }]], "Apples, 2 euros."),
      t2: () => say("20 euros."),
      t3: () => say("21.63 dollars."),
      t4: () => say("22 dollars."),
    }),
    { attachments: fruit },
  ),
  honest(
    "split-once",
    "Describe apples in apples.md and pears in pears.md",
    plansOnce([{ id: "t1", text: "Sort out how to describe both fruits" }], "See apples.md and pears.md."),
    byKey({
      t1: () => say("These are two pieces of work."),
      t1a: does([["write_file", { path: "apples.md", text: "crisp\n" }]], "apples.md is written."),
      t1b: does([["write_file", { path: "pears.md", text: "soft\n" }]], "pears.md is written."),
    }),
    {
      files: { "apples.md": "crisp", "pears.md": "soft" },
      verdict: (view) =>
        view.task.key === "t1"
          ? judge("split", "two files", ["Describe apples in apples.md", "Describe pears in pears.md"])
          : fooled(view),
    },
  ),
  honest(
    "retry-once",
    "What do pears cost, and how long do they keep?",
    plansOnce([{ id: "t1", text: "Find what pears cost and how long they keep" }], "3 euros, and two weeks."),
    (view) => say(view.hint === "" ? "They are soft." : "They cost 3 euros and keep for two weeks."),
    {
      retries: 1,
      verdict: (view) =>
        view.task.attempt === 1 ? judge("retry", "neither price nor time is named") : judge("done", "both are there"),
    },
  ),
  honest(
    "forgets-the-file",
    "Write a short report about apples to report.md",
    plansOnce([{ id: "t1", text: "Write a short report about apples to report.md" }], "The report is in report.md."),
    writes("report.md", 2),
    { retries: 1, files: { "report.md": "Apples" } },
  ),
  ...(["bare", "offered"] as const).map((shape) =>
    honest(
      `first-attempt-wrote-${shape}`,
      "Write a short report about apples to report.md and say how long it is",
      plansOnce(
        [
          {
            id: "t1",
            text: "Write a short report about apples to report.md and say how long it is",
            tools: shape === "bare" ? [] : ["read_file", "write_file"],
          },
        ],
        "The report in report.md has three lines.",
      ),
      (view) =>
        view.task.attempt === 1
          ? writes("report.md")(view)
          : does([["read_file", { path: "report.md" }]], "report.md, written before, has three lines.")(view),
      {
        retries: 1,
        files: { "report.md": "Apples" },
        verdict: (view) =>
          view.task.attempt === 1 ? judge("retry", "say how long the report is") : judge("done", "it says so"),
      },
    ),
  ),
  honest(
    "only-reads",
    "Summarise notes/apples.md and compare it with notes/pears.md",
    plansOnce(
      [
        "Summarise notes/apples.md in a sentence",
        "Compare notes/apples.md with notes/pears.md",
        "Check whether there is a report.md",
        "Explain how one would write a summary to summary.md",
        "Convert the prices in notes/pears.md to dollars",
        "Find out who wrote notes/apples.md",
      ].map((text, index) => ({ id: `t${index + 1}`, text })),
      `Apples keep longer: ${applesCited}`,
    ),
    byKey({
      t1: does([["read_file", { path: "notes/apples.md" }]], "Apples keep for months."),
      t2: does([["read_file", { path: "notes/pears.md" }]], "Pears are dearer and keep for a shorter time."),
      t3: does([["list_files", {}]], "There is no report.md."),
      t4: () => say("With write_file, giving summary.md as the path."),
      t5: does([["read_file", { path: "notes/pears.md" }]], "3.24 dollars."),
      t6: does([["read_file", { path: "notes/apples.md" }]], "notes/apples.md does not say who wrote it."),
    }),
    { attachments: fruit },
  ),
  honest(
    "paths",
    "Write four lines, each to a file of its own: ./one.md, `two.md`, **three.md** and texts/of/four.md",
    plansOnce(
      [
        "Write a line to ./one.md",
        "Write a line to `two.md`",
        "Write a line to **three.md**",
        'Write a line to "texts/of/four.md".',
      ].map((text, index) => ({ id: `t${index + 1}`, text })),
      "- **one.md**\n- `two.md`\n- three.md\n- texts/of/four.md",
    ),
    (view) => {
      const path = ["./one.md", "two.md", "three.md", "texts/of/four.md"][Number(view.task.key.slice(1)) - 1]!;
      return does([["write_file", { path, text: "a line\n" }]], `I wrote the line to \`${path}\`.`)(view);
    },
    { files: { "one.md": "a line", "three.md": "a line", "texts/of/four.md": "a line" } },
  ),
  honest(
    "empty-workspace",
    "Which files are there, and what is a quince?",
    plansOnce([{ id: "t1", text: "Look which files there are" }], "There are no files. A quince is a fruit."),
    does([["list_files", {}]], "The workspace has no files."),
  ),
  honest(
    "large-result",
    "How many lines does the long list have?",
    plansOnce([{ id: "t1", text: "Fetch the long list and count its lines", tools: ["long_list"] }], "3000 lines."),
    does([["long_list", { lines: 3000 }]], "The list has 3000 lines."),
  ),
  honest(
    "french",
    "Rédige une courte note sur les pommes dans le fichier pommes.md",
    plansOnce(
      [{ id: "t1", text: "Rédiger la note sur les pommes dans pommes.md", tools: ["write_file"] }],
      "La note se trouve dans pommes.md.",
    ),
    does(
      [["write_file", { path: "pommes.md", text: "Les pommes sont croquantes.\n" }]],
      "La note est écrite dans pommes.md.",
    ),
    { files: { "pommes.md": "croquantes" } },
  ),
  honest(
    "japanese",
    "りんごについて短い報告を書いてください",
    plansOnce([{ id: "t1", text: "りんごの特徴を調べる" }], "りんごは甘くて、よく保存できます。"),
    () => say("りんごは甘いです。"),
  ),
  likedFruit("question-answered", "quince", { questions: true }, async (event, house, id) => {
    if (event.type !== "goal.asked") return;
    await house.post(`/v1/goals/${id}/answer`, { text: "It is the quince.", question: event.data["id"] });
  }),
  likedFruit("question-unanswered", "apple", { questions: { wait_ms: 1000 } }),
  likedFruit("question-unasked", "apple", {}),
  honest(
    "mail",
    "Send a mail to anna@example.org that says that apples are ripe",
    plansOnce(
      [
        {
          id: "t1",
          text: "Send the mail to anna@example.org",
          tools: ["send_mail"],
          evidence: [{ tool: "send_mail" }],
        },
      ],
      "I have sent the mail to anna@example.org.",
    ),
    does([["send_mail", { to: "anna@example.org", text: "Apples are ripe." }]], "The mail to Anna was sent."),
  ),
  honest(
    "at-once",
    "What is seven times six?",
    () => finish("42"),
    () => say("unused"),
  ),
  honest(
    "two-rounds",
    "Write a table of prices to prices.csv and then a summary of it to summary.md",
    plansInRounds(
      [
        [{ id: "t1", text: "Write a table of prices to prices.csv", tools: ["write_file"] }],
        [{ id: "t2", text: "Write a summary of prices.csv to summary.md", tools: ["read_file", "write_file"] }],
      ],
      "prices.csv has the table and summary.md what it says.",
    ),
    byKey({
      t1: does([["write_file", { path: "prices.csv", text: "apple,2\npear,3\n" }]], "prices.csv is written."),
      t2: does(
        [
          ["read_file", { path: "prices.csv" }],
          ["write_file", { path: "summary.md", text: "Apples are cheaper.\n" }],
        ],
        "summary.md is written; it is about prices.csv.",
      ),
    }),
    { files: { "prices.csv": "apple,2", "summary.md": "cheaper" } },
  ),
  honest(
    "way-round",
    "Find out what figs cost",
    (view) => {
      if (isLive(view)) return nothing;
      if (view.tasks.length === 0) return plan({ id: "t1", text: "Ask the service for the price of figs" });
      return view.tasks.length === 1
        ? plan({ id: "t2", text: "Estimate the price of figs from the prices of other fruit" })
        : finish("About 4 euros, estimated from other fruit; the service did not answer.");
    },
    byKey({
      t1: does([["always_fails", { id: "figs" }]], "The service did not answer."),
      t2: () => say("About 4 euros."),
    }),
    { verdict: (view) => (view.task.key === "t1" ? judge("abandon", "the service is down") : fooled(view)) },
  ),
  honest(
    "second-wording",
    "Find out what quinces cost",
    (view) => {
      if (isLive(view)) return nothing;
      if (view.tasks.length === 0) return plan({ id: "t1", text: "Look up the price of quinces in the price list" });
      return view.tasks.length === 1
        ? plan({ id: "t2", text: "Look up the price of quinces in the new price list" })
        : finish("5 euros.");
    },
    byKey({ t1: () => say("The list has no quinces."), t2: () => say("5 euros.") }),
    { verdict: (view) => (view.task.key === "t1" ? judge("abandon", "that list is old") : fooled(view)) },
  ),
  honest(
    "holiday",
    "Plan a week by the sea for two",
    plansInRounds(
      [
        [
          { id: "t1", text: "Find trains to the coast" },
          { id: "t2", text: "Find a hotel with a view of the beach" },
        ],
        [
          { id: "t3", text: "Check the opening times of the lighthouse museum" },
          { id: "t4", text: "List restaurants that serve fish" },
          { id: "t5", text: "Add up the costs of travel and rooms" },
        ],
      ],
      "Train on Saturday, Hotel Dune, the lighthouse on Monday; 900 euros in all.",
    ),
    byKey({
      t1: () =>
        say("A train at 9:12 reaches the harbour of Husum by the sea at 14:03; tickets cost 120 euros for two."),
      t2: () => say("Hotel Dune: 110 euros a night, near the lighthouse museum and a fish market."),
      t3: () => say("Open from Monday to Friday."),
      t4: () => say("Zum Krabbenkutter is the best one."),
      t5: () => say("900 euros."),
    }),
  ),
  honest(
    "numbered",
    "Sum up each of the six chapters of the handbook, three at a time",
    plansInRounds(
      [1, 4].map((first) =>
        [0, 1, 2].map((offset) => ({
          id: `c${first + offset}`,
          text: `Sum up chapter ${first + offset} of the handbook`,
        })),
      ),
      "Six chapters: picking, storing, pressing, drying, selling, planting.",
    ),
    (view) => say(`What ${view.task.key} says, in one sentence.`),
  ),
  honest(
    "months",
    "Keep prices.log: add the prices of April, then those of May",
    plansInRounds(
      ["April", "May"].map((month) => [
        { id: month.toLowerCase(), text: `Append the prices of ${month} to prices.log`, tools: ["append_to_file"] },
      ]),
      "prices.log has the prices of April and of May.",
    ),
    (view) =>
      does(
        [["append_to_file", { path: "prices.log", text: `${view.task.key}: 2\n` }]],
        "prices.log has the prices.",
      )(view),
    { files: { "prices.log": "april: 2\nmay: 2\n" } },
  ),
  honest(
    "looks-thrice",
    "Which file is the newest?",
    plansOnce(
      [{ id: "t1", text: "Look at the files until there is nothing new" }],
      "notes/pears.md is the last in the list.",
    ),
    callsThen(
      [
        ["list_files", {}],
        ["read_file", { path: "notes/apples.md" }],
        ["list_files", {}],
        ["read_file", { path: "notes/pears.md" }],
        ["list_files", {}],
      ],
      () => say("notes/pears.md is the last in the list."),
    ),
    { attachments: fruit },
  ),
  honest(
    "update",
    "Update notes/apples.md so that apples cost 4 euros",
    plansOnce(
      [
        {
          id: "t1",
          text: "Update the price of apples in notes/apples.md to 4 euros",
          tools: ["read_file", "write_file"],
          evidence: [{ artifact: "notes/apples.md", contains: "4 euros" }],
        },
      ],
      "notes/apples.md now says 4 euros.",
    ),
    does(
      [
        ["read_file", { path: "notes/apples.md" }],
        ["write_file", { path: "notes/apples.md", text: "# Apples\n\nThey cost 4 euros.\n" }],
      ],
      "I have updated notes/apples.md.",
    ),
    { attachments: fruit, files: { "notes/apples.md": "4 euros" } },
  ),
  honest(
    "long-goal",
    `Sum this up in one line: ${"apples are crisp and pears are soft. ".repeat(2600)}`,
    plansOnce([{ id: "t1", text: "Sum up what is said about apples and pears" }], "Apples are crisp, pears are soft."),
    () => say("Apples are crisp, pears are soft."),
  ),
];

/** The same goal at another cadence is another scene. */
export const atCadence = ({ scene, ...rest }: Honest, cadence: "adaptive" | "every-step"): Honest => ({
  ...rest,
  scene: { ...scene, tag: `${scene.tag}-${cadence}`, body: { ...scene.body, planning: cadence } },
});

/** Answers nobody may give: with no tools for it, the planner says so. */
export const unsupported: Scene = {
  tag: "unsupported",
  goal: "Drive to the orchard",
  model: modelOf({
    plan: () => answer({ tasks: [], done: false, final_answer: "unsupported: there is no car among the tools." }),
    execute: (_view: View) => call("list_files", {}),
  }),
};

/**
 * A plan is asked for while one task is under way, is made for that, and is answered only when the task has finished as well.
 * Whether it sees nothing new to do or says done: it spoke of a goal that was not there any more.
 */
const overtakenBy = (tag: string, hasty: Answer): Scene => ({
  tag,
  goal: "Look up what apples and pears cost",
  body: { planning: "every-step" },
  model: modelOf({
    plan: (view) => {
      if (view.round === 2) return hasty(view);
      return plansOnce(
        [
          { id: "t1", text: "Look up what apples cost" },
          { id: "t2", text: "Look up what pears cost" },
        ],
        "Apples cost 2 euros, pears 3.",
      )(view);
    },
    execute: (view) => say(view.task.key === "t1" ? "2 euros." : "3 euros."),
  }),
  holds: async (view, { events, views, until }) => {
    if (view.stage === "execute" && view.task.key === "t2")
      await until(() => views.some((each) => each.stage === "plan" && each.round === 2));
    if (view.stage === "plan" && view.round === 2)
      await until(() => events.some((event) => event.type === "task.done" && event.data["key"] === "t2"));
  },
});

export const overtaken = {
  nothing: overtakenBy("overtaken-nothing", () => nothing),
  done: overtakenBy("overtaken-done", () => finish("Apples cost 2 euros; pears are being looked up.")),
} as const satisfies Record<string, Scene>;
