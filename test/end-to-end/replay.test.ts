/** Record and replay: a goal of scripted models is recorded by the API and run again from the fixture alone. */
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient, type Client } from "@outerloop/client";
import { canonicalJson, goalOfRecording, readConfig, readRecording, sha256, type Recording } from "@outerloop/core";
import { startEmbedded } from "@outerloop/embedded";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startScriptedServer, type ScriptedServer } from "../../packages/core/src/models/testing/scripted-server.ts";
import { runCli } from "../../packages/cli/src/testing/run-cli.ts";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses, startProcess } from "../support/processes.ts";
import { appendTasks, done, scriptFor } from "../support/scripts.ts";

const text = "Append three lines to out.txt";

/** Three tasks side by side; the first plan must be repaired, and the second line is written in a second attempt. */
function scripted() {
  let refused = 0;
  return scriptFor({
    plan: (round) =>
      round === 1 ? { tasks: "none" } : round === 2 ? appendTasks(3) : done("Three lines were appended."),
    execute(seen) {
      const line = /append line (\d)/.exec(JSON.stringify(seen.body))?.[1] ?? "?";
      return seen.lastToolResults.length === 0
        ? {
            reasoning: `line ${line}`,
            toolCalls: [{ name: "append_to_file", args: { path: "out.txt", text: `line ${line}\n` } }],
          }
        : { text: `appended ${line}` };
    },
    verdict: (seen) =>
      JSON.stringify(seen.body).includes("append line 2") && (refused += 1) === 1
        ? { status: "retry", reason: "once more", new_tasks: [], lesson: "" }
        : { status: "done", reason: "as asked", new_tasks: [], lesson: "" },
  });
}

