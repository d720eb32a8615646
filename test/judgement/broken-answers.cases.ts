/** Answers that cannot be used are sent back with what is wrong, a few times; then what asked for them ends, with that reason. */
import { describe, expect, test } from "vitest";
import {
  askingIntake,
  badPlan,
  badPlans,
  badSplits,
  badTurn,
  badTurns,
  brokenStage,
  forms,
  hundredCalls,
  hundredsOfCalls,
  stages,
  type Stage,
  type Times,
} from "./models/broken.ts";
import { eventsOf, expectBounded, expectEnd, madeSteps, taskOf, tell, wrote } from "./support/facts.ts";
import type { Cases } from "./support/describe-house.ts";
import type { House, Run, Scene } from "./support/house.ts";

const times: readonly Times[] = ["once", "always"];
const brokenStages = stages.flatMap((stage) =>
  forms.flatMap(([name, broken]) =>
    times.map((often) => ({ stage, name, often, scene: brokenStage(stage, name, broken, often) })),
  ),
);
const plans = badPlans.flatMap(([name, title, tasks, why]) =>
  times.map((often) => ({ title, why, often, scene: badPlan(name, tasks, often) })),
);
const turns = badTurns.flatMap(([name, title, turn]) =>
  times.map((often) => ({ title, often, scene: badTurn(name, turn, often) })),
);

const scenes: readonly Scene[] = [
  ...[...brokenStages, ...plans, ...turns].map(({ scene }) => scene),
  ...badSplits,
  hundredCalls,
  hundredsOfCalls,
  askingIntake,
];

export const brokenAnswers: Cases = {
  scenes,
  tests: (house) => describe("broken answers", () => brokenTests(house)),
};

async function expectSuccess(run: Run): Promise<void> {
  expectEnd(run, "succeeded", null);
  expect(await wrote(run, "out.txt"), tell(run)).toBe(true);
}

function brokenTests(house: () => House): void {
  async function play(scene: Scene): Promise<Run> {
    const run = await house().play(scene);
    expectBounded(run);
    return run;
  }

  describe("structured answers", () => {
    for (const { stage, name, often, scene } of brokenStages)
      test(`${stage}: ${name}, ${often}`, async () => {
        const run = await play(scene);
        if (often === "once") {
          await expectSuccess(run);
          expect(taskOf(run, "t1").attempt, tell(run)).toBe(1);
        } else await expectAfterAlways(stage, run);
      }, 120_000);

    /** A goal needs no intake; it needs a plan; and what cannot be judged is not done. */
    async function expectAfterAlways(stage: Stage, run: Run): Promise<void> {
      const asked = run.views.filter((view) => view.stage === stage).length;
      switch (stage) {
        case "intake":
          expect(asked, tell(run)).toBe(2);
          return expectSuccess(run);
        case "plan":
          expect(asked, tell(run)).toBe(3);
          expect(run.goal.detail, tell(run)).toBeTruthy();
          return expectEnd(run, "failed", "error");
        case "verdict":
          expect(taskOf(run, "t1"), tell(run)).toMatchObject({ status: "abandoned", attempt: 3 });
          return expectEnd(run, "abandoned", null);
      }
    }
  });

  describe("plans", () => {
    for (const { title, why, often, scene } of plans)
      test(`${title}, ${often}`, async () => {
        const run = await play(scene);
        const [told] = run.views.find((view) => view.told.length > 0)?.told ?? [];
        expect(told, tell(run)).toContain(why);
        if (often === "once") return expectSuccess(run);
        expectEnd(run, "failed", "error");
        expect(run.goal.detail, tell(run)).toContain(why);
        expect(run.goal.tasks).toEqual([]);
      }, 120_000);
  });

  describe("turns of an executor", () => {
    for (const { title, often, scene } of turns)
      test(`${title}, ${often}`, async () => {
        const run = await play(scene);
        if (often === "once") return expectSuccess(run);
        expect(["abandoned", "failed"], tell(run)).toContain(taskOf(run, "t1").status);
        expectEnd(run, "abandoned", null);
        expect(run.views.some((view) => view.stage === "verdict")).toBe(false);
      }, 120_000);

    test("a hundred calls in one turn: ten run, all are answered, and the task goes on", async () => {
      const run = await play(hundredCalls);
      await expectSuccess(run);
      expect(madeSteps(run).filter((step) => step.kind === "tool").length, tell(run)).toBe(10);
    }, 120_000);

    test("hundreds of calls, turn after turn: ten run an attempt, and the task is given up", async () => {
      const run = await play(hundredsOfCalls);
      expect(madeSteps(run).filter((step) => step.kind === "tool").length, tell(run)).toBe(30);
      expect(taskOf(run, "t1").status).toBe("abandoned");
      expectEnd(run, "abandoned", null);
    }, 120_000);
  });

  test("a split into nothing is a retry, and one into too much is cut", async () => {
    for (const scene of badSplits) {
      const run = await play(scene);
      expect(["succeeded", "abandoned"], tell(run)).toContain(run.goal.status);
      for (const task of run.goal.tasks) expect(task.text.length).toBeLessThanOrEqual(8000);
    }
    const run = await play(badSplits[0]!);
    expect(eventsOf(run, "task.split")).toEqual([]);
    expect(taskOf(run, "t1").attempt).toBe(2);
  }, 120_000);

  test("an intake that asks where nobody may be asked goes on with its defaults", async () => {
    const run = await play(askingIntake);
    expect(eventsOf(run, "goal.asked")).toEqual([]);
    await expectSuccess(run);
  }, 120_000);
}
