/** A model that is away for long holds no slot and loses nothing: work backs off, and a person may say that it is back. */
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  startScriptedServer,
  type Scripted,
  type ScriptedServer,
} from "../../packages/core/src/models/testing/scripted-server.ts";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { appendTasks, done, scriptFor } from "../support/scripts.ts";
import { describeWithServers } from "../support/servers.ts";

const away: Scripted = { error: { status: 503, message: "away" } };

describeWithServers("a model that is away", () => {
  let server: ScriptedServer;
  let deployment: Deployment;
  /** The stage whose model is away. */
  let isAway: "plan" | "execute" | "verdict" | null = null;

  beforeAll(async () => {
    const answer = scriptFor({
      plan: () => done("nothing more to do"),
      execute: (seen) =>
        seen.messageCount === 1
          ? { toolCalls: [{ name: "append_to_file", args: { path: "out.txt", text: "line\n" } }] }
          : { text: "appended" },
    });
    server = await startScriptedServer((seen) => {
      if (isAway === (seen.outputName ?? "execute")) return away;
      const isFirstPlan = seen.outputName === "plan" && !JSON.stringify(seen.body).includes("depends_on=");
      return isFirstPlan ? { json: appendTasks(1) } : answer(seen);
    });
    deployment = await deploy({
      size: "postgres",
      env: {
        OPENAI_BASE_URL: server.openAiBaseUrl,
        OUTERLOOP_MODEL: "openai/gpt-test",
        // A wait that no test outlasts: half an hour at the shortest that chance is likely to choose.
        OUTERLOOP_BACKOFF_BASE_MS: "3600000",
        OUTERLOOP_BACKOFF_CAP_MS: "86400000",
      },
    });
  }, 90_000);
  afterAll(async () => {
    await deployment?.stop();
    await endProcesses();
    await server?.close();
  });

  test.each([
    ["plan", "planner", { plan: true, tasks: [] }],
    ["execute", "executor-1", { plan: false, tasks: ["t1"] }],
    ["verdict", "reflector", { plan: false, tasks: ["t1"] }],
  ] as const)(
    "in %s is waited for, and asked again at once by hand",
    async (stage, service, retried) => {
      isAway = stage;
      const { client, processes } = deployment;
      const { id } = await client.goals.create({ text: "append the line" });
      await processes
        .get(service)!
        .until((line) => line.goal === id && /_(released|moved)$/.test(line.event ?? ""), "the work was given back");
      isAway = null;
      expect(await client.goals.retry(id)).toMatchObject({ goal: { id }, ...retried });
      const types: string[] = [];
      for await (const event of client.goals.watch(id)) types.push(event.type);
      expect(types.at(-1)).toBe("goal.succeeded");
      expect(types).not.toContain("task.retried");
      await expect(client.goals.retry(id)).rejects.toMatchObject({ status: 409 });
    },
    60_000,
  );
});
