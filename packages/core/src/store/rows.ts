/** From rows to the domain's types, in one place. */
import type { Goal, GoalStatus } from "../domain/goal.ts";
import type { GoalId, TaskId, TenantId, WaitId } from "../domain/ids.ts";
import type { Evidence } from "../domain/evidence.ts";
import { noGuardCounts, type GuardCounts } from "../domain/guard.ts";
import type { Intake } from "../domain/intake.ts";
import type { Clarification } from "../domain/question.ts";
import type {
  ModelStep,
  RequestRefs,
  Step,
  StepStage,
  ToolStep,
  ModelStepOutput,
  ToolStepOutput,
} from "../domain/step.ts";
import type { JsonObject } from "../domain/json.ts";
import type { RouteOverrides } from "../domain/model.ts";
import type { Task, TaskStatus } from "../domain/task.ts";
import type { Selectable } from "kysely";
import { resolutionSchema, type OnDeadline, type Wait, type WaitKind } from "../domain/wait.ts";
import type { GoalsTable, QuestionsTable, StepsTable, TasksTable, WaitsTable } from "./schema.ts";

export type GoalRow = Selectable<GoalsTable>;
export type TaskRecord = Selectable<TasksTable>;
export type StepRecord = Selectable<StepsTable>;
export type WaitRecord = Selectable<WaitsTable>;
export type QuestionRecord = Selectable<QuestionsTable>;

export function toGoal(row: GoalRow): Goal {
  return {
    id: row.id as GoalId,
    tenantId: row.tenant_id as TenantId,
    sessionId: row.session_id,
    text: row.text,
    status: row.status as GoalStatus,
    createdAt: row.created_at,
    planRound: row.plan_round,
    intake: row.intake as Intake | null,
    clarifications: row.clarifications as readonly Clarification[],
    questionsWaitMs: row.questions_wait_ms,
    guards: { ...noGuardCounts, ...(row.guards as Partial<GuardCounts>) },
  };
}

export function toTask(row: TaskRecord): Task {
  return {
    id: row.id as TaskId,
    tenantId: row.tenant_id as TenantId,
    goalId: row.goal_id as GoalId,
    key: row.key,
    number: row.number,
    parentId: row.parent_id as TaskId | null,
    rootId: row.root_id as TaskId,
    text: row.text,
    tools: row.tools as readonly string[],
    evidence: row.evidence as readonly Evidence[],
    difficulty: row.difficulty,
    depth: row.depth,
    status: row.status as TaskStatus,
    attempt: row.attempt,
    hint: row.hint,
    result: row.result,
    reason: row.reason,
    wakes: row.wakes,
    models: row.models as RouteOverrides | null,
  };
}

export function toWait(row: WaitRecord): Wait {
  return {
    id: row.id as WaitId,
    taskId: row.task_id as TaskId,
    attempt: row.attempt,
    seq: row.seq,
    kind: row.kind as WaitKind,
    name: row.name,
    subject: row.subject as JsonObject,
    hash: row.hash,
    deadlineAt: row.deadline_at,
    onDeadline: row.on_deadline as OnDeadline,
    resolution: row.resolution === null ? null : resolutionSchema.parse(row.resolution),
  };
}

export function toStep(row: StepRecord): Step {
  const base = { attempt: row.attempt, seq: row.seq, stage: row.stage as StepStage, durationMs: row.duration_ms };
  if (row.kind === "model") {
    return {
      ...base,
      kind: "model",
      input: row.input as RequestRefs,
      output: row.output as ModelStepOutput,
      usage: {
        inputTokens: row.input_tokens,
        cachedInputTokens: row.cached_input_tokens,
        outputTokens: row.output_tokens,
        reasoningTokens: row.reasoning_tokens,
      },
      costMicroUsd: row.cost_micro_usd,
      requestHash: row.request_hash ?? "",
    } satisfies ModelStep;
  }
  return {
    ...base,
    kind: "tool",
    name: row.name,
    args: row.input as JsonObject,
    ok: row.ok,
    output: row.output as ToolStepOutput,
  } satisfies ToolStep;
}

/** A timestamp as `row_to_json` writes it, as the driver would read it. */
function instant(value: unknown): Date | number | null {
  if (value === null || value === undefined) return null;
  if (value === "infinity") return Infinity;
  if (value === "-infinity") return -Infinity;
  return new Date(value as string);
}

function fromJson(row: Readonly<Record<string, unknown>>, instants: readonly string[]): object {
  const read: Record<string, unknown> = { ...row };
  for (const name of instants) read[name] = instant(read[name]);
  return read;
}

const goalInstants = [
  "paused_at",
  "dispatched_at",
  "due_at",
  "deadline_at",
  "created_at",
  "started_at",
  "ended_at",
  "asleep_at",
  "wall_warn_at",
  "lent_at",
  "lent_until",
  "lent_under",
];

/** Rows that came inside of JSON, with what it has no type for: instants. */
export const goalOfJson = (row: Readonly<Record<string, unknown>>) => fromJson(row, goalInstants) as GoalRow;
export const taskOfJson = (row: Readonly<Record<string, unknown>>) =>
  fromJson(row, ["dispatched_at", "due_at", "created_at", "started_at", "ended_at"]) as TaskRecord;
export const stepOfJson = (row: Readonly<Record<string, unknown>>) => fromJson(row, ["at"]) as StepRecord;
