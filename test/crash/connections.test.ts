/** Postgres ends every connection, again and again, in the middle of a goal: no process exits, nothing is lost, nothing is there twice. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import pg from "pg";
import { startScriptedServer, type ScriptedServer } from "../../packages/core/src/models/testing/scripted-server.ts";
import { deploy, realSizes, type Deployment, type Size } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { appendTasks, done, scriptFor } from "../support/scripts.ts";
import { describeWithServers, realServers } from "../support/servers.ts";

const tasks = 6;
/** Lines that each task appends, one a turn. */
const turns = 3;
/** Every so many model calls all connections are ended. */
const every = 7;

function connectionCases(size: Size): void {
  describe(`connections that break on ${size}`, () => {
    let server: ScriptedServer;
    let deployment: Deployment;
    let cuts = 0;

    beforeAll(async () => {
      const answer = scriptFor({
        plan: (round) => (round === 1 ? appendTasks(tasks) : done("see out.txt")),
        execute: (seen) =>
          (seen.messageCount - 1) / 2 < turns
            ? { toolCalls: [{ name: "append_to_file", args: { path: "out.txt", text: "line\n" } }] }
            : { text: "appended" },
      });
      server = await startScriptedServer(async (seen) => {
        if (seen.number > 1 && seen.number % every === 0) await cutConnections();
        return answer(seen);
      });
      deployment = await deploy({
        size,
        executors: 2,
        env: { OPENAI_BASE_URL: server.openAiBaseUrl, OUTERLOOP_MODEL: "openai/gpt-test" },
      });
    }, 90_000);
    afterAll(async () => {
      await deployment?.stop();
      await endProcesses();
      await server?.close();
    });

    async function cutConnections(): Promise<void> {
      const servers = realServers();
      if (servers.kind === "missing") return;
      const admin = new pg.Client({ connectionString: servers.databaseUrl });
      await admin.connect();
      const name = new URL(deployment.env["DATABASE_URL"]!).pathname.slice(1);
      await admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", [name]);
      await admin.end();
      cuts += 1;
    }

    test("the goal succeeds, every line is there once, and every process lives", async () => {
      const { id } = await deployment.client.goals.create({ text: "append the lines" });
      const seqs: number[] = [];
      for await (const event of deployment.client.goals.watch(id)) seqs.push(event.seq);
      expect(seqs).toEqual(seqs.map((_, index) => index + 1));
      expect(cuts).toBeGreaterThan(2);
      const goal = await deployment.client.goals.get(id);
      expect(goal).toMatchObject({ status: "succeeded" });
      expect(goal.tasks.map((task) => [task.status, task.attempt, task.reason])).toEqual(
        Array.from({ length: tasks }, () => ["done", 1, null]),
      );
      const text = new TextDecoder().decode(await deployment.client.goals.artifact(id, "out.txt"));
      expect(text).toBe("line\n".repeat(tasks * turns));
      expect(new Set(await deployment.stop())).toEqual(new Set([0]));
    }, 120_000);
  });
}

for (const size of realSizes) describeWithServers(`connections on ${size}`, () => connectionCases(size));
