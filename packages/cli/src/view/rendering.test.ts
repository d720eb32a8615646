import { numbered, sampleArtifact, sampleEvents, sampleGoal, sampleStep, sampleTask } from "@outerloop/client/testing";
import type { EventResource, ShownStepResource } from "@outerloop/core/domain";
import { describe, expect, test } from "vitest";
import { colourStyle, plainStyle } from "../text/style.ts";
import { widthOf } from "../text/width.ts";
import { answerLines, goalLine, outcomeLine, pointerLines, reasonLines } from "./ending-lines.ts";
import { eventLines } from "./event-lines.ts";
import { fileLines } from "./file-lines.ts";
import { emptyGoalView, seeEvent } from "./goal-view.ts";
import { listLines } from "./list-lines.ts";
import { requestLines, shownStepLines } from "./request-lines.ts";
import { storyLines } from "./story-lines.ts";
import { afterKeys } from "./task-words.ts";
import { treeLines } from "./tree-lines.ts";

const viewOf = (events: readonly EventResource[]) => events.reduce(seeEvent, emptyGoalView);
const tree = (events: readonly EventResource[], width = 100, height?: number) =>
  treeLines(viewOf(events), { width, ...(height === undefined ? {} : { height }) }, plainStyle);

describe("the tree", () => {
  test("shows tasks in the plan's order with tools, retries, splits and what comes after what", () => {
    expect(tree(sampleEvents())).toEqual([
      "plan  4 tasks",
      " ├ t1 sqlite-vec: deployment    search_files, read_file   done",
      " ├ t2 sqlite-vss: performance   retry: no figure cited",
      " │    attempt 2                 read_file bench.csv       done",
      " ├ t3 libsql                    split → t3a, t3b          done",
      " │  ├ t3a libsql, first half                              done",
      " │  └ t3b libsql, second half                             done",
      " └ t4 compare (after t1–t3)     write_file report.md      done",
    ]);
  });

  test("says why a task failed, and counts the plans", () => {
    const events = numbered([
      ["goal.planned", null, { round: 1, tasks: ["t1"] }],
      ["task.created", "t1", { text: "look" }],
      ["task.started", "t1", { attempt: 1 }],
      ["task.abandoned", "t1", { reason: "3 attempts: nothing found" }],
      ["goal.planned", null, { round: 2, tasks: ["t2"] }],
      ["task.created", "t2", { text: "look elsewhere" }],
    ]);
    expect(tree(events)).toEqual([
      "plan  1 task",
      " └ t1 look             3 attempts: nothing found   abandoned",
      "plan 2  1 task",
      " └ t2 look elsewhere",
    ]);
  });

  test("shows a question and what to type whatever is folded away, until it is answered; and what a guard found, until the next plan", () => {
    const asked = numbered([
      ["goal.planned", null, { round: 1, tasks: ["t1"] }],
      ["task.created", "t1", { text: "look" }],
      ["goal.guarded", null, { guard: "thrash", action: "asked", why: "…" }],
      ["goal.asked", null, { text: "Go on?", default: "stop", deadline_at: "2026-03-02T12:00:00.000Z" }],
    ]);
    const question = [
      "guard: it plans in circles, its submitter is asked",
      "It asks you:",
      "  Go on?",
      '  Answer: npx outerloop answer GOAL "…" (else, from 2026-03-02 12:00 UTC: stop)',
    ];
    expect(tree(asked)).toEqual(["plan  1 task", " └ t1 look", ...question]);
    expect(tree(asked, 100, 4)).toHaveLength(4);
    const answered = numbered([["goal.answered", null, { answer: "go on", by: "Ann" }]]);
    expect(tree([...asked, ...answered])).toEqual(["plan  1 task", " └ t1 look", question[0]]);
    const planned = numbered([["goal.planned", null, { round: 2, tasks: [] }]]);
    expect(tree([...asked, ...answered, ...planned])).toEqual(["plan  1 task", " └ t1 look"]);
  });

  test("is never wider or higher than the terminal, at any point of a run", () => {
    const events = [
      ...sampleEvents(),
      ...numbered([["goal.asked", null, { text: "Which one of all these, and why?", default: "the first" }]]),
    ];
    for (let seen = 0; seen <= events.length; seen += 1) {
      for (const [width, height] of [
        [200, 50],
        [79, 6],
        [40, 3],
        [25, 1],
        [20, 2],
      ] as const) {
        const lines = tree(events.slice(0, seen), width, height);
        expect(lines.length).toBeLessThanOrEqual(height);
        for (const line of lines) expect(widthOf(line)).toBeLessThanOrEqual(width);
      }
    }
  });

  test("leaves out what is finished first, and says how much", () => {
    const events = sampleEvents();
    const beforeLast = events.slice(
      0,
      events.findIndex((event) => event.type === "task.started" && event.data["key"] === "t4") + 1,
    );
    expect(tree(beforeLast, 100, 3)).toEqual([
      "plan  4 tasks",
      " … 5 finished tasks",
      " └ t4 compare (after t1–t3)   runs",
    ]);
  });

  test("joins neighbours among the tasks that come before", () => {
    expect(afterKeys(["t1", "t2", "t3", "t4"])).toBe("t1–t4");
    expect(afterKeys(["t1", "t2", "t5", "t4a"])).toBe("t1, t2, t5, t4a");
  });
});

