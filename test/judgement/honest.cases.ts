/** Honest models reach their goals, at either cadence, and are sent back only where they should be. */
import { describe, expect, test } from "vitest";
import { atCadence, honestGoals, overtaken, unsupported, type Honest } from "./models/honest.ts";
import { article } from "./models/article.ts";
import { articleCases } from "./article.cases.ts";
import { eventsOf, expectBounded, expectEnd, tell } from "./support/facts.ts";
import type { Cases } from "./support/describe-house.ts";
import type { House, Run } from "./support/house.ts";

const cadences = ["adaptive", "every-step"] as const;
type Cadence = (typeof cadences)[number];
const goals = honestGoals.map((each) => ({
  name: each.scene.tag,
  adaptive: atCadence(each, "adaptive"),
  "every-step": atCadence(each, "every-step"),
}));

export const honesty: Cases = {
  scenes: [
    ...goals.flatMap((goal) => cadences.map((cadence) => goal[cadence].scene)),
    unsupported,
    ...Object.values(overtaken),
    article,
  ],
  tests: (house) => describe("honest goals", () => honestTests(house)),
};

function honestTests(house: () => House): void {
  for (const cadence of cadences)
    describe(`planning ${cadence}`, () => {
      for (const goal of goals)
        test(`succeeds: ${goal.name}`, async () => {
          const run = await house().play(goal[cadence].scene);
          expectBounded(run);
          await expectHonest(run, goal[cadence]);
        }, 120_000);
    });

  for (const [name, answer, asked] of [
    ["question-answered", "It is the quince.", 1],
    ["question-unanswered", "the apple", 1],
    ["question-unasked", null, 0],
  ] as const)
    test(`what is done has the answer in it: ${name}`, async () => {
      const run = await house().play(goals.find((each) => each.name === name)!.adaptive.scene);
      expect(eventsOf(run, "goal.asked").length, tell(run)).toBe(asked);
      const answered = eventsOf(run, "goal.answered");
      expect(answered.map((event) => event.data["answer"])).toEqual(answer === null ? [] : [answer]);
      expect(run.goal.clarifications).toMatchObject(
        answer === null ? [] : [{ about: "intake", question: "Which fruit do you like best?", answer }],
      );
      // Only where there is one may a question be answered.
      expect((await house().post(`/v1/goals/${run.goal.id}/answer`, { text: "The fig." })).status).toBe(409);
    }, 120_000);

  for (const [title, scene] of [
    ["saw nothing new to do", overtaken.nothing],
    ["said done", overtaken.done],
  ] as const)
    test(`a plan that ${title} while a task was under way ends nothing, also when the task has finished meanwhile`, async () => {
      const run = await house().play(scene);
      const hasty = run.views.find((view) => view.stage === "plan" && view.round === 2);
      expect(hasty?.tasks.map((task) => task.status)).toContain("running");
      expectEnd(run, "succeeded", null);
      expect(run.goal.final_answer).toBe("Apples cost 2 euros, pears 3.");
    }, 120_000);

  test("a goal that cannot be served says so", async () => {
    expectEnd(await house().play(unsupported), "failed", "unsupported");
  }, 120_000);

  describe("the article's run", () => articleCases(house));

  test("every goal was understood before it was planned", async () => {
    for (const goal of goals) {
      const run = await house().play(goal.adaptive.scene);
      const [understood] = eventsOf(run, "goal.understood");
      expect(understood?.data["intent"], tell(run)).toBeTruthy();
      const planned = eventsOf(run, "goal.planned")[0]?.seq ?? Infinity;
      expect(understood!.seq).toBeLessThan(planned);
      expect(run.steps[0]?.stage).toBe("intake");
    }
  }, 120_000);

  /** Model calls of each goal at each cadence. */
  async function modelCalls(): Promise<readonly Calls[]> {
    const count = async (goal: (typeof goals)[number], cadence: Cadence) =>
      (await house().play(goal[cadence].scene)).steps.filter((step) => step.kind === "model").length;
    return Promise.all(
      goals.map(async (goal) => ({
        goal: goal.name,
        adaptive: await count(goal, "adaptive"),
        "every-step": await count(goal, "every-step"),
      })),
    );
  }
  test("planning as it is needed asks models less often than planning at every step, and nowhere more", async () => {
    const table = await modelCalls();
    for (const row of table) expect(row.adaptive, tableOf(table)).toBeLessThanOrEqual(row["every-step"]);
    expect(ratioOf(table), tableOf(table)).toBeLessThan(1);
    const saved = (name: string) => {
      const row = table.find((each) => each.goal === name);
      return row!["every-step"] - row!.adaptive;
    };
    // A chain cannot be planned for several tasks at once: every task but the last costs a plan more.
    expect(saved("chain"), tableOf(table)).toBe(3);
    // Here the evidence speaks for itself, too: three verdicts less.
    expect(saved("chapters"), tableOf(table)).toBe(2 + 3);
  }, 120_000);

  // Measured: 0.96 over all these goals, 0.80 in a chain of four tasks, 0.64 in one of three whose evidence speaks for itself. A task
  // costs its turns at either cadence, and tasks that end together share the plan that follows.
  test.fails("planning as it is needed asks models at most 0.6 times as often as planning at every step", async () => {
    const table = await modelCalls();
    expect(ratioOf(table), tableOf(table)).toBeLessThanOrEqual(0.6);
  }, 120_000);
}

async function expectHonest(run: Run, { files = {}, retries = 0 }: Honest): Promise<void> {
  expectEnd(run, "succeeded", null);
  expect(eventsOf(run, "goal.guarded"), tell(run)).toEqual([]);
  expect(eventsOf(run, "task.retried").length, tell(run)).toBe(retries);
  for (const [path, text] of Object.entries(files)) {
    expect(run.files.find((file) => file.path === path)?.origin, tell(run)).toBe("written");
    expect(await run.text(path)).toContain(text);
  }
  expect(run.goal.citations?.holding, tell(run)).toBe(run.goal.citations?.total);
  // No plan of an honest model is sent back.
  expect(
    run.views.filter((view) => view.stage !== "execute").flatMap((view) => view.told),
    tell(run),
  ).toEqual([]);
}

interface Calls {
  readonly goal: string;
  readonly adaptive: number;
  readonly "every-step": number;
}

const ratioOf = (table: readonly Calls[]) => {
  const sum = (cadence: Cadence) => table.reduce((total, row) => total + row[cadence], 0);
  return sum("adaptive") / sum("every-step");
};
const tableOf = (table: readonly Calls[]) =>
  table.map((row) => `${row.goal.padEnd(20)} ${row.adaptive} ${row["every-step"]}`).join("\n");