describe("a recorded goal", () => {
  let models: ScriptedServer;
  let recorder: Deployment;
  let folder: string;
  let env: Record<string, string>;
  let recording: Recording;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "outerloop-recording-"));
    models = await startScriptedServer(scripted());
    env = {
      OPENAI_BASE_URL: models.openAiBaseUrl,
      OPENAI_API: "responses",
      OUTERLOOP_MODEL: "openai/gpt-test",
      OUTERLOOP_REVIEW: "always",
    };
    recorder = await deploy({ size: "embedded", env });
  }, 60_000);
  afterAll(async () => {
    await recorder?.stop();
    await models?.close();
    await endProcesses();
  });

  async function run(client: Client, goal: Parameters<Client["goals"]["create"]>[0]) {
    const { id } = await client.goals.create(goal);
    for await (const _ of client.goals.watch(id)) continue;
    return client.goals.get(id);
  }
  async function toldBy(client: Client, id: string) {
    const goal = await client.goals.get(id);
    const steps = await Array.fromAsync(client.goals.steps(id));
    const keys = new Map(goal.tasks.map((task) => [task.id, task.key]));
    return {
      status: goal.status,
      answer: goal.final_answer,
      tasks: goal.tasks.map(({ key, text, attempt, status, result }) => ({ key, text, attempt, status, result })),
      tools: steps
        .filter((step) => step.kind === "tool")
        .map((step) => `${keys.get(step.task!)}.${step.attempt}.${step.seq} ${step.name} ${canonicalJson(step.input)}`)
        .toSorted(),
      files: new TextDecoder()
        .decode(await client.goals.artifact(id, "out.txt"))
        .trim()
        .split("\n")
        .toSorted(),
    };
  }

  let original: string;
  test("has all its calls with their whole requests, and a file that the command line saves", async () => {
    const attachments = [{ path: "brief.md", text: "Three lines." }];
    const goal = await run(recorder.client, { text, attachments });
    expect(goal).toMatchObject({ status: "succeeded", final_answer: "Three lines were appended." });
    original = goal.id;
    recording = (await recorder.client.goals.recording(goal.id)) as Recording;
    expect(recording).toMatchObject({
      version: 1,
      goal: { id: goal.id, text, status: "succeeded", attachments: [{ path: "brief.md" }] },
    });
    // Intake, three plans of which one repaired, and of four attempts two calls and a verdict each.
    const counts = Map.groupBy(recording.calls, ({ stage }) => stage);
    expect(Object.fromEntries([...counts].map(([stage, calls]) => [stage, calls.length]))).toEqual({
      intake: 1,
      plan: 3,
      execute: 8,
      reflect: 4,
    });
    for (const call of recording.calls) expect(sha256(canonicalJson(call.request))).toBe(call.request_hash);
    expect(recording.calls.some((call) => call.response.message.opaque !== undefined)).toBe(true);
    expect(JSON.stringify(recording)).not.toContain(recorder.apiKey);
    const saved = await runCli(
      ["record", goal.id, "-o", join(folder, "goal.json"), "--url", recorder.url, "--key", recorder.apiKey],
      { cwd: folder },
    );
    expect(saved.stdout).toContain("Recorded 16 calls in ");
    expect(JSON.parse(await readFile(join(folder, "goal.json"), "utf8"))).toEqual(recording);
  }, 60_000);

  test("runs again from its recording alone, to the same plan, tools, files and answer", async () => {
    const asked = models.seen.length;
    const replayed = await deploy({ size: "embedded", env: { ...env, OUTERLOOP_REPLAY: join(folder, "goal.json") } });
    const again = await run(replayed.client, goalOfRecording(recording));
    expect(await toldBy(replayed.client, again.id)).toEqual(await toldBy(recorder.client, original));
    expect(models.seen.length).toBe(asked);

    const other = await run(replayed.client, { text: "Append four lines to out.txt" });
    expect(other.status).toBe("failed");
    const why = JSON.stringify(await Array.fromAsync(replayed.client.goals.watch(other.id)));
    expect(why).toContain("has no answer to this request of the stage intake");
    expect(why).toContain("Append four lines");
    expect(models.seen.length).toBe(asked);
    await replayed.stop();
  }, 60_000);

  test("runs in one process with a test, as the documentation shows", async () => {
    const config = readConfig({
      OUTERLOOP_REPLAY: join(folder, "goal.json"),
      OUTERLOOP_DATA_DIR: await mkdtemp(join(tmpdir(), "outerloop-data-")),
      OUTERLOOP_LOG_LEVEL: "silent",
      OUTERLOOP_REVIEW: "always",
      PORT: "0",
    });
    const server = await startEmbedded(config, { fallbackPort: true });
    const client = createClient({ baseUrl: server.url, apiKey: server.apiKey });
    const goal = await run(client, goalOfRecording(readRecording(join(folder, "goal.json"))));
    expect(goal.final_answer).toBe("Three lines were appended.");
    await server.close();
  }, 60_000);

  test("is refused where it would be larger than allowed", async () => {
    const small = await deploy({
      size: "embedded",
      env: { ...env, OUTERLOOP_REPLAY: join(folder, "goal.json"), OUTERLOOP_MAX_RECORDING_BYTES: "20000" },
    });
    const goal = await run(small.client, goalOfRecording(recording));
    await expect(small.client.goals.recording(goal.id)).rejects.toMatchObject({
      status: 413,
      message: expect.stringContaining("OUTERLOOP_MAX_RECORDING_BYTES") as string,
    });
    await expect(small.client.goals.recording("g_0000000000000000")).rejects.toMatchObject({ status: 404 });
    await small.stop();
  }, 60_000);

  test("may be under way still", async () => {
    const hanging = await startScriptedServer(scriptFor({ plan: () => appendTasks(1), execute: () => "hang" }));
    const waiting = await deploy({ size: "embedded", env: { ...env, OPENAI_BASE_URL: hanging.openAiBaseUrl } });
    const { id } = await waiting.client.goals.create({ text });
    for await (const event of waiting.client.goals.watch(id)) if (event.type === "task.started") break;
    const so = await waiting.client.goals.recording(id);
    expect(so.goal.status).toBe("running");
    expect(so.calls.map(({ stage }) => stage)).toEqual(["intake", "plan"]);
    await waiting.client.goals.cancel(id);
    await hanging.close();
    await waiting.stop();
  }, 60_000);

  test.each([
    ["is no JSON", (whole: string) => whole.slice(0, -20), /goal\.json is no JSON/],
    [
      "lacks a part",
      (whole: string) => whole.replaceAll('"stop":', '"stopped":'),
      /goal\.json is damaged.*calls\[0\]\.response\.stop/s,
    ],
    [
      "is of another version",
      (whole: string) => whole.replace('"version": 1', '"version": 7'),
      /is of version 7; this code reads version 1/,
    ],
  ])("whose file %s stops the start with what is wrong", async (_title, damage, message) => {
    const data = await mkdtemp(join(tmpdir(), "outerloop-data-"));
    await writeFile(join(data, "goal.json"), damage(await readFile(join(folder, "goal.json"), "utf8")));
    const child = startProcess("embedded", "services/embedded/src/main.ts", {
      OUTERLOOP_DATA_DIR: data,
      OUTERLOOP_REPLAY: join(data, "goal.json"),
      PORT: "0",
    });
    expect(await child.exited).not.toBe(0);
    expect(`${child.text()}${JSON.stringify(child.lines)}`).toMatch(message);
  });
});
