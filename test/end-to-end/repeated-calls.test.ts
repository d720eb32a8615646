/** Ways in which a model, a person or a budget may have a call made again, and it is not. */
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  startScriptedServer,
  type Scripted,
  type ScriptedServer,
  type Seen,
} from "../../packages/core/src/models/testing/scripted-server.ts";
import { startSink, type Sink } from "../crash/support/sink.ts";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { done, scriptFor, type ModelScript } from "../support/scripts.ts";

/** Tools whose receivers behave badly. Each counts its runs at the sink. */
const tools = `
const post = (text, context) => fetch(process.env.SINK_URL, { method: "POST", headers: { "idempotency-key": context.idempotencyKey }, body: JSON.stringify({ text }) });
import { z } from "zod";
const input = z.object({ text: z.string() });
const common = { version: "1", description: "x", effect: "external", timeoutMs: 30_000, input };
let sends = 0;
export default { name: "bad", description: "", tools: [
  { ...common, name: "lost_reply",
    async run({ text }, context) { sends += 1; await post(text, context); throw new Error("the reply was lost"); },
    // It hears of what it did only after the second time.
    async reconcile() { return sends < 2 ? { kind: "not_done" } : { kind: "done", text: "seen " + sends }; } },
  { ...common, name: "long_error",
    async run({ text }, context) { await post(text, context); throw new Error("x".repeat(2_000_000)); } },
  { ...common, name: "fails_first",
    async run({ text }, context) { sends += 1; if (sends % 2 === 1) return { ok: false, text: "refused" }; await post(text, context); return { ok: true, text: "posted" }; } },
] };
`;

const task = (tool: string, evidence: readonly unknown[] = [{ tool }]) => ({
  tasks: [{ id: "t1", text: "do it", depends_on: [], tools: [tool], evidence, difficulty: "easy" }],
  done: false,
  final_answer: "",
});

