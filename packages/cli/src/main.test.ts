import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  numbered,
  sampleArtifact,
  sampleEvents,
  sampleGoal,
  sampleGoalId,
  sampleStep,
  sampleTask,
  startContractServer,
  type ContractServer,
} from "@outerloop/client/testing";
import { canonicalJson, requestLimits } from "@outerloop/core/domain";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { envFor, runCli, startCli } from "./testing/run-cli.ts";
import { tempFolder } from "./testing/temp-folder.ts";

let server: ContractServer;
let cwd: string;

const requestBody = {
  system: "You plan.",
  messages: [{ role: "user", parts: ["Which?"] }],
  tools: [],
  maxOutputTokens: 100,
  stage: "plan",
};
const requestHash = createHash("sha256").update(canonicalJson(requestBody)).digest("hex");

beforeEach(async () => {
  const planned = sampleStep({
    id: `${sampleGoalId}.1.1`,
    number: 1,
    task: null,
    kind: "model",
    stage: "plan",
    name: "offline/research",
    output: { message: { text: "{}", toolCalls: [] } },
  });
  server = await startContractServer([
    {
      goal: sampleGoal({ tasks: [sampleTask()] }),
      events: sampleEvents(),
      steps: [planned, sampleStep()],
      shown: [
        { ...planned, request: { body: requestBody, hash: requestHash, recorded_hash: requestHash } },
        { ...sampleStep(), request: null },
      ],
      files: [
        { info: sampleArtifact(), bytes: Buffer.from("# Report\n") },
        { info: sampleArtifact({ path: "README.md", origin: "attached" }), bytes: Buffer.from("pure C") },
      ],
    },
  ]);
  cwd = await tempFolder({ "docs/a.md": "a", "docs/b.png": Buffer.from([0]) });
});
afterEach(() => server.close());

const run = (...args: readonly string[]) => runCli(args, { cwd, env: envFor(server) });
const posted = () =>
  JSON.parse(server.received.find((each) => each.method === "POST")?.body ?? "null") as Record<string, unknown>;

