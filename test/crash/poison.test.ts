/**
 * W8: a task that ends its process is found, ended with what was seen, and takes none of its neighbours with it. Real
 * processes, ended by what runs in them.
 */
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { GoalResource } from "@outerloop/core";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import {
  startScriptedServer,
  type Scripted,
  type ScriptedServer,
  type Seen,
} from "../../packages/core/src/models/testing/scripted-server.ts";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses, type ServiceProcess } from "../support/processes.ts";
import { done, understood } from "../support/scripts.ts";
import { sized } from "./support/size.ts";
import { describeWithServers } from "../support/servers.ts";
import { supervise, type Supervisor } from "../support/supervisor.ts";

const skills = fileURLToPath(new URL("../support/skills/misbehave.ts", import.meta.url));
const goals = 10;
const tasksOfGoal = 5;

const task = (id: string, tool: string) => ({
  id,
  text: `use ${tool}`,
  depends_on: [],
  tools: [tool],
  evidence: [{ tool }],
  difficulty: "easy",
});

/** Goals name what their third task does: `poison/exit`, or `harmless/4`. */
const tagOf = (seen: Seen) => /(poison|harmless)\/(\w+)/.exec(JSON.stringify(seen.body["messages"] ?? seen.body))?.[2];

function script(tools: Readonly<Record<string, (seen: Seen) => Scripted>>): (seen: Seen) => Scripted {
  const planned = new Set<string>();
  return (seen) => {
    if (seen.toolNames.includes("list_files") && seen.outputName === undefined && seen.messageCount === 1)
      return tools["stay1"]!(seen);
    if (seen.outputName === "intake") return { json: understood };
    if (seen.outputName === "verdict") return { json: { status: "done", reason: "", new_tasks: [], lesson: "" } };
    if (seen.outputName === "plan") {
      const tag = tagOf(seen) ?? "";
      if (tag === "planner") return "hang";
      if (planned.has(tag)) return { json: done("as far as it went") };
      planned.add(tag);
      const special = tag in tools ? tag : null;
      return {
        json: {
          tasks: Array.from({ length: tasksOfGoal }, (_, index) =>
            task(`t${index + 1}`, index === 2 && special !== null ? toolOf(special) : "append_to_file"),
          ),
          done: false,
          final_answer: "",
        },
      };
    }
    if (seen.messageCount > 1) return { text: "done" };
    if (seen.toolNames.includes("append_to_file"))
      return { toolCalls: [{ name: "append_to_file", args: { path: "out.txt", text: "line\n" } }] };
    return tools[tagOfTask.current]!(seen);
  };
}
const toolOf = (tag: string) => (tag === "hold" ? "hold" : tag.startsWith("stay") ? "list_files" : "misbehave");
/** Which of the special tasks a model is asked about now: there is one at a time. */
const tagOfTask = { current: "" };

const ended = async (deployment: Deployment, id: string): Promise<GoalResource> => {
  for await (const event of deployment.client.goals.watch(id)) void event;
  return deployment.client.goals.get(id);
};

/** One that has ended and that nobody has waited for yet (Z) is not. */
const isAlive = (pid: number) => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};

