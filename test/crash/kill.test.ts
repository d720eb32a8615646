/**
 * Real processes, killed for real in the middle of a task: another goes on from the journal, in the same attempt, and
 * neither a journaled step nor an appended line is there twice.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  startScriptedServer,
  type ScriptedServer,
  type Seen,
} from "../../packages/core/src/models/testing/scripted-server.ts";
import { deploy, realSizes, type Deployment, type Size } from "../support/deployments.ts";
import { endProcesses, type ServiceProcess } from "../support/processes.ts";
import { appendTasks, done, scriptFor } from "../support/scripts.ts";
import { describeWithServers } from "../support/servers.ts";

/** Lines that the task appends, one a turn. */
const lines = 4;
/** The turn in whose model call the process dies. */
const fatalTurn = 2;

/** How many turns the conversation has: the first message, then a call and its result each. */
const turnOf = (seen: Seen) => (seen.messageCount - 1) / 2;

const byNumber = (a: number, b: number) => a - b;

interface Scenario {
  readonly server: ScriptedServer;
  readonly deployment: Deployment;
  readonly goal: string;
  /** Resolves when the model call that is never answered has come. */
  readonly hanging: Promise<void>;
}

async function begin(
  size: Size,
  options: { readonly executors?: number; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Scenario> {
  let hasHung = false;
  let reportHanging!: () => void;
  const hanging = new Promise<void>((resolve) => (reportHanging = resolve));
  const answer = scriptFor({
    plan: (round) => (round === 1 ? appendTasks(1) : done("see out.txt")),
    execute: (seen) => {
      const turn = turnOf(seen);
      if (turn === fatalTurn && !hasHung) {
        hasHung = true;
        reportHanging();
        return "hang";
      }
      return turn < lines
        ? { toolCalls: [{ name: "append_to_file", args: { path: "out.txt", text: `line ${turn}\n` } }] }
        : { text: "appended" };
    },
  });
  const server = await startScriptedServer((seen) => answer(seen));
  const deployment = await deploy({
    size,
    ...options,
    env: { OPENAI_BASE_URL: server.openAiBaseUrl, OUTERLOOP_MODEL: "openai/gpt-test", ...options.env },
  });
  const { id } = await deployment.client.goals.create({ text: "append the lines" });
  return { server, deployment, goal: id, hanging };
}

async function expectWhole({ server, deployment, goal }: Scenario): Promise<void> {
  const seqs: number[] = [];
  for await (const event of deployment.client.goals.watch(goal)) seqs.push(event.seq);
  expect(seqs).toEqual(seqs.map((_, index) => index + 1));

  const ended = await deployment.client.goals.get(goal);
  expect(ended).toMatchObject({ status: "succeeded", tasks: [{ status: "done", attempt: 1 }] });
  const text = new TextDecoder().decode(await deployment.client.goals.artifact(goal, "out.txt"));
  expect(text).toBe(Array.from({ length: lines }, (_, index) => `line ${index}\n`).join(""));

  const asked = server.seen.filter((seen) => seen.outputName === undefined).map(turnOf);
  // Only the call that was under way is made again.
  expect(asked.toSorted(byNumber)).toEqual(
    [...Array.from({ length: lines + 1 }, (_, index) => index), fatalTurn].toSorted(byNumber),
  );
  const steps = [];
  for await (const step of deployment.client.goals.steps(goal)) steps.push(step.id);
  expect(new Set(steps).size).toBe(steps.length);
  expect(ended.usage.steps).toBe(steps.length);
}

const holderOf = (deployment: Deployment): ServiceProcess => {
  const holder = [...deployment.processes.values()].find((process) =>
    process.lines.some((line) => line.event === "task_started"),
  );
  if (holder === undefined) throw new Error("no process has started the task");
  return holder;
};

function killCases(size: Size): void {
  describe(`kill -9 on ${size}`, () => {
    let scenario: Scenario;
    beforeAll(async () => {
      scenario = await begin(size, { executors: 2 });
    }, 90_000);
    afterAll(async () => {
      await scenario?.deployment.stop();
      await endProcesses();
      await scenario?.server.close();
    });

    test("of an executor in the middle of a task: the other finishes it from the journal in the same attempt", async () => {
      await scenario.hanging;
      const holder = holderOf(scenario.deployment);
      holder.kill("SIGKILL");
      expect(await holder.exited).toBe("SIGKILL");
      await expectWhole(scenario);
      const other = [...scenario.deployment.processes.values()].find(
        (process) => process.name.startsWith("executor") && process !== holder,
      );
      expect(other?.lines.find((line) => line.event === "task_taken_up")).toMatchObject({ attempt: 1, steps: 4 });
    }, 60_000);
  });

  describe(`SIGTERM on ${size}`, () => {
    let scenario: Scenario;
    beforeAll(async () => {
      scenario = await begin(size, { executors: 2, env: { OUTERLOOP_DRAIN_MS: "300" } });
    }, 90_000);
    afterAll(async () => {
      await scenario?.deployment.stop();
      await endProcesses();
      await scenario?.server.close();
    });

    test("to an executor whose call outlasts the drain: it exits with 0, hands the task back, and nothing is repeated", async () => {
      await scenario.hanging;
      const holder = holderOf(scenario.deployment);
      holder.kill("SIGTERM");
      expect(await holder.exited).toBe(0);
      await expectWhole(scenario);
    }, 60_000);
  });
}

for (const size of realSizes) describeWithServers(`executors on ${size}`, () => killCases(size));

describe("kill -9 of everything on the embedded database", () => {
  let scenario: Scenario;
  beforeAll(async () => {
    scenario = await begin("embedded");
  }, 90_000);
  afterAll(async () => {
    await scenario?.deployment.stop();
    await endProcesses();
    await scenario?.server.close();
  });

  test("the next start goes on by itself", async () => {
    await scenario.hanging;
    const first = scenario.deployment.processes.get("embedded")!;
    const { port } = new URL(scenario.deployment.url);
    first.kill("SIGKILL");
    expect(await first.exited).toBe("SIGKILL");
    await scenario.deployment.start("embedded", "embedded", { PORT: port });
    await expectWhole(scenario);
  }, 90_000);
});