describe("the plain log", () => {
  test("has a line for what happens, and none for what a reader can do without", () => {
    let view = emptyGoalView;
    const lines = sampleEvents().flatMap((event) => eventLines((view = seeEvent(view, event)), event));
    expect(lines.slice(0, 9)).toEqual([
      "plan  4 tasks",
      "  t1 sqlite-vec: deployment",
      "  t2 sqlite-vss: performance",
      "  t3 libsql",
      "  t4 compare (after t1–t3)",
      "t1 started",
      "t1 search_files deployment  3 ms",
      "t1 read_file README.md  3 ms",
      "t1 done",
    ]);
    expect(lines).toContain("t2 retry: no figure cited");
    expect(lines).toContain("t2 started (attempt 2)");
    expect(lines).toContain("t3 split → t3a, t3b");
  });
});

describe("the end of a run", () => {
  test("of a goal that succeeded is its answer, its figures and where to look", () => {
    const goal = sampleGoal();
    expect([
      goalLine(goal, "g_7k2f9x", "http://127.0.0.1:4000"),
      ...answerLines(goal, 100, plainStyle),
      outcomeLine(goal, plainStyle),
      ...reasonLines({ goal, shortId: "g_7k2f9x", models: [] }, 100),
      ...pointerLines("g_7k2f9x", ["./d/data.csv", "./d/report.md"], ["Serve    npm start"]),
    ]).toEqual([
      "Goal g_7k2f9x  budget 200 steps · 1 h · http://127.0.0.1:4000",
      "Answer",
      '  sqlite-vec: no dependencies. sqlite-vec/README.md:12 "pure C, no dependencies"',
      "  Not in these documents: Windows support.",
      "succeeded  41 steps · 9 citations, 9 hold · $0 · 6 s",
      "Report   ./d/report.md",
      "         ./d/data.csv",
      "Why?     npx outerloop show g_7k2f9x",
      "Serve    npm start",
    ]);
  });

  test.each([
    ["step_budget", "The goal's step budget is spent.", "resume g_7k2f9x --steps 400"],
    ["wall_budget", "The goal's wall budget is spent.", "resume g_7k2f9x --wall 2h"],
    ["unsupported", "I can't send mail.", "a real model: OPENAI_API_KEY=…"],
    ["error", "The model is away.", "npx outerloop show g_7k2f9x"],
  ] as const)("of a goal that failed by %s says why and what would help", (reason, detail, help) => {
    const goal = sampleGoal({ status: "failed", reason, detail, final_answer: detail });
    const lines = reasonLines({ goal, shortId: "g_7k2f9x", models: ["offline/research"] }, 100);
    expect(lines.join(" ")).toContain(`${reason}: ${detail}`);
    expect(lines.join(" ")).toContain(help);
    // What the reason says already is no answer.
    expect(answerLines(goal, 100, plainStyle)).toEqual([]);
  });

  test("says that a cost is not known instead of calling it nothing", () => {
    expect(outcomeLine(sampleGoal({ usage: { steps: 1, tokens: 2, usd: null }, citations: null }), plainStyle)).toBe(
      "succeeded  1 step · cost unknown · 6 s",
    );
  });
});

describe("the story of a goal", () => {
  const story = {
    goal: sampleGoal({ tasks: [sampleTask()], session: "demo" }),
    shortId: "g_7k2f9x",
    events: sampleEvents(),
    steps: [
      sampleStep(),
      sampleStep({
        number: 14,
        ok: false,
        name: "read_file",
        input: { path: "nope.md" },
        output: { callId: "c", text: "There is no file nope.md." },
      }),
    ],
    files: [sampleArtifact(), sampleArtifact({ path: "README.md", origin: "attached", size: 212_000 })],
    now: 0,
  };

  test("tells plans, attempts, calls with arguments and errors, verdicts, splits, the answer and the files", () => {
    const text = storyLines(story, 100, plainStyle).join("\n");
    for (const told of [
      "budget    41 of 200 steps · 1,234 of 1,000,000 tokens · $0 · 6 s of 1 h",
      "Plan 1  4 tasks",
      '.3  search_files {"query":"deployment"}',
      "There is no file nope.md.",
      "verdict retry (evidence missing): no figure cited",
      "attempt 2 hint: no figure cited",
      "split → t3a, t3b",
      "  It is one file.",
      "sqlite-vec/README.md:12",
      "1.2 kB  written   report.md",
      "succeeded  41 steps · 9 citations, 9 hold · $0 · 6 s",
    ])
      expect(text).toContain(told);
  });

  test("fits 100 columns", () => {
    const long = "word ".repeat(80);
    const events = sampleEvents().map((event) => ({
      ...event,
      data: {
        ...event.data,
        ...("text" in event.data ? { text: long } : {}),
        ...("reason" in event.data ? { reason: long } : {}),
        ...("hint" in event.data ? { hint: long } : {}),
      },
    }));
    const wide = {
      ...story,
      events,
      goal: sampleGoal({ text: long, final_answer: long, labels: { a: long }, session: long }),
      steps: [sampleStep({ input: { query: long } })],
    };
    for (const line of storyLines(wide, 100, plainStyle)) expect(widthOf(line)).toBeLessThanOrEqual(100);
  });

  test("names the citations that do not hold", () => {
    const events = numbered([
      [
        "goal.succeeded",
        null,
        { citations: { total: 2, holding: 1, broken: [{ path: "a.md", line: 3, quote: "never said" }] } },
      ],
    ]);
    expect(storyLines({ ...story, events }, 100, plainStyle)).toContain('  a.md:3 "never said"');
  });
});

