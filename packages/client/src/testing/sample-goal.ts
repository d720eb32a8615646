/** Goals, events and steps as a server would send them, for tests of whoever reads them. */
import type {
  ArtifactResource,
  EventResource,
  EventType,
  GoalResource,
  StepResource,
  TaskResource,
} from "@outerloop/core/domain";

const start = Date.parse("2026-03-01T12:00:00.000Z");
const at = (seconds: number) => new Date(start + seconds * 1000).toISOString();

export const sampleGoalId = "g_7k2f9xq0m4c8r1tz";

export function sampleGoal(changes: Partial<GoalResource> = {}): GoalResource {
  return {
    id: sampleGoalId,
    status: "succeeded",
    text: "Which engine suits a single-binary Go service, and why?",
    session: null,
    reason: null,
    detail: null,
    final_answer:
      'sqlite-vec: no dependencies. sqlite-vec/README.md:12 "pure C, no dependencies"\nNot in these documents: Windows support.',
    citations: { total: 9, holding: 9 },
    planning: "adaptive",
    priority: 0,
    labels: {},
    budget: { steps: 200, wall_ms: 3_600_000, tokens: 1_000_000, usd: null },
    usage: { steps: 41, tokens: 1234, usd: 0 },
    created_at: at(0),
    started_at: at(1),
    ended_at: at(6),
    intake: null,
    clarifications: [],
    question: null,
    models: null,
    tasks: [],
    ...changes,
  };
}

type EventLine = readonly [type: EventType, taskKey: string | null, data?: Record<string, unknown>];

/** Events numbered from 1; a task's id is `t_` and its key, and every event of a task carries the key. */
export function numbered(lines: readonly EventLine[]): EventResource[] {
  return lines.map(([type, key, data = {}], index) => ({
    seq: index + 1,
    type,
    task: key === null ? null : `t_${key}`,
    data: key === null ? data : { key, ...data },
    at: at(index / 10),
  }));
}

const tool = (key: string, attempt: number, name: string, about: string): EventLine => [
  "step.tool",
  key,
  { attempt, tool: name, ok: true, ms: 3, about },
];
const asks = (key: string, attempt: number, calls: readonly string[]): EventLine => [
  "step.model",
  key,
  { stage: "execute", attempt, model: "offline/research", tokens: 10, ms: 1, calls },
];

/** A first task done at once, one that is retried, one that is split, one that waits for all of them. */
export function sampleEvents(): EventResource[] {
  return numbered([
    ["goal.created", null, { text: "Which engine …", session: null, attachments: 14 }],
    ["step.model", null, { stage: "plan", attempt: 1, model: "offline/research", tokens: 20, ms: 2, calls: [] }],
    ["goal.planned", null, { round: 1, tasks: ["t1", "t2", "t3", "t4"] }],
    ["task.created", "t1", { text: "sqlite-vec: deployment", parent: null, depends_on: [] }],
    ["task.created", "t2", { text: "sqlite-vss: performance", parent: null, depends_on: [] }],
    ["task.created", "t3", { text: "libsql", parent: null, depends_on: [] }],
    ["task.created", "t4", { text: "compare", parent: null, depends_on: ["t1", "t2", "t3"] }],
    ["task.started", "t1", { attempt: 1 }],
    asks("t1", 1, ["search_files", "read_file"]),
    tool("t1", 1, "search_files", "deployment"),
    tool("t1", 1, "read_file", "README.md"),
    asks("t1", 1, []),
    ["task.reflected", "t1", { attempt: 1, verdict: "done", reason: "", evidence: true }],
    ["task.done", "t1"],
    ["task.started", "t2", { attempt: 1 }],
    tool("t2", 1, "search_files", "performance"),
    ["task.reflected", "t2", { attempt: 1, verdict: "retry", reason: "no figure cited", evidence: false }],
    ["task.retried", "t2", { attempt: 2, hint: "no figure cited" }],
    ["task.started", "t2", { attempt: 2 }],
    tool("t2", 2, "read_file", "bench.csv"),
    ["task.reflected", "t2", { attempt: 2, verdict: "done", reason: "", evidence: true }],
    ["task.done", "t2"],
    ["task.started", "t3", { attempt: 1 }],
    ["task.reflected", "t3", { attempt: 1, verdict: "split", reason: "too long", evidence: true }],
    ["task.split", "t3", { into: ["t3a", "t3b"] }],
    ["task.created", "t3a", { text: "libsql, first half", parent: "t3", depends_on: [] }],
    ["task.created", "t3b", { text: "libsql, second half", parent: "t3", depends_on: [] }],
    ["task.started", "t3a", { attempt: 1 }],
    ["task.done", "t3a"],
    ["task.started", "t3b", { attempt: 1 }],
    ["task.done", "t3b"],
    ["task.started", "t4", { attempt: 1 }],
    tool("t4", 1, "write_file", "report.md"),
    ["task.done", "t4"],
    [
      "goal.succeeded",
      null,
      { to: "succeeded", answer: "sqlite-vec", citations: { total: 9, holding: 9, broken: [] } },
    ],
  ]);
}

export function sampleStep(changes: Partial<StepResource> = {}): StepResource {
  return {
    id: "t_t1.1.2",
    number: 3,
    task: "t_t1",
    stage: "execute",
    kind: "tool",
    name: "search_files",
    phase: "result",
    attempt: 1,
    seq: 2,
    ok: true,
    input: { query: "deployment" },
    output: { callId: "c1", text: "README.md:12 pure C, no dependencies" },
    usage: { input_tokens: 0, cached_input_tokens: 0, output_tokens: 0, reasoning_tokens: 0, usd: 0 },
    duration_ms: 12,
    request_hash: null,
    at: at(2),
    ...changes,
  };
}

export function sampleTask(changes: Partial<TaskResource> = {}): TaskResource {
  return {
    id: "t_t1",
    key: "t1",
    text: "sqlite-vec: deployment",
    status: "done",
    attempt: 1,
    depth: 0,
    parent: null,
    depends_on: [],
    tools: ["search_files", "read_file"],
    evidence: [],
    hint: null,
    difficulty: "normal",
    models: null,
    result: "It is one file.",
    reason: null,
    waiting_on: null,
    created_at: at(0),
    started_at: at(1),
    ended_at: at(2),
    ...changes,
  };
}

export function sampleArtifact(changes: Partial<ArtifactResource> = {}): ArtifactResource {
  return { path: "report.md", size: 1234, version: 3, hash: "abc", origin: "written", at: at(5), ...changes };
}
