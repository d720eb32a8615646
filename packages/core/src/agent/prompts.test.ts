/** What a given state renders to, whole: `goldens/*.txt`. A change of a prompt shows there, and `vitest -u` takes it over. */
import { expect, test } from "vitest";
import type { GoalId, TaskId, TenantId } from "../domain/ids.ts";
import { noGuardCounts } from "../domain/guard.ts";
import type { Goal } from "../domain/goal.ts";
import type { ModelRequest } from "../domain/model.ts";
import type { ToolStep } from "../domain/step.ts";
import type { Task } from "../domain/task.ts";
import { executionParts, nextExecutionMove, defaultExecutionLimits } from "./execute.ts";
import { intakeRequest, plainIntake } from "./intake.ts";
import { planRequest } from "./plan.ts";
import { reflectRequest } from "./reflect.ts";

/** Lines of a terminal. A rule that is further down is not followed. */
const screen = 40;

const text =
  "Compare the vector engines in these notes and write report.md. Do not recommend anything that needs a server.";
const bare: Goal = {
  id: "g_7k2f9xq0m4c8r1tz" as GoalId,
  tenantId: "default" as TenantId,
  sessionId: null,
  text,
  status: "planning",
  createdAt: new Date("2026-11-21T10:00:00Z"),
  planRound: 0,
  intake: null,
  clarifications: [],
  questionsWaitMs: null,
  guards: noGuardCounts,
};
const goal: Goal = {
  ...bare,
  planRound: 1,
  intake: {
    ...plainIntake({ text }),
    intent: "Compare the vector engines of the notes",
    entities: [{ type: "file", value: "report.md" }],
    constraints: ["nothing that needs a server"],
    deliverable: "report.md with a recommendation",
    risk: "none",
    evidence: [{ artifact: "report.md" }, { citations: 3 }],
  },
  clarifications: [
    { about: "intake", question: "How many vectors?", answer: "100,000", by: "Ann", at: "2026-11-21T10:05:00.000Z" },
  ],
};
const task: Task = {
  id: "t_5v1c2z8kq0m4c8r1" as TaskId,
  tenantId: "default" as TenantId,
  goalId: goal.id,
  key: "t2",
  number: 2,
  parentId: null,
  rootId: "t_5v1c2z8kq0m4c8r1" as TaskId,
  text: "Write the comparison to report.md.",
  tools: ["read_file", "write_file"],
  evidence: [{ artifact: "report.md", contains: "sqlite-vec" }],
  difficulty: "normal",
  depth: 0,
  status: "reflecting",
  attempt: 2,
  hint: "Not done yet, this is missing: the file report.md exists.",
  result: "Wrote report.md.",
  reason: null,
  wakes: 0,
  models: null,
};
const found: Task = {
  ...task,
  id: "t_9r1c2z8kq0m4c8r1" as TaskId,
  key: "t1",
  text: "Find what the notes say.",
  status: "done",
  attempt: 1,
  hint: null,
  result: 'notes/a.md:3 "sqlite-vec has no dependencies"',
};
const session = [{ goalId: "g_1", text: "What is a vector?", answer: "A list of numbers.", notes: ["asked by Ann"] }];
const memories = [
  {
    id: "m_1",
    kind: "lesson",
    text: "Situation: … Next time: read notes/a.md first.",
    createdAt: "2026-11-20",
    similarity: 0.8,
  },
];
const tools = [
  { name: "read_file", description: "Read lines of a text file.\nMore of it.", parameters: {} },
  { name: "write_file", description: "Write a text file.", parameters: {} },
];
const files = [{ path: "notes/a.md", size: 120, version: 1, hash: "h" }];

const parts = executionParts(task, { goal, session, dependencies: [found], memories });
const firstMove = nextExecutionMove({ task, parts, tools, steps: [], limits: defaultExecutionLimits });
if (firstMove.kind !== "model") throw new Error("an attempt begins with a model");
const trace: ToolStep[] = [
  {
    kind: "tool",
    attempt: 2,
    seq: 2,
    stage: "execute",
    durationMs: 1,
    name: "write_file",
    args: { path: "report.md", text: "sqlite-vec …" },
    ok: true,
    output: { callId: "c1", text: "Wrote report.md:\n1 lines." },
  },
];
const evidence = { met: true, lines: [{ met: true, text: "the file report.md exists" }] };

const requests: Readonly<Record<string, ModelRequest>> = {
  intake: intakeRequest({ goal: bare, files, tools, session }),
  plan: planRequest({
    goal,
    files,
    tools,
    session,
    memories,
    tasks: [
      { task: found, dependsOn: [], parentKey: null },
      {
        task: { ...task, status: "abandoned", result: null, reason: "3 attempts" },
        dependsOn: ["t1"],
        parentKey: null,
      },
    ],
    trip: { guard: "stall", why: "Nothing was finished since 2 plans." },
  }),
  execute: firstMove.request,
  reflect: reflectRequest({ goal, task, result: "Wrote report.md.", trace, evidence }),
};

test.each(Object.entries(requests))("the prompt of %s is what its golden file says", async (stage, request) => {
  const messages = request.messages.map((message) => (message.role === "user" ? message.parts.join("\n\n") : ""));
  const rendered = [
    `# system`,
    request.system,
    `# user`,
    ...messages,
    `# answers with`,
    request.output?.name ?? "text",
    "",
  ];
  await expect(rendered.join("\n\n")).toMatchFileSnapshot(`goldens/${stage}.txt`);
});

test.each(Object.entries(requests))("the system prompt of %s is under a screen", (_, request) => {
  expect(request.system.split("\n").length).toBeLessThan(screen);
});

test.each(Object.entries(requests))("the goal's own words are in the prompt of %s", (_, request) => {
  expect(JSON.stringify(request.messages)).toContain(text);
});
