/** The offline model, a budget that is too small, and more of it: what was cut off is done after all. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";

let deployment: Deployment;
beforeAll(async () => {
  deployment = await deploy({ size: "embedded" });
}, 90_000);
afterAll(async () => {
  await deployment?.stop();
  await endProcesses();
});

test("a goal that ran out of steps says what it did not do, and answers when it is given more", async () => {
  const { client } = deployment;
  const { id } = await client.goals.create({
    text: "Which of them runs in a single binary?",
    attachments: ["alpha", "beta", "gamma"].map((name) => ({
      path: `${name}/README.md`,
      text: `# ${name}\n\nThe engine ${name} runs in a single binary.\n`,
    })),
    budget: { steps: 12 },
  });
  const seen: number[] = [];
  for await (const event of client.goals.watch(id)) seen.push(event.seq);
  const failed = await client.goals.get(id);
  expect(failed).toMatchObject({ status: "failed", reason: "step_budget" });
  expect(failed.usage.steps).toBeLessThanOrEqual(12);
  expect(failed.final_answer).toMatch(/Not done:\n(- t\d+ .* \(.*\)\n?)+/);

  await client.goals.resume(id, { budget: { steps: 200 } });
  const types: string[] = [];
  for await (const event of client.goals.watch(id, { after: seen.at(-1)! })) types.push(event.type);
  expect([types[0], types.at(-1)]).toEqual(["goal.resumed", "goal.succeeded"]);
  const goal = await client.goals.get(id);
  expect(goal.final_answer).toContain("single binary");
  for (const name of ["alpha", "beta", "gamma"]) expect(goal.final_answer).toContain(`${name}/README.md`);
  expect(goal.citations).toMatchObject({ holding: goal.citations!.total });
}, 90_000);
