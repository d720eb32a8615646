/** What never ends by itself is ended: by the program, early, with the reason that is true. */
import { describe, expect, test } from "vitest";
import {
  askers,
  callers,
  drifters,
  goOn,
  hasty,
  heeding,
  splitters,
  stalling,
  stop,
  thrashers,
} from "./models/loops.ts";
import { eventsOf, expectBounded, expectEnd, hasEvent, madeSteps, taskOf, tell } from "./support/facts.ts";
import type { Cases } from "./support/describe-house.ts";
import type { House, Run, Scene } from "./support/house.ts";

const scenes: readonly Scene[] = [
  ...Object.values(splitters),
  ...Object.values(thrashers),
  ...Object.values(askers),
  ...Object.values(drifters),
  ...Object.values(callers),
  ...Object.values(hasty),
  stalling,
  heeding,
];

const depths = ({ goal }: Run) => goal.tasks.map((task) => task.depth);
const plannedTexts = ({ goal }: Run) => goal.tasks.map((task) => task.text);

export const loops: Cases = { scenes, tests: (house) => describe("loops", () => loopTests(house)) };

function loopTests(house: () => House): void {
  async function play(scene: Scene, steps?: number): Promise<Run> {
    const run = await house().play(scene);
    expectBounded(run, steps);
    return run;
  }

  test("a model that always splits in two ends at depth 3, with a tree of 15", async () => {
    const run = await play(splitters.twice);
    expect(Math.max(...depths(run)), tell(run)).toBe(3);
    expect(run.goal.tasks.length, tell(run)).toBe(15);
    expect(eventsOf(run, "task.split")).toHaveLength(7);
    for (const task of run.goal.tasks) expect(["split", "done"], tell(run)).toContain(task.status);
    expectEnd(run, "succeeded", null);
  }, 120_000);

  test("a model that splits a task into itself ends at depth 3", async () => {
    const run = await play(splitters.itself);
    expect(run.goal.tasks.length, tell(run)).toBeLessThanOrEqual(4);
    expect(Math.max(...depths(run)), tell(run)).toBeLessThanOrEqual(3);
    expectEnd(run, "succeeded", null);
  }, 120_000);

  test("a model that splits into twenty gets seven, and what that costs ends with the budget", async () => {
    const run = await play(splitters.wide, 60);
    for (const event of eventsOf(run, "task.split"))
      expect((event.data["into"] as readonly string[]).length, tell(run)).toBeLessThanOrEqual(7);
    expectEnd(run, "failed", "step_budget");
  }, 120_000);

  for (const [title, scene, most] of [
    ["the same words", thrashers.same, 1],
    ["the same task in other words", thrashers.reworded, 1],
    ["two tasks that are added and dropped in turn", thrashers.addAndDrop, 10],
    ["a task that failed, in other words", thrashers.failedReworded, 6],
  ] as const)
    test(`thrash: ${title}`, async () => {
      const run = await play(scene);
      expectEnd(run, "failed", "thrash");
      expect(hasEvent(run, "goal.guarded", { guard: "thrash", action: "reanchored" }), tell(run)).toBe(true);
      expect(hasEvent(run, "goal.guarded", { guard: "thrash", action: "failed" }), tell(run)).toBe(true);
      expect(run.goal.tasks.length, tell(run)).toBeLessThanOrEqual(most);
    }, 120_000);

  test("thrash: where the goal may ask, a person's word lets it go on", async () => {
    const run = await play(askers.goOn);
    expect(hasEvent(run, "goal.guarded", { guard: "thrash", action: "asked" }), tell(run)).toBe(true);
    expect(eventsOf(run, "goal.asked")).toHaveLength(1);
    expect(hasEvent(run, "goal.answered", { answer: goOn }), tell(run)).toBe(true);
    expect(new Set(plannedTexts(run)).size, tell(run)).toBe(run.goal.tasks.length);
    expectEnd(run, "succeeded", null);
  }, 120_000);

  test("thrash: where a person says stop, it stops", async () => {
    const run = await play(askers.stop);
    expect(hasEvent(run, "goal.answered", { answer: stop }), tell(run)).toBe(true);
    expect(run.goal.tasks.length, tell(run)).toBe(1);
    expectEnd(run, "failed", "thrash");
  }, 120_000);

  test("thrash: where nobody answers, the default is taken", async () => {
    const run = await play(askers.deadline);
    const [question] = eventsOf(run, "goal.asked");
    expect(question, tell(run)).toBeDefined();
    expect(hasEvent(run, "goal.answered", { answer: question?.data["default"] }), tell(run)).toBe(true);
    expectEnd(run, "failed", "thrash");
  }, 120_000);

  for (const [title, scene, most] of [
    ["step by step", drifters.stepwise, 5],
    ["at once", drifters.abrupt, 1],
  ] as const)
    test(`drift: ${title}`, async () => {
      const run = await play(scene);
      expectEnd(run, "failed", "drift");
      expect(hasEvent(run, "goal.guarded", { guard: "drift", action: "reanchored" }), tell(run)).toBe(true);
      expect(hasEvent(run, "goal.guarded", { guard: "drift", action: "failed" }), tell(run)).toBe(true);
      expect(run.goal.tasks.length, tell(run)).toBeLessThanOrEqual(most);
    }, 120_000);

  test("stalled: plan after plan finishes nothing", async () => {
    const run = await play(stalling);
    expectEnd(run, "failed", "stalled");
    expect(hasEvent(run, "goal.guarded", { guard: "stall", action: "reanchored" }), tell(run)).toBe(true);
    expect(hasEvent(run, "goal.guarded", { guard: "stall", action: "failed" }), tell(run)).toBe(true);
    expect(run.goal.tasks.length, tell(run)).toBeLessThanOrEqual(6);
  }, 120_000);

  for (const [title, scene, most, hint] of [
    ["the same call", callers.same, 8, "stuck"],
    ["two calls in turn", callers.alternating, 9, "stuck"],
    ["calls that fail alike", callers.failing, 8, "stuck"],
    ["ever other calls", callers.varying, 10, "10"],
  ] as const)
    test(`an attempt that makes ${title} for ever is ended, and so is its task`, async () => {
      const run = await play(scene);
      const task = taskOf(run, "t1");
      expect({ status: task.status, attempt: task.attempt }, tell(run)).toEqual({ status: "abandoned", attempt: 3 });
      for (const attempt of [1, 2, 3]) {
        const ran = madeSteps(run).filter((step) => step.kind === "tool" && step.attempt === attempt);
        expect(ran.length, tell(run)).toBeGreaterThan(0);
        expect(ran.length, tell(run)).toBeLessThanOrEqual(most);
      }
      for (const event of eventsOf(run, "task.retried")) expect(event.data["hint"], tell(run)).toContain(hint);
      // Only where its calls were used up every time a model is asked, once: it may be too big, and be split.
      const asked = run.views.filter((view) => view.stage === "verdict");
      expect(asked.length, tell(run)).toBe(hint === "10" ? 1 : 0);
      expectEnd(run, "abandoned", null);
    }, 120_000);

  test("a model that is told that it makes the same call over and over may still answer", async () => {
    const run = await play(heeding);
    expectEnd(run, "succeeded", null);
    expect(taskOf(run, "t1").attempt).toBe(1);
  }, 120_000);

  test("done at once is right where nothing is asked for but an answer", async () => {
    const run = await play(hasty.right);
    expectEnd(run, "succeeded", null);
    expect(run.goal.final_answer).toBe("42");
  }, 120_000);

  test("done without an answer is not done", async () => {
    const run = await play(hasty.wordless);
    expectEnd(run, "failed", "error");
  }, 120_000);
}