describe("outerloop run", () => {
  test("posts the goal, shows it, prints the answer, saves what it wrote and exits 0", async () => {
    const { code, stdout, stderr } = await run(
      "run",
      "Which engine?",
      "--attach",
      "docs",
      "--session",
      "s1",
      "--budget-steps",
      "50",
      "--budget-wall",
      "1h30m",
      "--budget-usd",
      "0.5",
      "--planning",
      "every-3",
      "--label",
      "a=b",
      "c=d=e",
    );
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(posted()).toEqual({
      text: "Which engine?",
      session: "s1",
      budget: { steps: 50, wall_ms: 5_400_000, usd: 0.5 },
      planning: { every_n: 3 },
      labels: { a: "b", c: "d=e" },
      attachments: [{ path: "a.md", text: "a" }],
    });
    const lines = stdout.split("\n");
    expect(lines.slice(0, 3)).toEqual([
      "Attached 1 file, 1 B (skipped: 1 image)",
      `Goal g_7k2f9x  budget 200 steps · 1 h · ${server.url}`,
      "plan  4 tasks",
    ]);
    expect(lines.slice(-7)).toEqual([
      "Answer",
      '  sqlite-vec: no dependencies. sqlite-vec/README.md:12 "pure C, no dependencies"',
      "  Not in these documents: Windows support.",
      "succeeded  41 steps · 9 citations, 9 hold · $0 · 6 s",
      "Report   ./.outerloop/goals/g_7k2f9x/report.md",
      "Why?     npx outerloop show g_7k2f9x",
      "",
    ]);
    expect(stdout).not.toContain("\u001B");
    expect(await readFile(join(cwd, ".outerloop/goals/g_7k2f9x/report.md"), "utf8")).toBe("# Report\n");
  });

  test("of a goal that fails exits 1 with the reason and what would help", async () => {
    const goal = sampleGoal({
      status: "failed",
      reason: "unsupported",
      detail: "Nothing is attached.",
      final_answer: "Nothing is attached.",
      citations: null,
    });
    server.goals[0] = {
      goal,
      events: numbered([
        ["goal.created", null],
        ["step.model", null, { stage: "plan", model: "offline/research" }],
        ["goal.failed", null, { reason: "unsupported" }],
      ]),
    };
    const { code, stdout } = await run("run", "Send a mail");
    expect(code).toBe(1);
    expect(stdout).toContain(
      "failed  41 steps · $0 · 6 s\nReason   unsupported: Nothing is attached.\nTry      a real model: OPENAI_API_KEY=…",
    );
    expect(stdout).not.toContain("Answer");
  });

  test("finds the goal's words behind --attach, and on standard input", async () => {
    expect((await run("run", "--attach", "docs", "Which engine suits?")).code).toBe(0);
    expect(posted()).toMatchObject({ text: "Which engine suits?", attachments: [{ path: "a.md" }] });
    expect((await runCli(["run", "-", "--detach"], { cwd, env: envFor(server), stdin: "From a pipe\n" })).code).toBe(0);
    expect(server.received.filter((each) => each.method === "POST").at(-1)?.body).toContain("From a pipe");
  });

  test("--detach returns as soon as the goal is accepted", async () => {
    const { code, stdout } = await run("run", "go", "--detach");
    expect([code, stdout]).toEqual([
      0,
      `Goal g_7k2f9x  budget 200 steps · 1 h · ${server.url}\nWatch    npx outerloop watch g_7k2f9x\n`,
    ]);
    expect(server.received.some((each) => each.path.endsWith("/events"))).toBe(false);
  });

  test("--json prints every event and then the goal, a line each", async () => {
    const { code, stdout } = await run("run", "go", "--json");
    expect(code).toBe(0);
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.slice(0, -1)).toEqual(sampleEvents());
    expect(lines.at(-1)).toMatchObject({
      goal: { id: sampleGoalId },
      files: [{ path: "report.md", saved_at: join(cwd, ".outerloop/goals/g_7k2f9x/report.md") }],
    });
  });

  test("Ctrl-C pauses the goal, says how to go on, and exits 130", async () => {
    server.goals[0]!.goal = sampleGoal({ status: "running", ended_at: null });
    server.streams.push({ send: [1, 2, 3], then: "hang" });
    const running = startCli(["run", "go"], { cwd, env: envFor(server) });
    await server.hanging();
    running.interrupt();
    const { code, stdout } = await running.ended;
    expect(code).toBe(130);
    expect(server.goals[0]!.goal.status).toBe("paused");
    expect(stdout).toContain("Paused g_7k2f9x.");
    expect(stdout).toContain("npx outerloop resume g_7k2f9x && npx outerloop watch g_7k2f9x");
  });

  test("Ctrl-C that comes after the end shows the end", async () => {
    server.streams.push({ send: [1, 2, 3], then: "hang" });
    const running = startCli(["run", "go"], { cwd, env: envFor(server) });
    await server.hanging();
    running.interrupt();
    const { code, stdout } = await running.ended;
    expect(code).toBe(0);
    expect(stdout).toContain("succeeded  41 steps");
  });

  test("a second Ctrl-C quits at once", async () => {
    server.goals[0]!.goal = sampleGoal({ status: "running", ended_at: null });
    server.streams.push({ send: [1], then: "hang" });
    const slow = server.slowDown(/\/pause$/);
    const running = startCli(["run", "go"], { cwd, env: envFor(server) });
    await server.hanging();
    running.interrupt();
    await server.heard("POST", /\/pause$/);
    running.interrupt();
    expect((await running.ended).code).toBe(130);
    slow();
  });
});

