/**
 * A goal as its events tell it: plan rounds, tasks, attempts, calls. Pure: view and event in, view out. It serves the
 * live tree, the plain log and the story alike, and does no rendering.
 */
import { goalStatuses, type EventResource, type GoalStatus } from "@outerloop/core/domain";
import { z } from "zod";
import { formatDuration } from "../text/quantities.ts";

export type TaskViewStatus =
  | "waits"
  | "running"
  | "reflecting"
  | "waiting"
  | "done"
  | "retrying"
  | "split"
  | "failed"
  | "abandoned";

export interface CallView {
  readonly tool: string;
  /** Its path or query, short. */
  readonly about: string;
  readonly ok: boolean;
  readonly ms: number;
}

export interface VerdictView {
  readonly status: string;
  readonly reason: string;
  readonly evidenceMet: boolean;
}

export interface AttemptView {
  readonly attempt: number;
  /** Why there is this attempt, from the verdict on the one before. */
  readonly hint: string | null;
  readonly calls: readonly CallView[];
  /** Tools that the model asked for and that have not answered. */
  readonly asked: readonly string[];
  readonly verdict: VerdictView | null;
}

export interface TaskView {
  readonly id: string;
  readonly key: string;
  readonly text: string;
  readonly parentKey: string | null;
  readonly dependsOn: readonly string[];
  readonly status: TaskViewStatus;
  readonly attempts: readonly AttemptView[];
  /** Keys of the tasks that stand in for it. */
  readonly into: readonly string[];
  readonly reason: string | null;
}

export interface RoundView {
  readonly round: number;
  /** In the plan's order; subtasks are found by their parent. */
  readonly taskIds: readonly string[];
}

export interface GoalView {
  readonly status: GoalStatus;
  readonly lastSeq: number;
  readonly rounds: readonly RoundView[];
  /** In the order in which they came up. */
  readonly tasks: readonly TaskView[];
  /** Model and tool steps so far. */
  readonly steps: number;
  /** Names of the models that were asked, `provider/model`. */
  readonly models: readonly string[];
  /** What it waits for its submitter to answer. */
  readonly question: QuestionView | null;
  /** What a guard on plans found last, until the next plan stands. */
  readonly guard: string | null;
}

export interface QuestionView {
  readonly text: string;
  /** What is taken where nobody answers by then. */
  readonly assumed: string;
  readonly deadlineAt: string;
}

export const emptyGoalView: GoalView = {
  status: "queued",
  lastSeq: 0,
  rounds: [],
  tasks: [],
  steps: 0,
  models: [],
  question: null,
  guard: null,
};

const waitSchema = z.object({
  id: z.string().catch(""),
  kind: z.string().catch(""),
  name: z.string().catch(""),
  deadline_at: z.string().catch(""),
});
export type WaitView = z.output<typeof waitSchema>;

/** An event's data is the server's; a field that is missing or of another type reads as its default. */
const dataSchema = z.object({
  key: z.string().catch(""),
  text: z.string().catch(""),
  parent: z.string().nullable().catch(null),
  depends_on: z.array(z.string()).catch([]),
  attempt: z.int().catch(1),
  tool: z.string().catch("?"),
  about: z.string().catch(""),
  ok: z.boolean().catch(true),
  ms: z.number().catch(0),
  model: z.string().catch(""),
  stage: z.string().catch(""),
  calls: z.array(z.string()).catch([]),
  verdict: z.string().catch(""),
  reason: z.string().catch(""),
  evidence: z.boolean().catch(true),
  hint: z.string().catch(""),
  into: z.array(z.string()).catch([]),
  round: z.int().catch(0),
  tasks: z.array(z.string()).catch([]),
  /** What a task waits for. */
  on: z.array(waitSchema).catch([]),
  /** Of an approval. */
  id: z.string().catch(""),
  kind: z.string().catch(""),
  decision: z.string().catch(""),
  by: z.string().catch(""),
  retry_in_ms: z.number().catch(0),
  budget: z.string().catch(""),
  used: z.number().catch(0),
  /** Of intake, a question, a guard on plans. */
  intent: z.string().catch(""),
  deliverable: z.string().catch(""),
  default: z.string().catch(""),
  deadline_at: z.string().catch(""),
  answer: z.string().catch(""),
  guard: z.string().catch(""),
  action: z.string().catch(""),
  why: z.string().catch(""),
  limit: z.number().catch(0),
});
export type EventData = z.output<typeof dataSchema>;

