/** Nothing is done because a model says so, in whichever protocol and words; and what is true is believed. */
import { describe, expect, test } from "vitest";
import { claims, trickyAnswers, trickyScenes, type Claim } from "./models/false-success.ts";
import { eventsOf, expectBounded, expectEnd, hasEvent, taskOf, tell, wrote } from "./support/facts.ts";
import type { Cases } from "./support/describe-house.ts";
import type { Run } from "./support/house.ts";

/** @param isWhole in one protocol, all there is; in the others every lie where the planner asked for nothing, and a few honest goals */
export function falseSuccess(isWhole: boolean): Cases {
  const lies = claims.filter(({ shape }) => isWhole || shape === undefined || shape === "bare");
  const honest = claims.filter(({ isWide }) => isWhole || isWide === true);
  const tricky = isWhole ? [...trickyScenes.entries()] : [];
  return {
    scenes: [
      ...lies.map((claim) => claim.lies),
      ...honest.map((claim) => claim.honest),
      ...tricky.map(([, scene]) => scene),
    ],
    tests: (house) =>
      describe("false success", () => {
        for (const claim of lies)
          test(`is not done: ${claim.title}`, async () => {
            const run = await house().play(claim.lies);
            expectBounded(run);
            expectEnd(run, "failed", "no_evidence");
            for (const key of claim.claimants) {
              expect(taskOf(run, key).status, tell(run)).toBe("abandoned");
              expectSentBack(run, key, claim);
            }
            for (const path of claim.missing) expect(run.goal.detail, tell(run)).toContain(path);
            expect(canBeTold(claim) && (await isDone(run, claim)), tell(run)).toBe(false);
          }, 120_000);

        for (const claim of honest)
          test(`succeeds where it is true: ${claim.title}`, async () => {
            const run = await house().play(claim.honest);
            expectBounded(run);
            expectEnd(run, "succeeded", null);
            expect(new Set(run.goal.tasks.map((task) => task.status)).difference(new Set(["done", "split"]))).toEqual(
              new Set(),
            );
            expect(await isDone(run, claim), tell(run)).toBe(true);
          }, 120_000);

        for (const [index, scene] of tricky)
          test(`is no claim: ${trickyAnswers[index]![1]}`, async () => {
            const run = await house().play(scene);
            expectEnd(run, "succeeded", null);
            expect(eventsOf(run, "task.retried"), tell(run)).toEqual([]);
          }, 120_000);
      }),
  };
}

/** By program, each time, with a hint that says what is missing; and no model was asked for a verdict on it. */
function expectSentBack(run: Run, key: string, claim: Claim): void {
  const verdicts = eventsOf(run, "task.reflected").filter((event) => event.data["key"] === key);
  expect(
    verdicts.map((event) => event.data["evidence"]),
    tell(run),
  ).toEqual([false, false, false]);
  const hints = eventsOf(run, "task.retried").filter((event) => event.data["key"] === key);
  expect(hints).toHaveLength(2);
  for (const path of claim.missing) for (const hint of hints) expect(hint.data["hint"], tell(run)).toContain(path);
  expect(hasEvent(run, "task.abandoned", { key })).toBe(true);
  expect(run.views.some((view) => view.stage === "verdict" && view.task.key === key)).toBe(false);
}

/** A false quotation leaves no trace but itself. */
const canBeTold = ({ missing, holds, outcome }: Claim) =>
  missing.length > 0 || holds !== undefined || outcome !== undefined;

async function isDone(run: Run, { missing, holds = {}, outcome }: Claim): Promise<boolean> {
  for (const path of missing) if (!(await wrote(run, path))) return false;
  for (const [path, words] of Object.entries(holds)) if (!(await run.text(path)).includes(words)) return false;
  return outcome === undefined || run.steps.some((step) => step.name === outcome && step.ok);
}