describe("outerloop refuses, with exit code 2 and nothing posted,", () => {
  test.each([
    [["run", "go", "--attach", "nope"], /There is no file or folder nope to attach/],
    [["frobnicate"], /unknown command/],
    [["list", "--key", "wrong"], /This key is not known/],
  ] as const)("%j", async (args, message) => {
    const { code, stderr, stdout } = await run(...args);
    expect(stderr).toMatch(message);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).not.toMatch(/\bat .*\.(?:ts|js):\d+/);
    expect(server.received.filter((each) => each.path === "/v1/goals" && each.method === "POST")).toEqual([]);
  });

  test("what is too much to attach", async () => {
    const folder = await tempFolder(
      Object.fromEntries(Array.from({ length: requestLimits.maxAttachments + 1 }, (_, index) => [`f${index}.md`, "x"])),
    );
    const { code, stderr } = await run("run", "go", "--attach", folder);
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining("holds more than 2,000 files, the limit for attachments. Nothing was sent."),
    ]);
  });

  test("anything where no server runs", async () => {
    const { code, stderr } = await runCli(["list"], { cwd });
    expect([code, stderr]).toEqual([2, "No server is running. Start one: npm start\n"]);
    const gone = await runCli(["list", "--url", "http://127.0.0.1:9", "--key", "k"], { cwd });
    expect([gone.code, gone.stderr]).toEqual([2, expect.stringContaining("http://127.0.0.1:9")]);
  });
});