describeWithServers("poison", () => {
  let server: ScriptedServer;
  let deployment: Deployment;
  let folder: string;
  let stays = 0;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "outerloop-poison-"));
    const misbehave = (how: string) => () => ({ toolCalls: [{ name: "misbehave", args: { how } }] });
    server = await startScriptedServer(
      script({
        exit: misbehave("exit"),
        kill: misbehave("kill"),
        loop: misbehave("loop"),
        heap: misbehave("heap"),
        throw: misbehave("throw"),
        stay1: () => (stays++ === 0 ? "hang" : { toolCalls: [{ name: "list_files", args: {} }] }),
        stay2: () => "hang",
        hold: () => ({ toolCalls: [{ name: "hold", args: { file: join(folder, "pids") } }] }),
      }),
    );
    deployment = await deploy({
      size: "redis",
      onlyIngress: true,
      env: {
        OPENAI_BASE_URL: server.openAiBaseUrl,
        OUTERLOOP_MODEL: "openai/gpt-test",
        OUTERLOOP_SKILL_MODULES: skills,
        OUTERLOOP_ISOLATED_HEAP_MB: "96",
      },
    });
    await Promise.all([deployment.start("planner"), deployment.start("reflector")]);
  }, 90_000);
  afterAll(async () => {
    await deployment?.stop();
    await endProcesses();
    await server?.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function query(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    const client = new pg.Client({ connectionString: deployment.env["DATABASE_URL"] });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(text, values)).rows;
    } finally {
      await client.end();
    }
  }

  describe("a task that ends its process among 49 others fails alone, with what was seen:", () => {
    let supervisors: Supervisor[];
    beforeAll(() => {
      // A heap that is soon exhausted also in the workers themselves.
      // What ends its process takes along what runs beside it: with more slots more of the 49 have to run alone.
      const env = { NODE_OPTIONS: "--max-old-space-size=160", OUTERLOOP_EXECUTOR_SLOTS: "8" };
      supervisors = ["executor-1", "executor-2"].map((name) => supervise(deployment, "executor", name, env));
    });
    afterAll(async () => {
      for (const supervisor of supervisors) await supervisor.stop();
      for (const name of ["executor-1", "executor-2"]) {
        deployment.processes.get(name)?.kill("SIGTERM");
        await deployment.processes.get(name)?.exited;
      }
    }, 60_000);

    const ends = [
      ["exit", /ended with exit code 3\./],
      ["kill", /was ended by SIGKILL\./],
      ["throw", /ended with exit code 1\..*Last lines of stderr: .*thrown where nobody catches it/],
      ["loop", /stood still without end and was ended by SIGKILL\./],
      // V8 aborts; where its last collections take long, the watchdog ends the process that stands still in them first.
      ["heap", /ran out of memory and was ended by SIG(ABRT|KILL)\./],
    ] as const;
    test.each(ends.filter(([how]) => sized(how === "throw" || how === "heap", true)))(
      "%s",
      async (how, reason) => {
        tagOfTask.current = how;
        const diedBefore = supervisors.flatMap((each) => each.ends).length;
        const texts = [`poison/${how}`, ...Array.from({ length: goals - 1 }, (_, n) => `harmless/${how}${n}`)];
        const ids = await Promise.all(
          texts.map(async (text) => (await deployment.client.goals.create({ text, session: text })).id),
        );
        const [poisoned, ...harmless] = await Promise.all(ids.map((id) => ended(deployment, id)));

        const culprit = poisoned!.tasks.find((each) => each.status === "failed");
        expect(culprit).toMatchObject({ text: "use misbehave", attempt: 1 });
        expect(culprit?.reason).toMatch(reason);
        expect(culprit?.reason).toContain("2 processes ended while holding it.");
        expect(culprit?.reason).toContain("Last journaled step: 1, a model call that asked for misbehave.");
        // Two workers died of it, and no third one.
        expect(supervisors.flatMap((each) => each.ends).length - diedBefore).toBe(2);

        const neighbours = [
          ...poisoned!.tasks.filter((each) => each !== culprit),
          ...harmless.flatMap((goal) => goal.tasks),
        ];
        expect(neighbours).toHaveLength(goals * tasksOfGoal - 1);
        expect(neighbours.filter((each) => each.status !== "done" || each.attempt !== 1)).toEqual([]);
        expect([poisoned!, ...harmless].map((goal) => goal.status)).toEqual(
          Array.from({ length: goals }, () => "succeeded"),
        );
      },
      120_000,
    );
  });

  /** A goal whose third task waits for an executor with two expired claims already. */
  async function suspect(tag: string): Promise<string> {
    tagOfTask.current = tag;
    const { id } = await deployment.client.goals.create({ text: `poison/${tag}`, session: `s-${tag}` });
    await vi.waitFor(
      async () => {
        const rows = await query("UPDATE tasks SET expired_claims = 2 WHERE goal_id = $1 AND key = 't3' RETURNING id", [
          id,
        ]);
        expect(rows).toHaveLength(1);
      },
      { timeout: 20_000 },
    );
    return id;
  }

  const childOf = async (executor: ServiceProcess): Promise<number> =>
    Number((await executor.until((line) => line.event === "execute_isolated", "it isolated a task"))["child"]);

  test("a cancelled goal's child is gone within 2 s with all that it started, though its main thread never looks up", async () => {
    const goal = await suspect("hold");
    const executor = await deployment.start("executor", "executor-3", { OUTERLOOP_STUCK_LEASES: "0" });
    const child = await childOf(executor);
    const file = join(folder, "pids");
    await vi.waitFor(() => expect(existsSync(file) && readFileSync(file, "utf8")).toMatch(/\d+ \d+/), {
      timeout: 20_000,
    });
    const pids = readFileSync(file, "utf8").split(" ").map(Number);
    expect(pids[0]).toBe(child);
    const before = performance.now();
    await deployment.client.goals.cancel(goal);
    await vi.waitFor(() => expect(pids.filter(isAlive)).toEqual([]), { timeout: 5000, interval: 20 });
    // Promised is 2 s; a machine that runs the whole suite beside it is given more.
    expect(performance.now() - before).toBeLessThan(sized(5000, 2000));
    executor.kill("SIGTERM");
    expect(await executor.exited).toBe(0);
  }, 60_000);

  test("a worker that dies takes its child with it and blames nobody: the task goes on in the next one's", async () => {
    const goal = await suspect("stay1");
    const first = await deployment.start("executor", "executor-4");
    const child = await childOf(first);
    await vi.waitFor(() => expect(stays).toBe(1), { timeout: 20_000 });
    first.kill("SIGKILL");
    await first.exited;
    await vi.waitFor(() => expect(isAlive(child)).toBe(false), { timeout: 10_000 });
    const second = await deployment.start("executor", "executor-5");
    await childOf(second);
    const { status, tasks } = await ended(deployment, goal);
    expect([status, tasks.map((each) => each.status)]).toEqual([
      "succeeded",
      Array.from({ length: tasksOfGoal }, () => "done"),
    ]);
    second.kill("SIGTERM");
    await second.exited;
  }, 60_000);

  test("a worker that drains waits for its child's running step, hands the rest back and blames nobody", async () => {
    stays = 0;
    const goal = await suspect("stay2");
    const first = await deployment.start("executor", "executor-6", { OUTERLOOP_DRAIN_MS: "500" });
    const child = await childOf(first);
    await vi.waitFor(() => expect(stays).toBe(1), { timeout: 20_000 });
    first.kill("SIGTERM");
    expect(await first.exited).toBe(0);
    await vi.waitFor(() => expect(isAlive(child)).toBe(false), { timeout: 5000 });
    expect(await query("SELECT expired_claims, status FROM tasks WHERE goal_id = $1 AND key = 't3'", [goal])).toEqual([
      { expired_claims: 2, status: "running" },
    ]);
    const second = await deployment.start("executor", "executor-7");
    expect((await ended(deployment, goal)).tasks.map((each) => each.status)).not.toContain("failed");
    second.kill("SIGTERM");
    await second.exited;
  }, 60_000);

  test("a plan that ends its process fails its goal, with what was seen", async () => {
    deployment.processes.get("planner")?.kill("SIGTERM");
    await deployment.processes.get("planner")?.exited;
    const { id } = await deployment.client.goals.create({ text: "poison/planner" });
    await query("UPDATE goals SET expired_claims = 2 WHERE id = $1", [id]);
    const planner = await deployment.start("planner");
    const line = await planner.until((each) => each.event === "plan_isolated", "it isolated the plan");
    await vi.waitFor(
      () => expect(server.seen.some((seen) => seen.outputName === "plan" && tagOf(seen) === "planner")).toBe(true),
      {
        timeout: 20_000,
      },
    );
    process.kill(Number(line["child"]), "SIGKILL");
    expect(await ended(deployment, id)).toMatchObject({
      status: "failed",
      reason: "error",
      detail: expect.stringMatching(
        /was ended by SIGKILL\. Before that, 2 processes .* No step of this attempt was journaled\./,
      ),
    });
  }, 60_000);
});

