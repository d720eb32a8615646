/** What happens to an external call about which nobody decides in time. */
import { afterEach, expect, test } from "vitest";
import { startScriptedServer } from "../../packages/core/src/models/testing/scripted-server.ts";
import { startSink } from "../crash/support/sink.ts";
import { deploy } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { done, scriptFor } from "../support/scripts.ts";

afterEach(endProcesses, 60_000);

async function askInVain(onDeadline: "reject" | "fail") {
  await using cleanup = new AsyncDisposableStack();
  const models = await startScriptedServer(
    scriptFor({
      plan: (round) =>
        round === 1
          ? {
              tasks: [
                {
                  id: "t1",
                  text: "mail",
                  depends_on: [],
                  tools: ["sink_mail"],
                  evidence: [{ note: "" }],
                  difficulty: "",
                },
              ],
              done: false,
              final_answer: "",
            }
          : done("told"),
      execute: (seen) =>
        seen.lastToolResults.length === 0
          ? { toolCalls: [{ name: "sink_mail", args: { text: "x" } }] }
          : { text: seen.lastToolResults[0]!.text },
      verdict: () => ({ status: "abandon", reason: "nobody decided", new_tasks: [], lesson: "" }),
    }),
  );
  cleanup.defer(() => models.close());
  const sink = await startSink();
  cleanup.defer(() => sink.close());
  const deployment = await deploy({
    size: "embedded",
    env: {
      ...sink.env,
      OUTERLOOP_AUTO_APPROVE: "sink_post",
      OUTERLOOP_APPROVAL_DEADLINE_MS: "1000",
      OUTERLOOP_ON_APPROVAL_DEADLINE: onDeadline,
      OPENAI_BASE_URL: models.openAiBaseUrl,
      OPENAI_API: "chat",
      OUTERLOOP_MODEL: "openai/gpt-test",
    },
  });
  cleanup.defer(async () => void (await deployment.stop()));
  const { id } = await deployment.client.goals.create({ text: "go" });
  let expired = 0;
  for await (const event of deployment.client.goals.watch(id))
    if (event.type === "approval.decided" && event.data["decision"] === "expired") expired += 1;
  const [approval] = await Array.fromAsync(deployment.client.approvals.list({ goal: id, status: "decided" }));
  const [task] = (await deployment.client.goals.get(id)).tasks;
  expect(expired).toBeGreaterThanOrEqual(1);
  expect(approval?.decision).toMatchObject({ decision: "expired", by: null });
  expect(sink.deliveries).toEqual([]);
  return task;
}

test("it is not run and the model reads that nobody decided", async () => {
  expect((await askInVain("reject"))?.result).toMatch(/Nobody decided by .* about this call, so it was not run/);
}, 60_000);

test("its task fails with that reason, where that is what is set", async () => {
  expect(await askInVain("fail")).toMatchObject({
    status: "failed",
    reason: expect.stringMatching(/^nobody decided about sink_mail by /),
  });
}, 60_000);
