import { createClient } from "@outerloop/client";
import {
  sampleArtifact,
  sampleEvents,
  sampleGoal,
  startContractServer,
  type ContractServer,
} from "@outerloop/client/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { noAttachments } from "./attachments/collect.ts";
import type { Interrupts } from "./interrupts.ts";
import { runGoal, type RunGoalSettings } from "./run-goal.ts";
import { createFakeTerminal } from "./testing/fake-terminal.ts";
import { tempFolder } from "./testing/temp-folder.ts";

let server: ContractServer;
beforeEach(async () => {
  server = await startContractServer([
    {
      goal: sampleGoal(),
      events: sampleEvents(),
      files: [{ info: sampleArtifact(), bytes: Buffer.from("# Report\n") }],
    },
  ]);
});
afterEach(() => server.close());

/** Ctrl-C at the test's word. */
function fakeInterrupts(): Interrupts & { press(): void; readonly quits: number[]; listening(): boolean } {
  const listeners = new Set<() => void>();
  const quits: number[] = [];
  return {
    listen: (listener) => (listeners.add(listener), () => void listeners.delete(listener)),
    quit: (code) => quits.push(code),
    press: () => listeners.forEach((listener) => listener()),
    quits,
    listening: () => listeners.size > 0,
  };
}

async function settingsFor(changes: Partial<RunGoalSettings> = {}) {
  const cwd = await tempFolder();
  const out = createFakeTerminal(100, 40);
  const interrupts = fakeInterrupts();
  const client = createClient({ baseUrl: server.url, apiKey: server.apiKey });
  return {
    out,
    interrupts,
    settings: {
      client,
      text: "Which engine?",
      attachments: noAttachments,
      dataDir: `${cwd}/.outerloop`,
      cwd,
      out,
      interrupts,
      ...changes,
    },
  };
}

describe("a run on a terminal", () => {
  test("ends with the tree, the answer, the figures, the report, the way to ask why, and the caller's lines", async () => {
    const { out, settings, interrupts } = await settingsFor({
      attachments: {
        files: [{ path: "a.md", text: "a" }],
        bytes: 212_000,
        skipped: [{ path: "x.png", reason: "image" }],
      },
      footer: ["Serve    npm start"],
    });
    expect(await runGoal(settings)).toEqual({ exitCode: 0, goalId: sampleGoal().id, status: "succeeded" });
    expect(await out.screen()).toEqual([
      "Attached 1 file, 212 kB (skipped: 1 image)",
      `Goal g_7k2f9x  budget 200 steps · 1 h · ${server.url}`,
      "plan  4 tasks",
      " ├ t1 sqlite-vec: deployment    search_files, read_file   done",
      " ├ t2 sqlite-vss: performance   retry: no figure cited",
      " │    attempt 2                 read_file bench.csv       done",
      " ├ t3 libsql                    split → t3a, t3b          done",
      " │  ├ t3a libsql, first half                              done",
      " │  └ t3b libsql, second half                             done",
      " └ t4 compare (after t1–t3)     write_file report.md      done",
      "Answer",
      '  sqlite-vec: no dependencies. sqlite-vec/README.md:12 "pure C, no dependencies"',
      "  Not in these documents: Windows support.",
      "succeeded  41 steps · 9 citations, 9 hold · $0 · 6 s",
      "Report   ./.outerloop/goals/g_7k2f9x/report.md",
      "Why?     npx outerloop show g_7k2f9x",
      "Serve    npm start",
    ]);
    expect(interrupts.listening()).toBe(false);
    expect(out.written()).not.toMatch(/\u001B\[3[0-9]m/);
  });

  test("has colour where the terminal has it", async () => {
    const { out, settings } = await settingsFor();
    Object.assign(out, { hasColors: () => true });
    await runGoal(settings);
    expect(out.written()).toContain("\u001B[32msucceeded\u001B[39m");
  });
});

describe("Ctrl-C in a run", () => {
  test("says to start the server first where that ends with the run", async () => {
    server.goals[0]!.goal = sampleGoal({ status: "running", ended_at: null });
    server.streams.push({ send: [1, 2, 3], then: "hang" });
    const { out, settings, interrupts } = await settingsFor({ endsServer: true });
    const running = runGoal(settings);
    await server.hanging();
    interrupts.press();
    expect(await running).toMatchObject({ exitCode: 130, status: "paused" });
    expect((await out.screen()).at(-1)).toBe(
      "Go on    npm start   then: npx outerloop resume g_7k2f9x && npx outerloop watch g_7k2f9x",
    );
  });

  test("a second time quits at once, while the first still waits for the server", async () => {
    server.goals[0]!.goal = sampleGoal({ status: "running", ended_at: null });
    server.streams.push({ send: [1], then: "hang" });
    const goOn = server.slowDown(/\/pause$/);
    const { settings, interrupts } = await settingsFor();
    const running = runGoal(settings);
    await server.hanging();
    interrupts.press();
    await server.heard("POST", /\/pause$/);
    expect(interrupts.quits).toEqual([]);
    interrupts.press();
    expect(interrupts.quits).toEqual([130]);
    goOn();
    await running;
  });

  test("before the goal is accepted stops there, without a goal", async () => {
    const goOn = server.slowDown(/\/v1\/goals$/);
    const { out, settings, interrupts } = await settingsFor();
    const running = runGoal(settings);
    await server.heard("POST", /\/v1\/goals$/);
    interrupts.press();
    expect(await running).toEqual({ exitCode: 130, goalId: null, status: null });
    expect(await out.screen()).toEqual(["Stopped before the goal was accepted."]);
    goOn();
  });

  test("that cannot pause the goal says that it may go on", async () => {
    server.goals[0]!.goal = sampleGoal({ status: "running", ended_at: null });
    server.streams.push({ send: [1], then: "hang" });
    const { out, settings, interrupts } = await settingsFor();
    const running = runGoal(settings);
    await server.hanging();
    server.faults.push({ status: 403, body: "no" });
    interrupts.press();
    expect(await running).toMatchObject({ exitCode: 130 });
    expect((await out.screen()).slice(-2)).toEqual([
      "It could not be paused: 403 Forbidden: no",
      "It may go on. To follow it: npx outerloop watch g_7k2f9x",
    ]);
  });
});

describe("a run whose caller must end", () => {
  test("stops following without pausing the goal", async () => {
    server.goals[0]!.goal = sampleGoal({ status: "running", ended_at: null });
    server.streams.push({ send: [1], then: "hang" });
    const stop = new AbortController();
    const { settings } = await settingsFor({ signal: stop.signal });
    const running = runGoal(settings);
    await server.hanging();
    stop.abort();
    expect(await running).toMatchObject({ exitCode: 130 });
    expect(server.received.some((each) => each.path.endsWith("/pause"))).toBe(false);
  });
});

test("a folder that cannot be written hides no answer", async () => {
  const folder = await tempFolder({ file: "not a folder" });
  const { out, settings } = await settingsFor({ dataDir: `${folder}/file` });
  expect((await runGoal(settings)).exitCode).toBe(0);
  const screen = await out.screen();
  expect(screen).toContain("Answer");
  expect(screen.join("\n")).toContain("Not saved: ");
});

test("ids are shortened only as far as they stay unique", async () => {
  server.goals.push({ goal: sampleGoal({ id: "g_7k2f9xyyyyyyyyyy" }), events: [] });
  const { out, settings } = await settingsFor();
  await runGoal(settings);
  expect((await out.screen()).join("\n")).toContain("show g_7k2f9xq0");
});