export function readEventData(event: EventResource): EventData {
  return dataSchema.parse(event.data);
}

export function seeEvent(view: GoalView, event: EventResource): GoalView {
  const data = readEventData(event);
  const next = { ...view, lastSeq: event.seq };
  const task = (change: (task: TaskView) => TaskView): GoalView => ({
    ...next,
    tasks: next.tasks.map((each) => (each.id === event.task ? change(each) : each)),
  });
  switch (event.type) {
    case "goal.created":
      return { ...next, status: "planning" };
    case "goal.planned":
      return {
        ...next,
        status: "running",
        guard: null,
        rounds: [...next.rounds, { round: data.round || next.rounds.length + 1, taskIds: [] }],
      };
    case "goal.asked":
      return {
        ...next,
        status: "waiting",
        question: { text: data.text, assumed: data.default, deadlineAt: data.deadline_at },
      };
    case "goal.answered":
      return { ...next, status: next.rounds.length === 0 ? "planning" : "running", question: null };
    case "goal.paused":
      return { ...next, status: "paused" };
    case "goal.resumed":
      return { ...next, status: "running" };
    case "goal.succeeded":
    case "goal.failed":
    case "goal.abandoned":
    case "goal.cancelled":
      return { ...next, status: goalStatuses.find((status) => event.type === `goal.${status}`) ?? next.status };
    case "task.created":
      return addTask(next, event.task ?? data.key, data);
    case "task.started":
      return task((each) => inAttempt({ ...each, status: "running" }, data.attempt, (attempt) => attempt));
    case "task.waiting":
      return task((each) => ({ ...each, status: "waiting", reason: waitWords(data.on) || awayWords(data) || null }));
    case "task.reflected":
      return task((each) =>
        inAttempt(each, data.attempt, (attempt) => ({
          ...attempt,
          asked: [],
          verdict: { status: data.verdict, reason: data.reason, evidenceMet: data.evidence },
        })),
      );
    case "task.done":
      return task((each) => ({ ...each, status: "done" }));
    case "task.retried":
      return task((each) =>
        inAttempt({ ...each, status: "retrying" }, data.attempt, (attempt) => ({ ...attempt, hint: data.hint })),
      );
    case "task.split":
      return task((each) => ({ ...each, status: "split", into: data.into }));
    case "task.failed":
      return task((each) => ({ ...each, status: "failed", reason: data.reason }));
    case "task.abandoned":
      return task((each) => ({ ...each, status: "abandoned", reason: data.reason }));
    case "step.model": {
      const seen = {
        ...task((each) =>
          data.stage === "execute"
            ? inAttempt(
                { ...each, status: data.calls.length > 0 ? "running" : "reflecting" },
                data.attempt,
                (attempt) => ({ ...attempt, asked: [...attempt.asked, ...data.calls] }),
              )
            : each,
        ),
      };
      return {
        ...seen,
        steps: next.steps + 1,
        models: data.model === "" || next.models.includes(data.model) ? next.models : [...next.models, data.model],
      };
    }
    case "step.tool":
      return {
        ...task((each) =>
          inAttempt(awake(each), data.attempt, (attempt) => ({
            ...attempt,
            asked: without(attempt.asked, data.tool),
            calls: [...attempt.calls, { tool: data.tool, about: data.about, ok: data.ok, ms: data.ms }],
          })),
        ),
        steps: next.steps + 1,
      };
    case "goal.guarded":
      return { ...next, guard: guardWords(data) };
    case "goal.understood":
    case "approval.requested":
    case "approval.decided":
    case "memory.written":
    case "budget.warning":
      return next;
  }
}

