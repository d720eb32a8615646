/** Payloads that are too large or too deep, through real processes: a clear error of the call or the task, never a loop. */
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  startScriptedServer,
  type Scripted,
  type ScriptedServer,
  type Seen,
} from "../../packages/core/src/models/testing/scripted-server.ts";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { appendTasks, done, scriptFor } from "../support/scripts.ts";
import { describeWithServers } from "../support/servers.ts";

const answerBytes = 60_000;
const usage = { inputTokens: 100, cachedInputTokens: 0, outputTokens: 50, reasoningTokens: 0 };

describeWithServers("payloads on PostgreSQL", () => {
  let server: ScriptedServer;
  let deployment: Deployment;
  let execute: (seen: Seen) => Scripted;
  let rounds = 0;

  beforeAll(async () => {
    const answer = scriptFor({
      // Every goal has two rounds.
      plan: () => (rounds++ % 2 === 0 ? appendTasks(1) : done("that is all")),
      execute: (seen) => execute(seen),
    });
    server = await startScriptedServer((seen) => answer(seen));
    deployment = await deploy({
      size: "postgres",
      env: {
        OPENAI_BASE_URL: server.openAiBaseUrl,
        OUTERLOOP_MODEL: "openai/gpt-test",
        OUTERLOOP_MAX_ANSWER_BYTES: String(answerBytes),
        OUTERLOOP_MAX_TOOL_ARGS_BYTES: "40000",
        OUTERLOOP_MAX_FILE_BYTES: "20000",
      },
    });
  }, 90_000);
  afterAll(async () => {
    await deployment?.stop();
    await endProcesses();
    await server?.close();
  });

  async function run(script: (seen: Seen) => Scripted) {
    execute = script;
    const { client } = deployment;
    const { id } = await client.goals.create({ text: "append" });
    for await (const _ of client.goals.watch(id));
    const steps = [];
    for await (const step of client.goals.steps(id)) steps.push(step);
    return { goal: await client.goals.get(id), steps, results: steps.filter((step) => step.kind === "tool") };
  }
  const append = (args: Record<string, unknown> | string): Scripted => ({
    toolCalls: [{ name: "append_to_file", args: args as never }],
  });
  /** First this, then a short line, then the result. */
  const then = (first: Scripted) => (seen: Seen) =>
    [first, append({ path: "out.txt", text: "line\n" }), { text: "appended" }][(seen.messageCount - 1) / 2]!;

  test("a model's answer over the limit ends its task with size and limit, and its bill is counted", async () => {
    const { goal } = await run(() => ({ text: "x".repeat(answerBytes), usage }));
    expect(goal).toMatchObject({ status: "succeeded", tasks: [{ status: "failed", attempt: 1 }] });
    expect(goal.tasks[0]!.reason).toMatch(
      /openai\/gpt-test: the model's answer has 60\d\d\d bytes, more than the 60000/,
    );
    expect(goal.usage.tokens).toBe(150);
  }, 60_000);

  test.each([
    ["too deep", `{"text":${"[".repeat(50_000)}${"]".repeat(50_000)}}`.slice(0, 58_000), /arguments/],
    [
      "nested some thousand levels",
      `{"path":"out.txt","text":${"[".repeat(5000)}${"]".repeat(5000)}}`,
      /nested more than 64 levels deep/,
    ],
    ["too large", { path: "out.txt", text: "x".repeat(45_000) }, /have 45\d\d\d bytes, more than the 40000/],
    [
      "a file that is too large",
      { path: "out.txt", text: "x".repeat(30_000) },
      /writes to out.txt has 30000 bytes, more than the 20000/,
    ],
  ] as const)(
    "arguments that are %s are an error of their call, and the task goes on",
    async (_, args, message) => {
      const { goal, results } = await run(then(append(args as never)));
      expect(goal).toMatchObject({ status: "succeeded", tasks: [{ status: "done", attempt: 1 }] });
      expect(results.map((step) => step.ok)).toEqual([false, true]);
      expect((results[0]!.output as { text: string }).text).toMatch(message);
    },
    60_000,
  );

  test("a text that stands in an answer, a call and a file is journaled once, and the request can be rebuilt to the letter", async () => {
    const text = "a long line\n".repeat(1000);
    const { goal, steps } = await run(then(append({ path: "out.txt", text })));
    expect(goal.status).toBe("succeeded");
    expect(steps.find((step) => step.kind === "tool")?.input).toEqual({ path: "out.txt", text });
    for (const step of steps.filter((each) => each.kind === "model")) {
      const { request } = await deployment.client.steps.get(step.id);
      expect(request?.hash).toBe(request?.recorded_hash);
    }
    const pool = new pg.Pool({ connectionString: deployment.env["DATABASE_URL"]!, max: 1 });
    const { rows } = await pool.query(
      `SELECT (SELECT count(*) FROM blobs WHERE goal_id = $1 AND body = $2)::integer AS blobs,
        (SELECT sum(length(input::text) + length(output::text)) FROM steps WHERE goal_id = $1)::integer AS chars`,
      [goal.id, text],
    );
    await pool.end();
    expect(rows[0].blobs).toBe(1);
    expect(rows[0].chars).toBeLessThan(text.length);
  }, 60_000);
});
