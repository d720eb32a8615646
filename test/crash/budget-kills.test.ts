/**
 * Budgets under fire: eight executors share goals whose budget is too small for them, and are killed at random. No goal
 * ever spends more than it has, in steps and in tokens, also while each call is billed all that it was allowed.
 * `OUTERLOOP_TEST_CRASH=full` for the long run.
 */
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { refusedCallText, type JsonObject } from "@outerloop/core";
import {
  startScriptedServer,
  type ScriptedServer,
  type Seen,
} from "../../packages/core/src/models/testing/scripted-server.ts";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { done, scriptFor } from "../support/scripts.ts";
import { describeWithServers } from "../support/servers.ts";
import { isFull } from "./support/size.ts";

const executors = 8;
const goals = isFull ? 40 : 6;
const killEveryMs = isFull ? 1000 : 700;
const kills = isFull ? 60 : 5;

const steps = 10;
const tokens = 60_000;

/** Many narrow tasks at the same time, each of which would take many steps. */
const plan = {
  tasks: Array.from({ length: executors }, (_, index) => ({
    id: `t${index + 1}`,
    text: `append line ${index + 1}`,
    depends_on: [],
    tools: ["append_to_file"],
    evidence: [{ tool: "append_to_file" }],
    difficulty: "easy",
  })),
  done: false,
  final_answer: "",
};

/** The bill is all that the call was allowed to write, and two bytes a token for what it read. */
const billOf = (body: JsonObject) => ({
  inputTokens: Math.ceil(JSON.stringify(body["messages"]).length / 2),
  cachedInputTokens: 0,
  outputTokens: Number(body["max_tokens"]),
  reasoningTokens: 0,
});

describeWithServers("eight executors that are killed at random", () => {
  let server: ScriptedServer;
  let deployment: Deployment;
  let pool: pg.Pool;

  beforeAll(async () => {
    const answer = scriptFor({
      plan: (_round, seen) =>
        JSON.stringify(seen.body).includes('status=\\"done\\"') ? done("as far as it went") : plan,
      execute: () => ({
        toolCalls: [0, 1, 2].map((n) => ({ name: "append_to_file", args: { path: "out.txt", text: `line ${n}\n` } })),
      }),
    });
    server = await startScriptedServer(async (seen: Seen) => {
      // Long enough for others to come meanwhile, and for kills to hit.
      await sleep(50 + Math.random() * 150);
      const scripted = await answer(seen);
      return scripted === "hang" || "error" in scripted ? scripted : { ...scripted, usage: billOf(seen.body) };
    });
    deployment = await deploy({
      size: "redis",
      executors,
      env: { OPENAI_BASE_URL: server.openAiBaseUrl, OUTERLOOP_MODEL: "openai/gpt-test", OUTERLOOP_DB_CONNECTIONS: "4" },
    });
    pool = new pg.Pool({ connectionString: deployment.env["DATABASE_URL"]!, max: 1 });
  }, 120_000);
  afterAll(async () => {
    await pool?.end();
    await deployment?.stop();
    await endProcesses();
    await server?.close();
  });

  async function overspent(): Promise<readonly unknown[]> {
    const { rows } = await pool.query(
      `SELECT id, steps_used, steps_reserved, budget_steps, tokens_used, tokens_reserved, budget_tokens FROM goals
       WHERE steps_used + steps_reserved > budget_steps OR tokens_used + tokens_reserved > budget_tokens`,
    );
    return rows;
  }

  /** Kills one executor after the other and starts it again, looking at the books meanwhile. */
  async function killAround(): Promise<void> {
    for (let n = 0; n < kills; n += 1) {
      await sleep(killEveryMs);
      expect(await overspent()).toEqual([]);
      const name = `executor-${1 + Math.floor(Math.random() * executors)}`;
      const victim = deployment.processes.get(name)!;
      victim.kill("SIGKILL");
      await victim.exited;
      await deployment.start("executor", name);
    }
  }

  async function ended(id: string) {
    for await (const _ of deployment.client.goals.watch(id));
    return deployment.client.goals.get(id);
  }

  /** Steps of the journal, without calls that were answered without running: those are free. */
  async function ran(id: string): Promise<number> {
    let count = 0;
    for await (const step of deployment.client.goals.steps(id))
      if (step.phase === "result" && (step.output as { text?: string }).text !== refusedCallText) count += 1;
    return count;
  }

  describe.each([
    ["steps", { steps }, "step_budget"],
    ["tokens", { steps: 10_000, tokens }, "token_budget"],
  ] as const)("with a budget of %s that is too small", (_, budget, reason) => {
    test(
      "no goal spends more than it has, and each ends for it",
      async () => {
        const ids = await Promise.all(
          Array.from(
            { length: goals },
            async () => (await deployment.client.goals.create({ text: "append", budget })).id,
          ),
        );
        await killAround();
        const ends = await Promise.all(ids.map(ended));
        expect(await overspent()).toEqual([]);
        for (const goal of ends) {
          expect(goal).toMatchObject({ status: "failed", reason });
          expect(goal.usage.steps).toBeLessThanOrEqual(goal.budget.steps);
          expect(goal.usage.tokens).toBeLessThanOrEqual(goal.budget.tokens);
          // What is counted is what was done.
          expect(await ran(goal.id)).toBe(goal.usage.steps);
        }
        // A turn of three calls may find no room where at most two steps are left.
        if (reason === "step_budget")
          expect(Math.max(...ends.map((goal) => goal.usage.steps))).toBeGreaterThanOrEqual(steps - 2);
      },
      isFull ? 400_000 : 120_000,
    );
  });

  test("a goal that failed on steps goes on when given more, also for a watcher that had seen its end", async () => {
    const { id } = await deployment.client.goals.create({ text: "append", budget: { steps } });
    const goal = await ended(id);
    expect(goal).toMatchObject({ status: "failed", reason: "step_budget" });
    const seen = [];
    for await (const event of deployment.client.goals.watch(id)) seen.push(event.seq);
    await deployment.client.goals.resume(id, { budget: { steps: 20 } });
    const later = [];
    for await (const event of deployment.client.goals.watch(id, { after: seen.at(-1)! })) later.push(event);
    expect(later[0]).toMatchObject({ type: "goal.resumed", seq: seen.length + 1, data: { budget: { steps: 20 } } });
    const after = await deployment.client.goals.get(id);
    expect(after.usage.steps).toBeGreaterThan(steps);
    expect(after.usage.steps).toBeLessThanOrEqual(20);
    expect(after.final_answer).toContain("Not done:");
  }, 60_000);
});
