/** Independent tasks take as long as the longest of them: what a model takes a second for is not made to wait. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { callsThen, modelOf, plansOnce, say } from "./models/model.ts";
import { expectEnd, tell } from "./support/facts.ts";
import { openHouse, type House, type Scene } from "./support/house.ts";

const latencyMs = 1000;
const names = ["apple", "pear", "fig", "plum", "quince"];
const scene = (tag: string): Scene => ({
  tag,
  goal: "Look five fruits up",
  model: modelOf({
    plan: plansOnce(
      names.map((name) => ({ id: name, text: `Look up the ${name}`, tools: ["search_files"] })),
      "All five were looked up.",
    ),
    execute: callsThen([["search_files", { query: "fruit" }]], () => say("Nothing is said about it.")),
  }),
});

let house: House;
beforeAll(async () => {
  house = await openHouse("Responses", { latencyMs });
}, 120_000);
afterAll(() => house?.close(), 60_000);

/** What else the machine does only adds: the best of a few is what the runtime takes. */
const tries = 6;

test("five independent tasks take at most 1.15 times their critical path", async () => {
  const ratios: number[] = [];
  while (ratios.length < tries && !ratios.some((ratio) => ratio <= 1.15)) ratios.push(await measure(ratios.length));
  expect(Math.min(...ratios), ratios.join(", ")).toBeLessThanOrEqual(1.15);
}, 120_000);

async function measure(number: number): Promise<number> {
  const run = await house.play(scene(`five-at-once-${number}`));
  expectEnd(run, "succeeded", null);
  const models = run.steps.filter((step) => step.kind === "model");
  const countOf = (task: string | null) => models.filter((step) => step.task === task).length;
  expect(countOf(run.goal.tasks[0]!.id), tell(run)).toBe(3);
  // The planner's own calls follow one another, and so do those of each task; tasks do not wait for one another.
  const criticalMs = latencyMs * (countOf(null) + Math.max(...run.goal.tasks.map((task) => countOf(task.id))));
  const instant = (type: string) => Date.parse(run.events.find((event) => event.type === type)?.at ?? "");
  return (instant("goal.succeeded") - instant("goal.created")) / criticalMs;
}