describe("a step", () => {
  const body = {
    stage: "plan",
    system: "You plan.",
    messages: [
      { role: "user", parts: ["<goal>\nWhich?\n</goal>"] },
      { role: "assistant", text: "", toolCalls: [{ id: "c1", name: "search_files", args: { query: "x" } }] },
      { role: "tool", results: [{ callId: "c1", name: "search_files", ok: true, text: "a.md:1 x" }] },
    ],
    tools: [{ name: "search_files", description: "Searches.", parameters: { type: "object" } }],
    maxOutputTokens: 4096,
  };

  test("shows the request as it was sent, and whether its hash is the recorded one", () => {
    const lines = requestLines(body, { hash: "abc", recordedHash: "abc" }, plainStyle);
    expect(lines).toEqual([
      "Request  sha256 abc: equals the recorded one",
      "System",
      "  You plan.",
      "Message 1 user",
      "  <goal>",
      "  Which?",
      "  </goal>",
      "Message 2 assistant",
      '  → search_files {"query":"x"}',
      "Message 3 tool",
      "  search_files ok",
      "  a.md:1 x",
      "Tool search_files",
      "  Searches.",
      '  {"type":"object"}',
      "At most 4,096 tokens",
    ]);
    expect(requestLines(body, { hash: "abc", recordedHash: "abd" }, plainStyle)[0]).toContain(
      "DIFFERS from the recorded one, abd",
    );
  });

  test("of a tool shows its arguments and its result", () => {
    const lines = shownStepLines({ ...sampleStep(), request: null }, plainStyle);
    expect(lines).toContain('    "query": "deployment"');
    expect(lines).toContain("  README.md:12 pure C, no dependencies");
  });
});

test("nothing that a model, a file or a server says reaches the terminal as a command", () => {
  const evil = "x\u001B]0;owned\u0007\u009B2J\u202E\u0000y";
  const poison = <Value>(value: Value): Value =>
    JSON.parse(JSON.stringify(value), (key, inner: unknown) =>
      typeof inner === "string" &&
      !["type", "status", "at", "id", "task", "kind", "phase", "origin", "role"].includes(key) &&
      !key.endsWith("_at")
        ? `${inner}${evil}`
        : inner,
    ) as Value;
  const goal = poison(
    sampleGoal({ reason: "error", detail: "d", labels: { a: "b" }, session: "s", tasks: [sampleTask()] }),
  );
  const events = sampleEvents().map(poison);
  const step: ShownStepResource = { ...poison(sampleStep({ ok: false })), request: null };
  const model: ShownStepResource = {
    ...poison(
      sampleStep({ kind: "model", output: { message: { text: "t", toolCalls: [{ name: "n", args: { a: "b" } }] } } }),
    ),
    request: null,
  };
  const files = [poison(sampleArtifact())];
  const body = poison({
    system: "s",
    messages: [
      { role: "user", parts: ["p"] },
      { role: "tool", results: [{ name: "n", ok: true, text: "t" }] },
    ],
    tools: [{ name: "n", description: "d", parameters: { a: "b" } }],
    output: { name: "o", schema: { a: "b" } },
    maxOutputTokens: 1,
  });
  for (const style of [plainStyle, colourStyle]) {
    let view = emptyGoalView;
    const lines = [
      ...events.flatMap((event) => eventLines((view = seeEvent(view, event)), event)),
      ...treeLines(viewOf(events), { width: 100 }, style),
      ...storyLines({ goal, shortId: "g_7", events, steps: [step, model], files, now: 0 }, 100, style),
      ...[goal, { ...goal, status: "failed" as const }].flatMap((each) => [
        ...answerLines(each, 100, style),
        outcomeLine(each, style),
        ...reasonLines({ goal: each, shortId: "g_7", models: [] }, 100),
        goalLine(each, "g_7", evil),
      ]),
      ...pointerLines("g_7", [`./${evil}`], []),
      ...listLines([goal], { now: 0, width: 100 }, style),
      ...fileLines(files),
      ...[step, model].flatMap((each) => shownStepLines(each, style)),
      ...requestLines(body, { hash: "a", recordedHash: evil }, style),
      ...requestLines({ odd: evil }, { hash: "a", recordedHash: "a" }, style),
    ];
    // Only our own colours are left.
    const left = lines.join("\n").replaceAll(/\u001B\[\d{1,2}m/g, "");
    expect(left).toContain("\\x1b]0;owned");
    expect(left).not.toMatch(/[\0-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
  }
});