function addTask(view: GoalView, id: string, data: EventData): GoalView {
  const task: TaskView = {
    id,
    key: data.key,
    text: data.text,
    parentKey: data.parent,
    dependsOn: data.depends_on,
    status: "waits",
    attempts: [],
    into: [],
    reason: null,
  };
  const tasks = [...view.tasks.filter((each) => each.id !== id), task];
  if (data.parent !== null) return { ...view, tasks };
  const rounds = view.rounds.length > 0 ? view.rounds : [{ round: 1, taskIds: [] }];
  const last = rounds.at(-1)!;
  return { ...view, tasks, rounds: [...rounds.slice(0, -1), { ...last, taskIds: [...last.taskIds, id] }] };
}

/** What answers a call is at work again; it says so itself when it goes on waiting. */
function awake(task: TaskView): TaskView {
  return task.status === "waiting" ? { ...task, status: "running", reason: null } : task;
}

const guardFindings: Readonly<Record<string, string>> = {
  thrash: "it plans in circles",
  drift: "it drifts from the goal",
  stall: "it gets nothing finished",
};
const guardActions: Readonly<Record<string, string>> = {
  reanchored: "told to go back to the goal",
  asked: "its submitter is asked",
  failed: "stopped",
};

/** `it plans in circles, told to go back to the goal` */
export function guardWords(data: Pick<EventData, "guard" | "action">): string {
  return `${guardFindings[data.guard] ?? data.guard}, ${guardActions[data.action] ?? data.action}`;
}

/** What a goal asks, and what to type. */
export function questionWords({ text, assumed, deadlineAt }: QuestionView, goal = "GOAL"): readonly string[] {
  const until = deadlineAt.slice(0, 16).replace("T", " ");
  return [
    ...text.split("\n"),
    `Answer: npx outerloop answer ${goal} "…" (else, from ${until} UTC: ${assumed.replaceAll("\n", "; ")})`,
  ];
}

/** What a task waits for, and what to type where it is a person. */
export function waitWords(on: readonly WaitView[]): string {
  const asked = on.filter((wait) => wait.kind === "approval" || wait.kind === "outcome");
  const [first] = asked;
  const words = [
    ...(first === undefined
      ? []
      : asked.length > 1
        ? [`${asked.length} decisions of yours: npx outerloop approvals`]
        : [
            first.kind === "approval"
              ? `your approval of ${first.name}: npx outerloop approve ${first.id}`
              : `your word on whether ${first.name} happened: npx outerloop approvals`,
          ]),
    ...on.filter((wait) => wait.kind === "signal").map((wait) => `the signal ${wait.name}`),
    ...on
      .filter((wait) => wait.kind === "timer")
      .map(
        (wait) =>
          `${wait.deadline_at.slice(0, 19).replace("T", " ")} UTC${wait.name === "model" ? " (the model's provider)" : ""}`,
      ),
  ];
  return words.length === 0 ? "" : `for ${words.join("; ")}`;
}

/** Why work waits whose model is away, and for how long. */
export function awayWords(data: EventData): string {
  return data.reason === "" ? "" : `${data.reason} (again in ${formatDuration(data.retry_in_ms)})`;
}

/** Changes one attempt, which begins to exist where it did not. */
function inAttempt(task: TaskView, number: number, change: (attempt: AttemptView) => AttemptView): TaskView {
  const known = task.attempts.find((each) => each.attempt === number);
  if (known !== undefined)
    return { ...task, attempts: task.attempts.map((each) => (each === known ? change(each) : each)) };
  return {
    ...task,
    attempts: [...task.attempts, change({ attempt: number, hint: null, calls: [], asked: [], verdict: null })],
  };
}

function without(names: readonly string[], name: string): readonly string[] {
  const at = names.indexOf(name);
  return at === -1 ? names : names.toSpliced(at, 1);
}

/** A goal's tasks that stand in for this one, in order. */
export function subtasksOf(view: GoalView, task: TaskView): readonly TaskView[] {
  return view.tasks.filter((each) => each.parentKey === task.key && each.id !== task.id);
}

/** A task that is split is done when all that stand in for it are. */
export function shownStatus(view: GoalView, task: TaskView): TaskViewStatus {
  if (task.status !== "split") return task.status;
  const subtasks = subtasksOf(view, task);
  return subtasks.length > 0 && subtasks.every((each) => shownStatus(view, each) === "done") ? "done" : "split";
}
