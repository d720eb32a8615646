/** Work spreads over all the slots that there are: a job of several tasks is shared out, not kept by whoever took it. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startScriptedServer, type ScriptedServer } from "../../packages/core/src/models/testing/scripted-server.ts";
import { deploy, realSizes, type Deployment, type Size } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { appendTasks, barrier, done, scriptFor } from "../support/scripts.ts";
import { describeWithServers } from "../support/servers.ts";

const tasks = 6;

function slotCases(size: Size): void {
  describe(`three executors of two slots each on ${size}`, () => {
    const all = barrier(tasks);
    let server: ScriptedServer;
    let deployment: Deployment;
    beforeAll(async () => {
      const answer = scriptFor({
        plan: (round) => (round === 1 ? appendTasks(tasks) : done("see out.txt")),
        execute: async (seen) => {
          if (seen.lastToolResults.length > 0) return { text: "appended" };
          // Nobody is answered before all six are under way: one that waited for a slot would hold up the rest for ever.
          await all.arrive();
          return { toolCalls: [{ name: "append_to_file", args: { path: "out.txt", text: "line\n" } }] };
        },
      });
      server = await startScriptedServer((seen) => answer(seen));
      deployment = await deploy({
        size,
        executors: 3,
        env: {
          OUTERLOOP_EXECUTOR_SLOTS: "2",
          OPENAI_BASE_URL: server.openAiBaseUrl,
          OUTERLOOP_MODEL: "openai/gpt-test",
        },
      });
    }, 90_000);
    afterAll(async () => {
      await deployment?.stop();
      await endProcesses();
      await server?.close();
    });

    test("six independent tasks run at once, each executor ran at least one, and every event arrives once and in order", async () => {
      const { id } = await deployment.client.goals.create({ text: "append six lines" });
      const seqs: number[] = [];
      for await (const event of deployment.client.goals.watch(id)) seqs.push(event.seq);
      expect(seqs).toEqual(seqs.map((_, index) => index + 1));
      const goal = await deployment.client.goals.get(id);
      expect(goal.status).toBe("succeeded");
      expect(all.arrived()).toBe(tasks);
      const ran = ["executor-1", "executor-2", "executor-3"].map(
        (name) => deployment.processes.get(name)!.lines.filter((line) => line.event === "task_started").length,
      );
      expect(ran).toEqual([2, 2, 2]);
      expect(new TextDecoder().decode(await deployment.client.goals.artifact(id, "out.txt"))).toBe(
        "line\n".repeat(tasks),
      );
    }, 60_000);
  });
}

for (const size of realSizes) describeWithServers(`slots on ${size}`, () => slotCases(size));
