/** Postgres ends exactly the connections on which each stage reads or writes memory: the stage goes on, and no task is blamed. */
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import pg from "pg";
import { startScriptedServer, type ScriptedServer } from "../../packages/core/src/models/testing/scripted-server.ts";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { appendTasks, done, scriptFor } from "../support/scripts.ts";
import { describeWithServers } from "../support/servers.ts";

const patience = { timeout: 20_000, interval: 20 };

describeWithServers("memory's connections end", () => {
  let server: ScriptedServer;
  let deployment: Deployment;
  const met: string[] = [];
  const ends: Promise<void>[] = [];

  beforeAll(async () => {
    const answer = scriptFor({
      plan: (round) => (round === 1 ? appendTasks(1) : done("see out.txt")),
      execute: (seen) =>
        seen.messageCount === 1
          ? { toolCalls: [{ name: "append_to_file", args: { path: "out.txt", text: "line\n" } }] }
          : { text: "appended" },
    });
    server = await startScriptedServer(async (seen) => {
      const reply = await answer(seen);
      // What follows the first plan is the executor's recall, what follows a result the reflector's, what follows a
      // verdict is the commit that writes what was learned.
      if (seen.outputName === "plan" && seen.number === 1) await endMemoryOf("execute");
      else if (typeof reply === "object" && "text" in reply) await endMemoryOf("reflect");
      else if (seen.outputName === "verdict") await endMemoryOf("commit");
      return reply;
    });
    deployment = await deploy({
      size: "postgres",
      env: { OPENAI_BASE_URL: server.openAiBaseUrl, OUTERLOOP_MODEL: "openai/gpt-test" },
    });
  }, 90_000);
  afterAll(async () => {
    await deployment?.stop();
    await endProcesses();
    await server?.close();
  });

  /** Holds memory shut before the next stage begins; as soon as it waits there, ends its connection and lets go. */
  async function endMemoryOf(stage: string): Promise<void> {
    const admin = new pg.Client({ connectionString: deployment.env["DATABASE_URL"]! });
    await admin.connect();
    await admin.query("BEGIN");
    await admin.query("LOCK TABLE memory_entries IN ACCESS EXCLUSIVE MODE");
    const end = async (): Promise<void> => {
      await vi.waitFor(async () => {
        const { rowCount } = await admin.query(
          "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND relation = 'memory_entries'::regclass AND NOT granted",
        );
        expect(rowCount).toBeGreaterThan(0);
      }, patience);
      met.push(stage);
    };
    ends.push(end().finally(() => admin.end()));
  }

  test("the goal succeeds in its first attempt, no model is asked twice, the line is there once", async () => {
    const { id } = await deployment.client.goals.create({ text: "append the line" });
    for await (const _ of deployment.client.goals.watch(id));
    await Promise.all(ends);
    expect(met).toEqual(["execute", "reflect", "commit"]);
    const goal = await deployment.client.goals.get(id);
    expect(goal).toMatchObject({ status: "succeeded" });
    expect(goal.tasks.map((task) => [task.status, task.attempt, task.reason])).toEqual([["done", 1, null]]);
    expect(server.seen.length).toBe(5);
    const text = new TextDecoder().decode(await deployment.client.goals.artifact(id, "out.txt"));
    expect(text).toBe("line\n");
  }, 90_000);
});