describe("a call that may have happened", () => {
  let models: ScriptedServer;
  let sink: Sink;
  let deployment: Deployment;
  let script: (seen: Seen) => Promise<Scripted> | Scripted = () => ({ text: "no script" });
  beforeAll(async () => {
    models = await startScriptedServer((seen) => script(seen));
    sink = await startSink();
    const module = join(await mkdtemp(join(tmpdir(), "outerloop-tools-")), "bad.mjs");
    await writeFile(module, tools);
    deployment = await deploy({
      size: "embedded",
      env: {
        ...sink.env,
        OUTERLOOP_AUTO_APPROVE: "lost_reply,long_error,fails_first",
        OUTERLOOP_SKILL_MODULES: `${sink.env["OUTERLOOP_SKILL_MODULES"]},${module}`,
        OPENAI_BASE_URL: models.openAiBaseUrl,
        OPENAI_API: "chat",
        OUTERLOOP_MODEL: "openai/gpt-test",
      },
    });
  }, 120_000);
  afterAll(async () => {
    await deployment?.stop();
    await models?.close();
    await sink?.close();
    await endProcesses();
  }, 60_000);

  const use = (next: ModelScript) => (script = scriptFor(next));
  const callThenTell = (name: string, text: string) => (seen: Seen) =>
    seen.lastToolResults.length === 0
      ? { toolCalls: [{ name, args: { text } }] }
      : { text: seen.lastToolResults.map((result) => result.text).join() };
  async function until(id: string, type: string) {
    for await (const event of deployment.client.goals.watch(id)) if (event.type === type) return;
    throw new Error(`the goal ended without ${type}`);
  }
  async function ended(id: string) {
    for await (const _ of deployment.client.goals.watch(id)) continue;
    return deployment.client.goals.get(id);
  }
  const post = async (budget?: { steps: number }) =>
    (await deployment.client.goals.create({ text: "go", ...(budget && { budget }) })).id;
  const open = (goal: string) => Array.fromAsync(deployment.client.approvals.list({ goal }));

  test("is asked after anew each time that its reply was lost", async () => {
    const before = sink.deliveries.length;
    use({
      plan: (round) => (round === 1 ? task("lost_reply") : done("told")),
      execute: callThenTell("lost_reply", "a"),
    });
    const end = await ended(await post());
    expect(end.tasks[0]?.result).toBe("seen 2");
    expect(sink.deliveries.length - before).toBe(2);
  }, 60_000);

  test("stays unknown however long its error is, and a person is asked", async () => {
    const before = sink.deliveries.length;
    use({
      plan: (round) => (round === 1 ? task("long_error") : done("told")),
      execute: callThenTell("long_error", "a"),
    });
    const id = await post();
    await until(id, "task.waiting");
    const [asked] = await open(id);
    expect(asked).toMatchObject({ kind: "outcome" });
    await deployment.client.approvals.decide(asked!.id, { decision: "happened", result: "it did" });
    expect((await ended(id)).tasks[0]?.result).toBe("it did");
    expect(sink.deliveries.length - before).toBe(1);
  }, 60_000);

  test("that was refused first and made then is found by a retry which asks once", async () => {
    const before = sink.deliveries.length;
    let verdicts = 0;
    use({
      plan: (round) => (round === 1 ? task("fails_first") : done("told")),
      execute: (seen) =>
        seen.lastToolResults[0]?.text === "posted"
          ? { text: "posted" }
          : { toolCalls: [{ name: "fails_first", args: { text: "once" } }] },
      verdict: () => {
        verdicts += 1;
        return { status: verdicts === 1 ? "retry" : "done", reason: "again", new_tasks: [], lesson: "" };
      },
    });
    expect((await ended(await post())).tasks[0]).toMatchObject({ status: "done", attempt: 2, result: "posted" });
    expect(sink.deliveries.length - before).toBe(1);
  }, 60_000);

  test("and was rejected is not asked again by a retry", async () => {
    const before = sink.deliveries.length;
    use({
      plan: (round) => (round === 1 ? task("sink_mail") : { tasks: [], done: false, final_answer: "" }),
      execute: callThenTell("sink_mail", "spam"),
      verdict: () => ({ status: "done", reason: "x", new_tasks: [], lesson: "" }),
    });
    const id = await post();
    await until(id, "task.waiting");
    const [asked] = await open(id);
    await deployment.client.approvals.decide(asked!.id, { decision: "reject", reason: "never" });
    const end = await ended(id);
    expect(end.tasks[0]).toMatchObject({ status: "abandoned", attempt: 3 });
    expect(end.tasks[0]?.result).toMatch(/rejected this same call before.*They said: never/);
    expect(await Array.fromAsync(deployment.client.approvals.list({ goal: id, status: "decided" }))).toHaveLength(1);
    expect(sink.deliveries.length).toBe(before);
  }, 60_000);

  test("by a task that a budget ended is not made again by the one that is planned instead, unless a person says so", async () => {
    const before = sink.deliveries.length;
    use({
      plan: (round) => (round < 3 ? task("sink_mail") : done("told")),
      execute: callThenTell("sink_mail", "bill"),
    });
    // Intake, a plan, a model call and the mail: nothing is left for the call that would read its result.
    const id = await post({ steps: 4 });
    await until(id, "task.waiting");
    await deployment.client.approvals.decide((await open(id))[0]!.id, { decision: "approve" });
    expect((await ended(id)).reason).toBe("step_budget");
    expect(sink.deliveries.length - before).toBe(1);
    await deployment.client.goals.resume(id, { budget: { steps: 60 } });
    for await (const event of deployment.client.goals.watch(id))
      if (event.type === "approval.requested" && (await open(id)).length > 0) break;
    const [asked] = await open(id);
    expect(asked).toMatchObject({ kind: "approval", same_call: { task: "t1", status: "done" } });
    await deployment.client.approvals.decide(asked!.id, { decision: "reject", reason: "it is out" });
    await deployment.client.goals.cancel(id);
    expect(sink.deliveries.length - before).toBe(1);
  }, 60_000);
});
