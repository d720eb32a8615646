/** Waits and external calls from the API to the model and back, on whichever size. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { FailpointName } from "@outerloop/core";
import type { ApprovalResource, EventResource } from "@outerloop/core/domain";
import {
  startScriptedServer,
  type Scripted,
  type ScriptedServer,
  type Seen,
} from "../../packages/core/src/models/testing/scripted-server.ts";
import { startSink, type Sink } from "../crash/support/sink.ts";
import { deploy, type Deployment, type Size } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { done, scriptFor, type ModelScript } from "../support/scripts.ts";

type Calls = readonly { readonly name: string; readonly args: Record<string, string | number> }[];

const task = (tools: readonly string[], evidence: readonly unknown[] = [{ tool: tools[0] }]) => ({
  tasks: [{ id: "t1", text: "do it", depends_on: [], tools, evidence, difficulty: "easy" }],
  done: false,
  final_answer: "",
});

export function waitingCases(size: Size): void {
  describe(`waiting, ${size}`, () => {
    let models: ScriptedServer;
    let sink: Sink;
    let deployment: Deployment;
    let script: (seen: Seen) => Promise<Scripted> | Scripted = () => ({ text: "no script" });

    beforeAll(async () => {
      models = await startScriptedServer((seen) => script(seen));
      sink = await startSink();
      deployment = await deploy({
        size,
        env: {
          ...sink.env,
          OUTERLOOP_AUTO_APPROVE: "",
          OPENAI_BASE_URL: models.openAiBaseUrl,
          OPENAI_API: "chat",
          OUTERLOOP_MODEL: "openai/gpt-test",
          OUTERLOOP_EXECUTOR_SLOTS: "1",
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
    /** One turn of calls, then an answer that quotes what came back. */
    const callThenTell = (calls: Calls) => (seen: Seen) =>
      seen.lastToolResults.length === 0
        ? { toolCalls: calls }
        : { text: seen.lastToolResults.map((result) => `[${result.text}]`).join(" ") };
    const oneTask = (calls: Calls, evidence?: readonly unknown[]): ModelScript => ({
      plan: (round) => (round === 1 ? task([...new Set(calls.map((call) => call.name))], evidence) : done("told")),
      execute: callThenTell(calls),
    });
    const post = async (text = "go") => (await deployment.client.goals.create({ text })).id;
    /** Resolves with the events so far as soon as `isEnough` says so; the test's timeout bounds it. */
    async function until(id: string, isEnough: (events: readonly EventResource[]) => boolean) {
      const events: EventResource[] = [];
      for await (const event of deployment.client.goals.watch(id)) {
        events.push(event);
        if (isEnough(events)) return events;
      }
      throw new Error(`the goal ended first: ${JSON.stringify(events.at(-1))}`);
    }
    const count = (events: readonly EventResource[], type: string) =>
      events.filter((event) => event.type === type).length;
    const isWaiting =
      (times = 1) =>
      (events: readonly EventResource[]) =>
        count(events, "task.waiting") >= times;
    async function ended(id: string) {
      for await (const _ of deployment.client.goals.watch(id)) continue;
      return deployment.client.goals.get(id);
    }
    async function open(goal: string): Promise<ApprovalResource[]> {
      return Array.fromAsync(deployment.client.approvals.list({ goal }));
    }
    const argsOf = (approval: ApprovalResource) => approval.args["text"];

    test("several calls of one turn wait at once, are decided in any order, also after a crash, and run as decided", async () => {
      const before = sink.deliveries.length;
      use(
        oneTask([
          { name: "sink_mail", args: { text: "one" } },
          { name: "sink_mail", args: { text: "two" } },
          { name: "list_files", args: {} },
          { name: "sink_post", args: { text: "three" } },
        ]),
      );
      const id = await post();
      const events = await until(id, isWaiting());
      expect(count(events, "approval.requested")).toBe(3);
      expect(sink.deliveries.length).toBe(before);
      const asked = await open(id);
      expect(asked.map((each) => `${each.kind} ${each.tool} ${String(argsOf(each))}`).toSorted()).toEqual([
        "approval sink_mail one",
        "approval sink_mail two",
        "approval sink_post three",
      ]);
      const goal = await deployment.client.goals.get(id);
      expect(goal.tasks[0]).toMatchObject({ status: "waiting" });
      expect(goal.tasks[0]?.waiting_on).toHaveLength(3);
      const approvalOf = (text: string) => asked.find((each) => argsOf(each) === text)!;

      await deployment.client.approvals.decide(approvalOf("three").id, { decision: "reject", reason: "not today" });
      await until(id, isWaiting(2));
      if (size !== "embedded") {
        const name = "executor-1";
        deployment.processes.get(name)!.kill("SIGKILL");
        await deployment.processes.get(name)!.exited;
        await deployment.start("executor", name);
      }
      await expect(
        deployment.client.approvals.decide(approvalOf("one").id, { decision: "edit", args: { text: 7 } }),
      ).rejects.toMatchObject({ status: 400 });
      await deployment.client.approvals.decide(approvalOf("one").id, { decision: "edit", args: { text: "uno" } });
      await deployment.client.approvals.decide(approvalOf("two").id, {
        decision: "approve",
        hash: approvalOf("two").hash!,
      });
      const end = await ended(id);
      expect(end.status).toBe("succeeded");
      expect(
        sink.deliveries
          .slice(before)
          .map((each) => (JSON.parse(each.body) as { text: string }).text)
          .toSorted(),
      ).toEqual(["two", "uno"]);
      expect(end.tasks[0]?.result).toMatch(
        /^\[A person changed the arguments to {"text":"uno"}\. received\] \[received\] \[The workspace has no files\.\] \[.*A person rejected this call.*not today\]$/s,
      );
      expect(await open(id)).toEqual([]);
      await expect(
        deployment.client.approvals.decide(approvalOf("two").id, { decision: "reject" }),
      ).rejects.toMatchObject({ status: 409 });
    }, 60_000);

    test("a task sleeps on timers and signals, early and late ones, while its slot works for others", async () => {
      let planned = false;
      use({
        plan: (_round, seen) => {
          if (planned || JSON.stringify(seen.body).includes("the other goal")) return done("told");
          planned = true;
          return task(["sleep_for", "wait_for_signal"], [{ tool: "sleep_for" }]);
        },
        execute: callThenTell([
          { name: "sleep_for", args: { seconds: 1 } },
          { name: "wait_for_signal", args: { name: "early" } },
          { name: "wait_for_signal", args: { name: "late" } },
          { name: "wait_for_signal", args: { name: "never", timeout_seconds: 1 } },
        ]),
      });
      const id = await post("sleeper");
      await deployment.client.goals.signal(id, { name: "early", payload: { n: 1 } });
      await until(id, (events) => isWaiting()(events));
      const other = await post("the other goal");
      expect((await ended(other)).status).toBe("succeeded");
      await deployment.client.goals.signal(id, { name: "late", payload: "now" });
      const end = await ended(id);
      expect(end.status).toBe("succeeded");
      const result = end.tasks[0]?.result ?? "";
      expect(result).toContain("The wait is over");
      expect(result).toContain('The signal "early" came');
      expect(result).toContain('It says: {"n":1}');
      expect(result).toContain('It says: "now"');
      expect(result).toContain('No signal "never" came by');
      expect(end.usage.steps).toBe(
        (await Array.fromAsync(deployment.client.goals.steps(id))).filter((step) => step.phase === "result").length,
      );
    }, 60_000);

    test("a signal that must come and does not fails its task with that reason", async () => {
      use({
        plan: (round) => (round === 1 ? task(["wait_for_signal"]) : { tasks: [], done: false, final_answer: "" }),
        execute: callThenTell([
          { name: "wait_for_signal", args: { name: "x", timeout_seconds: 0.2, on_timeout: "fail" } },
        ]),
      });
      const end = await ended(await post());
      expect(end.tasks[0]).toMatchObject({ status: "failed" });
      expect(end.tasks[0]?.reason).toMatch(/^no signal "x" came by/);
    }, 60_000);

    test("a mail whose task is retried and then split is one mail", async () => {
      const before = sink.deliveries.length;
      let verdicts = 0;
      use({
        plan: (round) => (round === 1 ? task(["sink_mail"]) : done("told")),
        execute: callThenTell([{ name: "sink_mail", args: { text: "invoice" } }]),
        verdict: () => {
          verdicts += 1;
          const status = verdicts === 1 ? "retry" : verdicts === 2 ? "split" : "done";
          return { status, reason: "r", new_tasks: status === "split" ? ["again", "and again"] : [], lesson: "" };
        },
      });
      const id = await post();
      await until(id, isWaiting());
      await deployment.client.approvals.decide((await open(id))[0]!.id, { decision: "approve" });
      const end = await ended(id);
      expect(end.status).toBe("succeeded");
      expect(end.tasks).toHaveLength(3);
      expect(sink.deliveries.length - before).toBe(1);
      expect(end.tasks.map((each) => each.result ?? "").every((text) => text.includes("received"))).toBe(true);
    }, 60_000);

    test("a decision about a paused goal counts when it is resumed; one about a cancelled goal is refused", async () => {
      const before = sink.deliveries.length;
      use(oneTask([{ name: "sink_mail", args: { text: "paused" } }]));
      const id = await post();
      await until(id, isWaiting());
      await deployment.client.goals.pause(id);
      await deployment.client.approvals.decide((await open(id))[0]!.id, { decision: "approve" });
      expect((await deployment.client.goals.get(id)).status).toBe("paused");
      expect(sink.deliveries.length).toBe(before);
      await deployment.client.goals.resume(id);
      expect((await ended(id)).status).toBe("succeeded");
      expect(sink.deliveries.length).toBe(before + 1);

      use(oneTask([{ name: "sink_mail", args: { text: "cancelled" } }]));
      const cancelled = await post();
      await until(cancelled, isWaiting());
      const [asked] = await open(cancelled);
      await deployment.client.goals.cancel(cancelled);
      await expect(deployment.client.approvals.decide(asked!.id, { decision: "approve" })).rejects.toMatchObject({
        status: 409,
      });
      expect((await deployment.client.approvals.get(asked!.id)).status).toBe("withdrawn");
      expect(sink.deliveries.length).toBe(before + 1);
    }, 60_000);

    test("people decide and send signals on the command line", async () => {
      const before = sink.deliveries.length;
      const outerloop = async (...args: readonly string[]) => {
        const { stdout } = await promisify(execFile)(
          process.execPath,
          ["packages/cli/src/main.ts", ...args, "--url", deployment.url, "--key", deployment.apiKey],
          { env: { ...process.env, NO_COLOR: "1" } },
        );
        return stdout;
      };
      use(
        oneTask(
          [
            { name: "sink_mail", args: { text: "cli one" } },
            { name: "sink_mail", args: { text: "cli two" } },
            { name: "sink_mail", args: { text: "cli three" } },
            { name: "wait_for_signal", args: { name: "ready" } },
          ],
          [{ tool: "sink_mail" }],
        ),
      );
      const id = await post();
      await until(id, isWaiting());
      const listed = await outerloop("approvals", "--goal", id);
      const [one, two, three] = await Promise.all(
        ["cli one", "cli two", "cli three"].map(async (text) =>
          (await open(id)).find((each) => argsOf(each) === text)!,
        ),
      );
      expect(listed).toContain(`"text": "cli one"`);
      expect(listed).toContain(`npx outerloop approve ${one!.id}`);
      expect(await outerloop("show", id)).toContain("waiting: for 3 decisions of yours: npx outerloop approvals");
      expect(await outerloop("approve", one!.id, "--hash", one!.hash!)).toMatch(/sink_mail of g_\w+ t1: approve/);
      expect(await outerloop("approve", two!.id, "--args", '{"text":"cli edited"}')).toContain("edit");
      expect(await outerloop("reject", three!.id, "--reason", "spam")).toContain("reject");
      await expect(outerloop("approve", three!.id)).rejects.toMatchObject({ code: 2 });
      await expect(outerloop("approve", "t1")).rejects.toMatchObject({ code: 2 });
      expect(await outerloop("signal", id, "ready", "--payload", '{"go":true}')).toContain("was told ready");
      const end = await ended(id);
      expect(end.status).toBe("succeeded");
      expect(end.tasks[0]?.result).toContain('It says: {"go":true}');
      expect(
        sink.deliveries
          .slice(before)
          .map((each) => each.body)
          .toSorted(),
      ).toEqual(['{"text":"cli edited"}', '{"text":"cli one"}']);
      expect(await outerloop("approvals")).toContain("Nothing waits for a decision.");
    }, 60_000);

    test("a provider that says to come back in an hour is waited for like anything else", async () => {
      use({
        plan: (round) => (round === 1 ? task(["list_files"]) : done("told")),
        execute: () => ({ error: { status: 429, message: "slow down", headers: { "retry-after": "3600" } } }),
      });
      const id = await post();
      await until(id, isWaiting());
      const [waits] = (await deployment.client.goals.get(id)).tasks;
      expect(waits).toMatchObject({ status: "waiting", waiting_on: [{ kind: "timer", name: "model" }] });
      expect(Date.parse(waits!.waiting_on![0]!.deadline_at) - Date.now()).toBeGreaterThan(3_500_000);
      // By hand it is asked again at once, and says the same.
      expect(await deployment.client.goals.retry(id)).toMatchObject({ tasks: ["t1"] });
      await until(id, isWaiting(2));
      await deployment.client.goals.cancel(id);
      // Whoever knows better lets it be called again.
      const { held } = await deployment.client.models.get();
      expect(held).toMatchObject([{ state: "cooling", reason: expect.stringContaining("slow down") as string }]);
      expect((await deployment.client.models.release(held[0]!.model)).held).toEqual([]);
    }, 60_000);

    if (size === "embedded") return;

    const cutOff = async (calls: Calls, at: FailpointName = "effect.sent") => {
      use(oneTask(calls));
      const name = "executor-1";
      deployment.processes.get(name)!.kill("SIGTERM");
      await deployment.processes.get(name)!.exited;
      const dies = await deployment.start("executor", "dies", { OUTERLOOP_FAILPOINT: at });
      const id = await post();
      const approve = async () => {
        await until(id, isWaiting());
        for (const each of await open(id)) await deployment.client.approvals.decide(each.id, { decision: "approve" });
      };
      await approve();
      await dies.exited;
      await deployment.start("executor", name);
      return id;
    };

    test("a call that was cut off is put to a person: it happened, and is not sent again", async () => {
      const before = sink.deliveries.length;
      const id = await cutOff([{ name: "sink_mail", args: { text: "cut" } }]);
      await until(id, isWaiting(2));
      const [asked] = await open(id);
      expect(asked).toMatchObject({ kind: "outcome", tool: "sink_mail", args: { text: "cut" } });
      await deployment.client.approvals.decide(asked!.id, { decision: "happened", result: "it is in my inbox" });
      const end = await ended(id);
      expect(end).toMatchObject({ status: "succeeded" });
      expect(end.tasks[0]?.result).toBe("[it is in my inbox]");
      expect(sink.deliveries.length - before).toBe(1);
    }, 60_000);

    test("a call that was cut off runs again when a person says so, with the same key", async () => {
      const before = sink.deliveries.length;
      const id = await cutOff([{ name: "sink_mail", args: { text: "cut again" } }]);
      await until(id, isWaiting(2));
      await deployment.client.approvals.decide((await open(id))[0]!.id, { decision: "run_again" });
      expect((await ended(id)).status).toBe("succeeded");
      const keys = sink.deliveries.slice(before).map((each) => each.key);
      expect(keys).toHaveLength(2);
      expect(new Set(keys).size).toBe(1);
    }, 60_000);

    for (const [at, result] of [
      ["effect.sent", "[the sink has it]"],
      ["effect.intended", "[received]"],
    ] as const)
      test(`a call that was cut off at ${at} is asked after by its tool's probe, and happens once`, async () => {
        const before = sink.deliveries.length;
        const id = await cutOff([{ name: "sink_ask", args: { text: at } }], at);
        const end = await ended(id);
        expect(end.status).toBe("succeeded");
        expect(end.tasks[0]?.result).toBe(result);
        expect(sink.deliveries.length - before).toBe(1);
      }, 60_000);

    test("a call that was cut off runs again by itself where its receiver deduplicates", async () => {
      const before = sink.deliveries.length;
      const id = await cutOff([{ name: "sink_post", args: { text: "cut post" } }]);
      expect((await ended(id)).status).toBe("succeeded");
      const keys = sink.deliveries.slice(before).map((each) => each.key);
      expect(keys).toHaveLength(2);
      expect(new Set(keys).size).toBe(1);
    }, 60_000);
  });
}