describe("outerloop", () => {
  test("list shows goals newest first, --json all of each", async () => {
    const { code, stdout } = await run("list", "--limit", "5");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^g_7k2f9x {2}succeeded {2}\d+ d ago {2}41 steps {2}Which engine suits/);
    expect(JSON.parse((await run("--json", "list")).stdout)).toMatchObject([{ id: sampleGoalId }]);
    expect((await run("list", "--status", "failed")).stdout).toBe('No goals yet. Run one: npx outerloop run "…"\n');
  });

  test("show tells the story of a goal, found by the beginning of its id", async () => {
    for (const id of ["g_7k2", "7k2f"]) {
      const { code, stdout } = await run("show", id);
      expect(code).toBe(0);
      expect(stdout).toContain("Goal g_7k2f9x  succeeded");
      expect(stdout).toContain('.3 search_files {"query":"deployment"}');
      expect(stdout).toContain("npx outerloop show g_7k2f9x.1");
    }
    expect(JSON.parse((await run("show", "g_7k2", "--json")).stdout)).toMatchObject({
      goal: { id: sampleGoalId },
      steps: [{ number: 1 }, { number: 3 }],
      events: sampleEvents(),
    });
  });

  test("show of a goal that goes on tells what has happened so far", async () => {
    server.goals[0]!.goal = sampleGoal({ status: "running", ended_at: null, final_answer: null });
    server.streams.push({ send: [1, 2, 3, 4], then: "hang" });
    const { code, stdout } = await run("show", "g_7k2");
    expect(code).toBe(0);
    expect(stdout).toContain("t1  sqlite-vec: deployment");
    expect(stdout).toContain("running  41 steps so far");
  });

  test("show STEP --request prints the exact request and that its hash is the recorded one", async () => {
    const { code, stdout } = await run("show", "g_7k2.1", "--request");
    expect([code, stdout.split("\n")[0]]).toEqual([0, `Request  sha256 ${requestHash}: equals the recorded one`]);
    expect(JSON.parse((await run("show", `${sampleGoalId}.1.1`, "--request", "--json")).stdout)).toMatchObject({
      body: requestBody,
    });
  });

  test("show STEP --request exits 1 where the request is not the recorded one", async () => {
    const [planned] = server.goals[0]!.shown!;
    server.goals[0] = {
      ...server.goals[0]!,
      shown: [
        {
          ...planned!,
          request: { body: { ...requestBody, system: "Another." }, hash: requestHash, recorded_hash: requestHash },
        },
      ],
    };
    const { code, stdout } = await run("show", "g_7k2.1", "--request");
    expect(code).toBe(1);
    expect(stdout).toContain(`DIFFERS from the recorded one, ${requestHash}`);
  });

  test("watch shows a goal to its end over a connection that breaks, without a repeat", async () => {
    server.streams.push({ send: [1, 2, 3, 4, 5], then: "cut" }, { send: [4, 5, 6, 7, 8], then: "cut" });
    const { code, stdout } = await run("watch", "g_7k2");
    expect(code).toBe(0);
    expect(stdout.match(/t1 sqlite-vec: deployment/g)).toHaveLength(1);
    expect(stdout.match(/t1 started/g)).toHaveLength(1);
    expect(stdout).toContain("succeeded  41 steps");
  });

  test("watch ends with Ctrl-C and leaves the goal alone", async () => {
    server.streams.push({ send: [1], then: "hang" });
    const running = startCli(["watch", "g_7k2"], { cwd, env: envFor(server) });
    await server.hanging();
    running.interrupt();
    expect((await running.ended).code).toBe(130);
    expect(server.received.filter((each) => each.method === "POST")).toEqual([]);
  });

  test("resume gives a goal that failed on a budget more of it", async () => {
    server.goals[0]!.goal = sampleGoal({ status: "failed", reason: "step_budget" });
    const { stdout } = await run(
      "resume",
      "g_7k2",
      "--steps",
      "400",
      "--tokens",
      "2_000_000",
      "--usd",
      "1.5",
      "--wall",
      "2h",
    );
    expect(stdout).toBe("g_7k2 is running\nWatch it: npx outerloop watch g_7k2\n");
    expect(JSON.parse((await server.heard("POST", /\/resume$/)).body)).toEqual({
      budget: { steps: 400, tokens: 2_000_000, usd: 1.5, wall_ms: 7_200_000 },
    });
  });

  test("retry says what it tries again", async () => {
    expect((await run("retry", "g_7k2")).stdout).toBe("g_7k2 tries again: its plan, t1, t2\n");
  });

  test("budget shows what all goals may spend, and sets the limits of one period", async () => {
    expect((await run("budget")).stdout).toBe("No limits: every goal has its own budget only.\n");
    await run("budget", "--period", "day", "--usd", "5");
    expect((await run("budget", "--period", "month", "--steps", "1000")).stdout).toBe(
      [
        "day    $0.50 of $5.00, held by goals that go on: 20 steps",
        "month  41 of 1,000 steps, held by goals that go on: 20 steps",
        "",
      ].join("\n"),
    );
    expect((await run("budget", "--period", "day", "--unlimited")).stdout).not.toContain("day");
    const { code, stderr } = await run("budget", "--steps", "5");
    expect([code, stderr]).toEqual([2, "Of which period? --period day, month or total.\n"]);
  });

  test("pause, resume and cancel say what the goal is now", async () => {
    server.goals[0]!.goal = sampleGoal({ status: "running", ended_at: null });
    expect((await run("pause", "g_7k2")).stdout).toBe("g_7k2 is paused\n");
    expect((await run("resume", "g_7k2")).stdout).toBe("g_7k2 is running\nWatch it: npx outerloop watch g_7k2\n");
    expect((await run("cancel", "g_7k2", "--reason", "enough")).stdout).toBe("g_7k2 is cancelled\n");
    expect(server.received.at(-1)?.body).toBe('{"reason":"enough"}');
  });

  test("files lists what a goal wrote first, prints one byte for byte, and saves it where asked", async () => {
    expect((await run("files", "g_7k2")).stdout).toBe("1.2 kB  written   report.md\n1.2 kB  attached  README.md\n");
    expect((await run("files", "g_7k2", "report.md")).stdout).toBe("# Report\n");
    expect((await run("files", "g_7k2", "report.md", "-o", "out/")).stdout).toBe("Saved ./out/report.md\n");
    expect((await run("files", "g_7k2", "report.md", "-o", "mine.md")).stdout).toBe("Saved ./mine.md\n");
    expect(await readFile(join(cwd, "out/report.md"), "utf8")).toBe("# Report\n");
    expect(await readFile(join(cwd, "mine.md"), "utf8")).toBe("# Report\n");
  });

  test("help and version exit 0", async () => {
    expect((await run("--help")).code).toBe(0);
    expect(await run("--version")).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) as string,
    });
  });

  test("a reader that has seen enough ends it quietly", async () => {
    const running = startCli(["show", "g_7k2"], { cwd, env: envFor(server) });
    running.closeOutput();
    const { code, stderr } = await running.ended;
    expect([code, stderr]).toEqual([0, ""]);
  });
});
