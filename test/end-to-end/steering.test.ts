/** What a person may do to a goal in the middle of its calls: it counts at once. */
import { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  startScriptedServer,
  type Scripted,
  type ScriptedServer,
  type Seen,
} from "../../packages/core/src/models/testing/scripted-server.ts";
import { startSink, type Delivery, type Sink } from "../crash/support/sink.ts";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { done, scriptFor } from "../support/scripts.ts";
import { sized } from "../crash/support/size.ts";
import { describeWithServers } from "../support/servers.ts";

/** What is promised is 2 s; a machine that runs the whole suite beside it is given more. */
const soonMs = sized(5000, 2000);

describeWithServers("steering a goal in the middle of a turn", () => {
  let models: ScriptedServer;
  let sink: Sink;
  let deployment: Deployment;
  let sql: Client;
  let script: (seen: Seen) => Promise<Scripted> | Scripted = () => ({ text: "no script" });

  beforeAll(async () => {
    models = await startScriptedServer((seen) => script(seen));
    sink = await startSink();
    deployment = await deploy({
      size: "redis",
      env: {
        ...sink.env,
        OPENAI_BASE_URL: models.openAiBaseUrl,
        OPENAI_API: "chat",
        OUTERLOOP_MODEL: "openai/gpt-test",
      },
    });
    sql = new Client({ connectionString: deployment.env["DATABASE_URL"] });
    await sql.connect();
  }, 120_000);
  afterAll(async () => {
    await sql?.end();
    await deployment?.stop();
    await models?.close();
    await sink?.close();
    await endProcesses();
  }, 60_000);

  const mails = ["one", "two", "three"].map((text) => ({ name: "sink_mail", args: { text } }));
  const mailing = () =>
    scriptFor({
      plan: (round) =>
        round === 1
          ? {
              tasks: [
                { id: "t1", text: "mail", depends_on: [], tools: ["sink_mail"], evidence: [], difficulty: "easy" },
              ],
              done: false,
              final_answer: "",
            }
          : done("mailed"),
      execute: (seen) => (seen.lastToolResults.length === 0 ? { toolCalls: mails } : { text: "mailed" }),
    });
  const post = async () => (await deployment.client.goals.create({ text: "go" })).id;
  /** The next call that reaches the sink is held there until `answer` is called. */
  function holdNext(): { readonly arrived: Promise<Delivery>; answer(): void } {
    const arrived = Promise.withResolvers<Delivery>();
    const answered = Promise.withResolvers<void>();
    let held = false;
    sink.onDelivery(async (delivery) => {
      if (held) return;
      held = true;
      arrived.resolve(delivery);
      await answered.promise;
    });
    return { arrived: arrived.promise, answer: answered.resolve };
  }
  const intentsOf = async (goal: string) =>
    (await sql.query("SELECT count(*)::integer AS n FROM steps WHERE goal_id = $1 AND phase = 'intent'", [goal]))
      .rows[0].n as number;

  test("cancel ends a tool call within 2 s, and nothing of its turn is intended after it", async () => {
    script = mailing();
    const before = sink.deliveries.length;
    const held = holdNext();
    const id = await post();
    const delivery = await held.arrived;
    const goal = await deployment.client.goals.cancel(id);
    const cancelledAt = Date.now();
    expect(goal.status).toBe("cancelled");
    await delivery.hungUp;
    expect(Date.now() - cancelledAt).toBeLessThan(soonMs);
    held.answer();
    // Another goal through the same worker: whatever it still meant to do for the first has been done by then.
    sink.onDelivery(() => undefined);
    script = mailing();
    const next = await post();
    for await (const _ of deployment.client.goals.watch(next)) continue;
    expect(await intentsOf(id)).toBe(1);
    expect(sink.deliveries.length - before).toBe(1 + mails.length);
  }, 60_000);

  test("cancel hangs up on a model within 2 s", async () => {
    const asked = Promise.withResolvers<Seen>();
    const plan = mailing();
    script = async (seen) => {
      if (seen.outputName === "plan") return plan(seen);
      asked.resolve(seen);
      return "hang";
    };
    const id = await post();
    const seen = await asked.promise;
    await deployment.client.goals.cancel(id);
    const cancelledAt = Date.now();
    await seen.hungUp;
    expect(Date.now() - cancelledAt).toBeLessThan(soonMs);
  }, 60_000);

  test("pause lets a running call finish and starts no other; resume goes on with the next", async () => {
    script = mailing();
    const before = sink.deliveries.length;
    const held = holdNext();
    const id = await post();
    await held.arrived;
    expect((await deployment.client.goals.pause(id)).status).toBe("paused");
    held.answer();
    // Its result is journaled although the goal is paused.
    for await (const event of deployment.client.goals.watch(id)) if (event.type === "step.tool") break;
    // The claim is given back without another call.
    await expect
      .poll(async () => (await sql.query("SELECT lease_id FROM tasks WHERE goal_id = $1", [id])).rows[0].lease_id)
      .toBeNull();
    expect(sink.deliveries.length - before).toBe(1);
    expect(await intentsOf(id)).toBe(1);
    await deployment.client.goals.resume(id);
    for await (const _ of deployment.client.goals.watch(id)) continue;
    expect((await deployment.client.goals.get(id)).status).toBe("succeeded");
    expect(sink.deliveries.slice(before).map((each) => each.body)).toEqual(
      ["one", "two", "three"].map((text) => JSON.stringify({ text })),
    );
    const due = await sql.query("SELECT count(*)::integer AS n FROM tasks WHERE goal_id = $1 AND due_at = 'infinity'", [
      id,
    ]);
    expect(due.rows[0].n).toBe(0);
  }, 60_000);
});
