/**
 * For tests: runs one goal from plan to answer in memory, through the agent's own functions and real tools, in the order
 * that the workers would. No database, no queue; one task at a time.
 */
import { checkEvidence } from "../../../agent/evidence.ts";
import { defaultExecutionLimits, executionParts, nextExecutionMove } from "../../../agent/execute.ts";
import { checkPlan, planRequest } from "../../../agent/plan.ts";
import { reflectRequest, verdictOnMissingEvidence } from "../../../agent/reflect.ts";
import type { SessionTurn } from "../../../agent/prompt-parts.ts";
import type { Goal } from "../../../domain/goal.ts";
import { noGuardCounts } from "../../../domain/guard.ts";
import type { ModelRequest, ToolCall, ToolSpec } from "../../../domain/model.ts";
import { planSchema, verdictSchema, type PlannedTask, type Verdict } from "../../../domain/plan.ts";
import type { ModelStep, Step, ToolStep } from "../../../domain/step.ts";
import { decideReflection, subtaskKey, type Task } from "../../../domain/task.ts";
import type { StoredWrite, ToolEffect, ToolOutcome, Workspace } from "../../../domain/tool.ts";
import type { Provider } from "../../provider.ts";
import type { DriveMemory } from "./memory.ts";

export { createTestMemory } from "./memory.ts";

export interface DriveParts {
  readonly provider: Provider;
  readonly workspace: Workspace & {
    apply(writes: readonly StoredWrite[]): void;
    text(path: string): string | undefined;
  };
  readonly tools: {
    specs(names?: readonly string[]): readonly ToolSpec[];
    effectOf(name: string): ToolEffect | undefined;
    run(call: ToolCall): Promise<ToolOutcome>;
  };
  readonly session?: readonly SessionTurn[];
  /** What goals before this one left; nothing is remembered without it. */
  readonly memory?: DriveMemory;
}

export interface DrivenTask {
  readonly key: string;
  readonly text: string;
  status: string;
  attempt: number;
  result: string | null;
  readonly verdicts: Verdict[];
  readonly steps: Step[];
}

export interface DrivenGoal {
  readonly status: "succeeded" | "unsupported" | "abandoned" | "stuck";
  readonly answer: string;
  readonly tasks: readonly DrivenTask[];
  readonly steps: number;
}

interface Live extends DrivenTask {
  readonly planned: PlannedTask;
  dependsOn: string[];
  readonly depth: number;
  readonly parent: string | null;
  hint: string | null;
  readonly notes: string[];
}

/** Rounds of planning, and moves within one, before a goal counts as stuck. */
const maxRounds = 12;
const maxMoves = 40;
/** As the workers recall them, and as much as they keep of a result and of an answer. */
const similar = { plan: 6, execute: 5 } as const;
const maxMemoryChars = 1200;
const maxAnswerChars = 2000;

