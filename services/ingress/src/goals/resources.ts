/** From rows to the resources of the API. */
import {
  stepId,
  type ArtifactInfo,
  type ArtifactResource,
  type GoalEvent,
  type EventResource,
  type GoalResource,
  type GoalRow,
  type GoalView,
  type QuestionResource,
  type GoalSummary,
  type ShownStep,
  type ShownStepResource,
  type StepRecord,
  type StepResource,
  type TaskInGoal,
  type TaskResource,
} from "@outerloop/core";

const microUsdPerUsd = 1_000_000;

export function toGoalSummary(row: GoalRow): GoalSummary {
  return {
    id: row.id,
    status: row.status as GoalSummary["status"],
    text: row.text,
    session: row.session_id,
    reason: row.reason,
    detail: row.detail,
    final_answer: row.answer,
    citations: toCitations(row.citations),
    planning:
      row.planning === "every-n" ? { every_n: row.planning_every } : (row.planning as "adaptive" | "every-step"),
    priority: row.priority,
    labels: row.labels as Record<string, string>,
    budget: {
      steps: row.budget_steps,
      wall_ms: row.budget_wall_ms,
      tokens: row.budget_tokens,
      usd: toUsd(row.budget_micro_usd),
    },
    usage: { steps: row.steps_used, tokens: row.tokens_used, usd: row.cost_unknown ? null : toUsd(row.cost_micro_usd) },
    created_at: row.created_at.toISOString(),
    started_at: row.started_at?.toISOString() ?? null,
    ended_at: row.ended_at?.toISOString() ?? null,
  };
}

export function toGoalResource({ goal, tasks, question }: GoalView): GoalResource {
  return {
    ...toGoalSummary(goal),
    intake: goal.intake as GoalResource["intake"],
    clarifications: goal.clarifications as GoalResource["clarifications"],
    models: goal.models as GoalResource["models"],
    question:
      question === null
        ? null
        : {
            id: question.id,
            about: question.about as QuestionResource["about"],
            text: question.text,
            default: question.default_answer,
            deadline_at: question.deadline_at.toISOString(),
          },
    tasks: tasks.map(toTaskResource),
  };
}

function toTaskResource({ row, dependsOn, parentKey }: TaskInGoal): TaskResource {
  return {
    id: row.id,
    key: row.key,
    text: row.text,
    status: row.status as TaskResource["status"],
    attempt: row.attempt,
    depth: row.depth,
    parent: parentKey,
    depends_on: [...dependsOn],
    tools: row.tools as string[],
    evidence: row.evidence as unknown[],
    hint: row.hint,
    difficulty: row.difficulty,
    models: row.models as TaskResource["models"],
    result: row.result,
    reason: row.reason,
    waiting_on: (row.status === "waiting" ? row.wait : null) as TaskResource["waiting_on"],
    created_at: row.created_at.toISOString(),
    started_at: row.started_at?.toISOString() ?? null,
    ended_at: row.ended_at?.toISOString() ?? null,
  };
}

/** The planner writes more about them than a list shows. */
function toCitations(citations: unknown): GoalSummary["citations"] {
  if (citations === null || typeof citations !== "object") return null;
  const { total, holding } = citations as { total?: number; holding?: number };
  return total === undefined || holding === undefined ? null : { total, holding };
}

export function toEventResource(event: GoalEvent): EventResource {
  return { seq: event.seq, type: event.type, task: event.taskId, data: event.data, at: event.at };
}

export function toStepResource(row: StepRecord): StepResource {
  return {
    id: stepId(row),
    number: row.number,
    task: row.subject_id === row.goal_id ? null : row.subject_id,
    stage: row.stage,
    kind: row.kind as StepResource["kind"],
    name: row.name,
    phase: row.phase as StepResource["phase"],
    attempt: row.attempt,
    seq: row.seq,
    ok: row.ok,
    input: row.input,
    output: row.output,
    usage: {
      input_tokens: row.input_tokens,
      cached_input_tokens: row.cached_input_tokens,
      output_tokens: row.output_tokens,
      reasoning_tokens: row.reasoning_tokens,
      usd: toUsd(row.cost_micro_usd),
    },
    duration_ms: row.duration_ms,
    request_hash: row.request_hash,
    at: row.at.toISOString(),
  };
}

export function toShownStep({ row, request }: ShownStep): ShownStepResource {
  return {
    ...toStepResource(row),
    request: request === null ? null : { body: request.body, hash: request.hash, recorded_hash: request.recordedHash },
  };
}

export function toArtifactResource(file: ArtifactInfo): ArtifactResource {
  return { path: file.path, size: file.size, version: file.version, hash: file.hash, origin: file.origin, at: file.at };
}

function toUsd(microUsd: number): number;
function toUsd(microUsd: number | null): number | null;
function toUsd(microUsd: number | null): number | null {
  return microUsd === null ? null : microUsd / microUsdPerUsd;
}
