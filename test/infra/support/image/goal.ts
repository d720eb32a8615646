/** One goal from end to end with the offline model: every service has its part in it. */
import { createClient } from "@outerloop/client";
import { expect } from "vitest";

export async function expectGoalSucceeds(baseUrl: string, apiKey: string): Promise<void> {
  const { goals } = createClient({ baseUrl, apiKey });
  const { id } = await goals.create({
    text: "Which of them runs in a single binary?",
    attachments: ["alpha", "beta"].map((name) => ({
      path: `${name}/README.md`,
      text: `# ${name}\n\nThe engine ${name} runs in a single binary.\n`,
    })),
  });
  let last = "";
  for await (const event of goals.watch(id)) last = event.type;
  expect(last).toBe("goal.succeeded");
  expect((await goals.get(id)).final_answer).toContain("alpha/README.md");
}