export async function driveGoal(text: string, parts: DriveParts): Promise<DrivenGoal> {
  const goal = {
    id: "g_drive",
    tenantId: "default",
    sessionId: null,
    text,
    status: "planning",
    createdAt: new Date("2026-11-21"),
    planRound: 0,
    intake: null,
    clarifications: [],
    questionsWaitMs: null,
    guards: noGuardCounts,
  } as unknown as Goal;
  const tasks: Live[] = [];
  let steps = 0;
  const ask = async (request: ModelRequest) => {
    steps += 1;
    return parts.provider.generate("rules", request, { signal: new AbortController().signal });
  };
  const toTask = (task: Live): Task =>
    ({
      id: task.key,
      key: task.key,
      text: task.text,
      status: task.status,
      attempt: task.attempt,
      depth: task.depth,
      hint: task.hint,
      result: task.result,
      reason: null,
      tools: task.planned.tools,
      evidence: task.planned.evidence,
    }) as unknown as Task;
  const ended = (status: DrivenGoal["status"], answer: string): DrivenGoal => ({ status, answer, tasks, steps });

  for (let round = 0; round < maxRounds; round += 1) {
    const request = planRequest({
      goal: { ...goal, planRound: round },
      files: await parts.workspace.list(),
      tools: parts.tools.specs(),
      session: parts.session ?? [],
      tasks: tasks.map((task) => ({ task: toTask(task), dependsOn: task.dependsOn, parentKey: task.parent })),
      memories: (await parts.memory?.recall(text, similar.plan)) ?? [],
      trip: null,
    });
    const plan = planSchema.parse(JSON.parse((await ask(request)).message.text));
    const checked = checkPlan(plan, {
      keys: new Set(tasks.map((task) => task.key)),
      tools: new Set(parts.tools.specs().map((tool) => tool.name)),
      makesFiles: (name) => parts.tools.effectOf(name) === "stored" && name !== "write_note",
    });
    if (checked.kind === "done") {
      parts.memory?.write("answer", `Question: ${text}\nAnswer: ${checked.answer.slice(0, maxAnswerChars)}`);
      return ended("succeeded", checked.answer);
    }
    if (checked.kind === "unsupported") return ended("unsupported", checked.why);
    if (checked.kind === "nothing") return ended("abandoned", checked.why);
    if (checked.kind === "invalid") throw new Error(`the offline model planned what cannot run: ${checked.why}`);
    for (const planned of checked.tasks)
      tasks.push({
        key: planned.id,
        text: planned.text,
        status: "pending",
        attempt: 1,
        result: null,
        verdicts: [],
        steps: [],
        planned,
        dependsOn: [...planned.depends_on],
        depth: 0,
        parent: null,
        hint: null,
        notes: [],
      });
    let next: Live | undefined;
    while (
      (next = tasks.find(
        (task) =>
          task.status === "pending" &&
          task.dependsOn.every((id) => tasks.find((other) => other.key === id)?.status === "done"),
      ))
    )
      await runTask(next);
  }
  return ended("stuck", "");

  function wrote(task: Live, path: string): boolean {
    return task.steps.some(
      (step) => step.kind === "tool" && step.ok && step.args["path"] === path && step.name !== "read_file",
    );
  }

  /** Ends: an attempt is at most `maxMoves`, and `decideReflection` bounds attempts and splits. */
  async function runTask(task: Live): Promise<void> {
    const result = await execute(task);
    const evidence = checkEvidence(toTask(task), result, {
      succeeded: new Set(
        task.steps.flatMap((step) =>
          step.kind === "tool" && step.ok && step.attempt === task.attempt ? [step.name] : [],
        ),
      ),
      effectOf: (name) => parts.tools.effectOf(name),
      makesFiles: (name) => parts.tools.effectOf(name) === "stored" && name !== "write_note",
      writersOf: (path) => (wrote(task, path) ? [task.key] : []),
      reachedOut: new Set(),
      wroteFile: task.steps.some((step) => step.kind === "tool" && step.ok && step.name === "write_file"),
      notes: task.notes,
      lines: (path) => parts.workspace.text(path)?.split(/\r?\n/),
    });
    const trace = task.steps.filter((step): step is ToolStep => step.kind === "tool" && step.attempt === task.attempt);
    const request = reflectRequest({ goal, task: toTask(task), result, trace, evidence });
    const verdict = evidence.met
      ? verdictSchema.parse(JSON.parse((await ask(request)).message.text))
      : verdictOnMissingEvidence(evidence);
    task.verdicts.push(verdict);
    task.result = result;
    const move = decideReflection(task, verdict, evidence.met);
    if (move.to === "done") parts.memory?.write("task_result", `${task.text}\n${result}`.slice(0, maxMemoryChars));
    if (verdict.lesson.trim()) parts.memory?.write("lesson", verdict.lesson.trim().slice(0, maxMemoryChars));
    if (move.to === "ready") Object.assign(task, { status: "pending", attempt: task.attempt + 1, hint: move.hint });
    else if (move.to === "split") split(task, move.subtasks);
    else task.status = move.to;
  }

  function split(task: Live, texts: readonly string[]): void {
    task.status = "split";
    const keys = texts.map((_, at) => subtaskKey(task.key, at));
    texts.forEach((each, at) =>
      tasks.push({
        ...task,
        key: keys[at]!,
        text: each,
        status: "pending",
        attempt: 1,
        result: null,
        verdicts: [],
        steps: [],
        notes: [],
        depth: task.depth + 1,
        parent: task.key,
        hint: null,
      }),
    );
    for (const other of tasks)
      if (other.dependsOn.includes(task.key))
        other.dependsOn = [...other.dependsOn.filter((id) => id !== task.key), ...keys];
  }

  async function execute(task: Live): Promise<string> {
    const dependencies = tasks.filter((other) => task.dependsOn.includes(other.key)).map(toTask);
    const memories = (await parts.memory?.recall(task.text, similar.execute)) ?? [];
    const first = executionParts(toTask(task), { goal, session: parts.session ?? [], dependencies, memories });
    const journal: Step[] = [];
    for (let moves = 0; moves < maxMoves; moves += 1) {
      const move = nextExecutionMove({
        task: toTask(task),
        parts: first,
        tools: parts.tools.specs(task.planned.tools),
        steps: journal,
        limits: defaultExecutionLimits,
      });
      if (move.kind === "finish") return move.result;
      if (move.kind === "give_up") throw new Error(`${task.key} gave up: ${move.reason}`);
      const made: Step[] = [];
      if (move.kind === "model") {
        const { message, stop } = await ask(move.request);
        made.push({
          kind: "model",
          attempt: task.attempt,
          seq: move.seq,
          stage: "execute",
          durationMs: 0,
          output: { message, stop, provider: "offline", model: "rules" },
        } as unknown as ModelStep);
      } else {
        for (const { seq, call, refused } of move.calls) {
          if (refused) throw new Error(`${task.key} asked for more than ${defaultExecutionLimits.maxToolCalls} calls`);
          const outcome = await parts.tools.run(call);
          if (outcome.ok && outcome.writes) {
            parts.workspace.apply(outcome.writes);
            for (const write of outcome.writes)
              if (write.kind === "note") {
                task.notes.push(write.text);
                parts.memory?.write("note", write.text);
              }
          }
          steps += 1;
          made.push({
            kind: "tool",
            attempt: task.attempt,
            seq,
            stage: "execute",
            durationMs: 0,
            name: call.name,
            args: call.args,
            ok: outcome.ok,
            output: { callId: call.id, text: outcome.text },
          });
        }
      }
      journal.push(...made);
      task.steps.push(...made);
    }
    throw new Error(`${task.key} did not end`);
  }
}
