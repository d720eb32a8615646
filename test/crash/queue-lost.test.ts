/** Redis forgets everything while goals wait (DESIGN §1.1, W8): work is late, never lost and never done twice. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Redis } from "ioredis";
import { startScriptedServer, type ScriptedServer } from "../../packages/core/src/models/testing/scripted-server.ts";
import type { Seen } from "../../packages/core/src/models/testing/wire.ts";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { appendTasks, done, scriptFor } from "../support/scripts.ts";
import { describeWithServers } from "../support/servers.ts";

const goals = 20;
/** Intake, plan, two turns of the task, verdict, plan. */
const callsPerGoal = 6;

describeWithServers("a Redis that lost its queues", () => {
  let server: ScriptedServer;
  let deployment: Deployment;

  beforeAll(async () => {
    const scripts = new Map<string, (seen: Seen) => ReturnType<ReturnType<typeof scriptFor>>>();
    server = await startScriptedServer((seen) => {
      const goal = /goal number \d+/.exec(JSON.stringify(seen.body))![0];
      const script = scripts.get(goal) ?? scriptOfGoal();
      scripts.set(goal, script);
      return script(seen);
    });
    deployment = await deploy({
      size: "redis",
      onlyIngress: true,
      env: { OPENAI_BASE_URL: server.openAiBaseUrl, OUTERLOOP_MODEL: "openai/gpt-test" },
    });
  }, 90_000);
  afterAll(async () => {
    await deployment?.stop();
    await endProcesses();
    await server?.close();
  });

  const scriptOfGoal = () =>
    scriptFor({
      plan: (round) => (round === 1 ? appendTasks(1) : done("see out.txt")),
      execute: (seen) =>
        seen.messageCount === 1
          ? { toolCalls: [{ name: "append_to_file", args: { path: "out.txt", text: "line\n" } }] }
          : { text: "appended" },
    });

  /** @returns how many keys there were */
  async function forgetAll(): Promise<number> {
    const redis = new Redis(deployment.env["REDIS_URL"]!);
    const keys = await redis.dbsize();
    await redis.flushdb();
    redis.disconnect();
    return keys;
  }

  test("goals whose plan and execute jobs were lost all end, and no model is asked twice", async () => {
    const { client } = deployment;
    const posted = await Promise.all(
      Array.from({ length: goals }, (_, index) => client.goals.create({ text: `goal number ${index + 1}` })),
    );
    expect(await forgetAll()).toBeGreaterThanOrEqual(goals);

    await deployment.start("planner");
    for (const { id } of posted) {
      for await (const event of client.goals.watch(id)) if (event.type === "goal.planned") break;
    }
    expect(await forgetAll()).toBeGreaterThanOrEqual(goals);

    await Promise.all([deployment.start("executor"), deployment.start("reflector")]);
    for (const { id } of posted) {
      for await (const _ of client.goals.watch(id));
      const goal = await client.goals.get(id);
      expect(goal).toMatchObject({ status: "succeeded" });
      expect(goal.tasks.map((task) => [task.status, task.attempt])).toEqual([["done", 1]]);
      expect(new TextDecoder().decode(await client.goals.artifact(id, "out.txt"))).toBe("line\n");
    }
    expect(server.seen.length).toBe(goals * callsPerGoal);
  }, 90_000);
});
