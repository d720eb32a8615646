/** One goal from POST to answer, the same on every size and with every provider's protocol. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { EventResource } from "@outerloop/core/domain";
import { startScriptedServer, type ScriptedServer } from "../../packages/core/src/models/testing/scripted-server.ts";
import { deploy, type Deployment, type Size } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { scriptFor } from "../support/scripts.ts";

const protocols = {
  "OpenAI Responses": (server: ScriptedServer) => ({
    OPENAI_BASE_URL: server.openAiBaseUrl,
    OPENAI_API: "responses",
    OPENAI_API_KEY: "sk-test-0123456789abcdef",
    OUTERLOOP_MODEL: "openai/gpt-test",
  }),
  "OpenAI Chat Completions": (server: ScriptedServer) => ({
    OPENAI_BASE_URL: server.openAiBaseUrl,
    OPENAI_API: "chat",
    OUTERLOOP_MODEL: "openai/gpt-test",
  }),
  "Anthropic Messages": (server: ScriptedServer) => ({
    ANTHROPIC_BASE_URL: server.anthropicBaseUrl,
    ANTHROPIC_API_KEY: "sk-ant-test-0123456789",
    OUTERLOOP_MODEL: "anthropic/claude-test",
  }),
} as const;
export type ProtocolName = keyof typeof protocols;

/** Reads the notes and writes a report that quotes them; the first try forgets to write, and is sent back. */
const script = () => {
  let reportTries = 0;
  return scriptFor({
    plan: (round) =>
      round === 1
        ? {
            tasks: [
              {
                id: "find",
                text: "find the budget",
                depends_on: [],
                tools: ["search_files", "read_file", "write_note"],
                evidence: [{ note: "" }],
                difficulty: "easy",
              },
              {
                id: "report",
                text: "write the report",
                depends_on: ["find"],
                tools: ["write_file"],
                evidence: [{ artifact: "report.md", contains: "budget" }],
                difficulty: "easy",
              },
            ],
            done: false,
            final_answer: "",
          }
        : {
            tasks: [],
            done: true,
            final_answer: 'The budget is 3 apples: notes/plan.txt:2 "the budget is 3 apples". See report.md.',
          },
    execute: (seen) => {
      const reads = seen.toolNames.includes("read_file");
      if (seen.lastToolResults.length > 0) {
        if (reads && seen.messageCount < 5)
          return {
            toolCalls: [{ name: "write_note", args: { text: 'budget: notes/plan.txt:2 "the budget is 3 apples"' } }],
          };
        return { text: reads ? 'notes/plan.txt:2 "the budget is 3 apples"' : "I have written report.md." };
      }
      if (reads)
        return {
          toolCalls: [
            { name: "search_files", args: { query: "budget" } },
            { name: "read_file", args: { path: "notes/plan.txt" } },
          ],
        };
      reportTries += 1;
      if (reportTries === 1) return { text: "I have written report.md." };
      return {
        toolCalls: [
          {
            name: "write_file",
            args: { path: "report.md", text: 'The budget is 3 apples. notes/plan.txt:2 "the budget is 3 apples"\n' },
          },
        ],
      };
    },
  });
};

export function goalCases(size: Size, protocol: ProtocolName): void {
  describe(`a goal on ${size} with ${protocol}`, () => {
    let server: ScriptedServer;
    let deployment: Deployment;
    let events: EventResource[];
    let id: string;

    beforeAll(async () => {
      const answer = script();
      server = await startScriptedServer((seen) => answer(seen));
      deployment = await deploy({ size, env: protocols[protocol](server) });
      ({ id } = await deployment.client.goals.create({
        text: "What is the budget?",
        attachments: [{ path: "notes/plan.txt", text: "plan\nthe budget is 3 apples\n" }],
        labels: { team: "a" },
      }));
      events = [];
      for await (const event of deployment.client.goals.watch(id)) events.push(event);
    }, 90_000);
    afterAll(async () => {
      await deployment?.stop();
      await endProcesses();
      await server?.close();
    });

    test("ends with the planner's answer and citations that hold", async () => {
      const goal = await deployment.client.goals.get(id);
      expect(goal).toMatchObject({ status: "succeeded", citations: { total: 1, holding: 1 }, labels: { team: "a" } });
      expect(goal.final_answer).toContain("3 apples");
      expect(goal.tasks.map((task) => [task.key, task.status, task.attempt])).toEqual([
        ["find", "done", 1],
        ["report", "done", 2],
      ]);
    });

    test("a claim without the call behind it was sent back by program, without asking a model", async () => {
      expect(events.filter((event) => event.type === "task.retried")).toMatchObject([
        { data: { key: "report", hint: expect.stringContaining("report.md") as string } },
      ]);
      const verdicts = server.seen.filter((each) => each.outputName === "verdict").length;
      expect(verdicts).toBe(2);
    });

    test("its events came once and in order, also for a watcher who reconnects at any of them", async () => {
      expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index + 1));
      expect(events.at(-1)?.type).toBe("goal.succeeded");
      for (const after of [0, 1, 7, events.length - 1]) {
        const again: EventResource[] = [];
        for await (const event of deployment.client.goals.watch(id, { after })) again.push(event);
        expect(again).toEqual(events.slice(after));
      }
    });

    test("every step is in the journal, and each model request rebuilt from it has the recorded hash", async () => {
      const steps = [];
      for await (const step of deployment.client.goals.steps(id)) steps.push(step);
      const goal = await deployment.client.goals.get(id);
      expect(steps).toHaveLength(goal.usage.steps);
      const models = steps.filter((step) => step.kind === "model");
      expect(models).toHaveLength(server.seen.length);
      for (const step of models) {
        const shown = await deployment.client.steps.get(step.id);
        expect(shown.request?.hash).toBe(shown.request?.recorded_hash);
      }
    });

    test("what its calls took is the sum of its steps, as the goal and its tenant are told", async () => {
      const { client } = deployment;
      const models = [];
      for await (const step of client.goals.steps(id)) if (step.kind === "model") models.push(step);
      const [{ total, rows }, tenant, goal] = [
        await client.goals.usage(id),
        await client.usage(),
        await client.goals.get(id),
      ];
      const tokens = models.reduce((sum, { usage }) => sum + usage.input_tokens + usage.output_tokens, 0);
      expect([total.calls, total.input_tokens + total.output_tokens]).toEqual([models.length, tokens]);
      expect(tokens).toBe(goal.usage.tokens);
      expect(rows.reduce((sum, row) => sum + row.calls, 0)).toBe(total.calls);
      expect(new Set(rows.map((row) => row.task))).toEqual(new Set([null, "find", "report"]));
      // First tokens are read for one goal alone.
      expect(tenant.total).toEqual({ ...total, first_token_ms: null });
    });

    test("its files are there, the attached and the written", async () => {
      expect((await deployment.client.goals.artifacts(id)).map((file) => [file.path, file.origin])).toEqual([
        ["notes/plan.txt", "attached"],
        ["report.md", "written"],
      ]);
      expect(new TextDecoder().decode(await deployment.client.goals.artifact(id, "report.md"))).toContain("3 apples");
    });

    test("every process ends with 0 when told to stop", async () => {
      expect(new Set(await deployment.stop())).toEqual(new Set([0]));
    });
  });
}
