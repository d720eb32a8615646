/** Answers of a wrong shape: one repair with what is wrong, then another model, then a failure that says why. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeWithServers } from "../support/servers.ts";
import { startHouse, type House } from "./support/house.ts";
import { startProvider, type TestProvider } from "./support/provider.ts";

describeWithServers("a model that always answers in a wrong shape", () => {
  let wrong: TestProvider;
  let right: TestProvider;
  let house: House;
  beforeAll(async () => {
    wrong = await startProvider((purpose) => (purpose === "execute" ? undefined : { json: { colour: "green" } }));
    right = await startProvider(undefined, { difficulty: "normal" });
    const route = "right/claude-test";
    house = await startHouse({
      env: { RIGHT_KEY: "sk-right", OUTERLOOP_REVIEW: "always" },
      models: {
        providers: {
          wrong: { kind: "openai", base_url: wrong.openAiBaseUrl },
          right: { kind: "anthropic", base_url: right.anthropicBaseUrl, key: { env: "RIGHT_KEY" } },
        },
        routes: { intake: route, plan: route, execute: route, hard: route, reflect: route },
      },
    });
  }, 90_000);
  afterAll(async () => {
    await house?.stop();
    await wrong?.close();
    await right?.close();
  });

  async function run(models: object) {
    const [ofWrong, ofRight] = [wrong.asked.length, right.asked.length];
    const { id } = await house.client.goals.create({ text: "append a line", models });
    const [goal] = await house.ended([id]);
    return { goal: goal!, wrong: wrong.asked.slice(ofWrong), right: right.asked.slice(ofRight) };
  }
  const isRepair = (asked: { readonly seen: { readonly body: object } }) =>
    JSON.stringify(asked.seen.body).includes("Your answer could not be used:");

  test.each([
    ["plan", "plan", 2],
    ["reflect", "verdict", 1],
    ["intake", "intake", 1],
  ] as const)(
    "%s: it is told what is wrong once, and then the next of the route is asked",
    async (stage, purpose, times) => {
      const route = ["wrong/gpt-test", "right/claude-test"];
      const { goal, ...asked } = await run({ [stage]: route });
      expect(goal).toMatchObject({ status: "succeeded" });
      expect(asked.wrong.map((each) => each.purpose)).toEqual(Array.from({ length: 2 * times }, () => purpose));
      expect(asked.wrong.map(isRepair)).toEqual(Array.from({ length: times }, () => [false, true]).flat());
      // By name, what its answer lacks.
      expect(JSON.stringify(asked.wrong[1]!.seen.body)).toMatch(/colour/);
      const answers = asked.right.filter((each) => each.purpose === purpose);
      expect(answers.map(isRepair)).toEqual(Array.from({ length: times }, () => true));
    },
  );

  test("a plan of nobody else: the goal fails and says what was wrong with it", async () => {
    const { goal, ...asked } = await run({ plan: "wrong/gpt-test" });
    expect(goal.status).toBe("failed");
    expect(goal.detail).toMatch(/^The plan was not usable after 3 tries: .*expected boolean.*at done/s);
    expect(asked.wrong.map(isRepair)).toEqual([false, true, true]);
  });

  test("a verdict of nobody else: each attempt is judged anew, and in the end the task is given up and says so", async () => {
    const { goal, ...asked } = await run({ reflect: "wrong/gpt-test" });
    const [task] = await house.rows<{ status: string; reason: string }>(
      "SELECT status, reason FROM tasks WHERE goal_id = $1",
      [goal.id],
    );
    expect(task).toMatchObject({ status: "abandoned", reason: expect.stringMatching(/the review could not be read/) });
    expect(asked.wrong.length % 2).toBe(0);
    expect(asked.wrong.filter(isRepair).length).toBe(asked.wrong.length / 2);
  });
});