test("on the embedded database, what ended two processes runs alone in the third, and fails in the fourth", async () => {
  const tagged = script({ exit: () => ({ toolCalls: [{ name: "misbehave", args: { how: "exit" } }] }) });
  const server = await startScriptedServer(tagged);
  const deployment = await deploy({
    size: "embedded",
    env: { OPENAI_BASE_URL: server.openAiBaseUrl, OUTERLOOP_MODEL: "openai/gpt-test", OUTERLOOP_SKILL_MODULES: skills },
  });
  const first = deployment.processes.get("embedded")!;
  tagOfTask.current = "exit";
  const { id } = await deployment.client.goals.create({ text: "poison/exit" });
  expect(await first.exited).toBe(3);
  const { port } = new URL(deployment.url);
  const supervisor = supervise(deployment, "embedded", "embedded", { PORT: port });
  try {
    await vi.waitFor(() => expect(supervisor.ends).toEqual([3, 3]), { timeout: 60_000 });
    const goal = await vi.waitFor(
      async () => {
        const seen = await deployment.client.goals.get(id);
        expect(seen.status).toBe("succeeded");
        return seen;
      },
      { timeout: 30_000 },
    );
    expect(goal.tasks.map((each) => each.status)).toEqual(["done", "done", "failed", "done", "done"]);
    expect(goal.tasks[2]?.reason).toMatch(
      /alone in a process, it ended that process unseen\. Before that, 2 processes ended while holding it\. Last journaled step: 1, a model call that asked for misbehave\./,
    );
  } finally {
    await supervisor.stop();
    await deployment.stop();
    await endProcesses();
    await server.close();
  }
}, 120_000);
