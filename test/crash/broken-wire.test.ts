/**
 * The wire to Postgres breaks once in each stage after it committed (W2), and once while it recalls memories: the stage
 * goes on, no task is blamed, nothing is asked or written twice.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { startScriptedServer, type ScriptedServer } from "../../packages/core/src/models/testing/scripted-server.ts";
import { deploy, type Deployment } from "../support/deployments.ts";
import { startPostgresProxy, type Fault, type PostgresProxy } from "../support/postgres-proxy.ts";
import { endProcesses } from "../support/processes.ts";
import { appendTasks, done, scriptFor } from "../support/scripts.ts";
import { describeWithServers } from "../support/servers.ts";

const services = ["planner", "executor", "reflector"] as const;
const faults: readonly Fault[] = [
  { name: "recall", statement: /FROM nearest_memories\(/, cut: "unsent" },
  { name: "commit", statement: /SELECT commit_writes\(/, cut: "unanswered" },
];

describeWithServers("a wire to Postgres that breaks", () => {
  let server: ScriptedServer;
  let deployment: Deployment;
  let proxies: readonly PostgresProxy[] = [];

  beforeAll(async () => {
    server = await startScriptedServer(
      scriptFor({
        plan: (round) => (round === 1 ? appendTasks(1) : done("see out.txt")),
        execute: (seen) =>
          seen.messageCount === 1
            ? { toolCalls: [{ name: "append_to_file", args: { path: "out.txt", text: "line\n" } }] }
            : { text: "appended" },
      }),
    );
    deployment = await deploy({
      size: "redis",
      onlyIngress: true,
      env: { OPENAI_BASE_URL: server.openAiBaseUrl, OUTERLOOP_MODEL: "openai/gpt-test" },
    });
    proxies = await Promise.all(services.map(() => startPostgresProxy(deployment.env["DATABASE_URL"]!, faults)));
    await Promise.all(
      services.map((name, index) => deployment.start(name, name, { DATABASE_URL: proxies[index]!.url })),
    );
  }, 90_000);
  afterAll(async () => {
    await deployment?.stop();
    await endProcesses();
    await Promise.all(proxies.map((proxy) => proxy.close()));
    await server?.close();
  });

  test("the goal succeeds in its first attempt, no model is asked twice, the line is there once", async () => {
    const { id } = await deployment.client.goals.create({ text: "append the line" });
    const seqs: number[] = [];
    for await (const event of deployment.client.goals.watch(id)) seqs.push(event.seq);
    expect(seqs).toEqual(seqs.map((_, index) => index + 1));
    const goal = await deployment.client.goals.get(id);
    expect(goal.tasks.map((task) => [task.status, task.attempt, task.reason])).toEqual([["done", 1, null]]);
    expect(goal).toMatchObject({ status: "succeeded" });
    // A reviewer recalls nothing.
    expect(services.map((name, index) => [name, new Set(proxies[index]!.met)])).toEqual([
      ["planner", new Set(["recall", "commit"])],
      ["executor", new Set(["recall", "commit"])],
      ["reflector", new Set(["commit"])],
    ]);
    // Intake, plan, two turns of the task, verdict, plan.
    expect(server.seen.length).toBe(6);
    expect(new TextDecoder().decode(await deployment.client.goals.artifact(id, "out.txt"))).toBe("line\n");
  }, 90_000);
});
