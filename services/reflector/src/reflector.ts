/**
 * The reflector's worker: claims a task that has a result, checks its evidence by program, asks the model for a verdict
 * only where the evidence is there, and commits verdict, moves, follow-up tasks and lesson together.
 */
import {
  ask,
  checkEvidence,
  createWorkspace,
  decideReflection,
  evidencePaths,
  failpoint,
  journalModelCall,
  makeRoom,
  maxSplitDepth,
  OuterloopError,
  readStructured,
  reflectRequest,
  settleBilled,
  repairRequest,
  subtaskKey,
  traceIdOf,
  workClaim,
  verdictOnMissingEvidence,
  verdictSchema,
  type ClaimedTask,
  type Committed,
  type EvidenceCheck,
  type Held,
  type JobPayload,
  type JournaledModelCall,
  type MemoryRow,
  type MessageRef,
  type ModelStep,
  type NewEvent,
  type ReflectionMove,
  type Retry,
  type Run,
  type StageRuntime,
  type StageHandler,
  type TaskMove,
  type TaskRow,
  type ToolStep,
  type Usage,
  type Verdict,
  type TaskChange,
  type TaskWrite,
  type WorkEnd,
} from "@outerloop/core";
import type { Registry } from "@outerloop/skills";

/** A verdict that cannot be read is asked for once more. */
const maxRepairs = 1;
/** Before a task whose goal has what is left of a budget held elsewhere looks again. */
const budgetWaitMs = 1000;
const isolatedMain = new URL("./isolated.ts", import.meta.url);
/** What long-term memory keeps of a result. */
const maxMemoryChars = 1200;

export function createReflector(runtime: StageRuntime, registry: Registry): StageHandler {
  return {
    async claim(payload: JobPayload, limit: number): Promise<readonly Run[]> {
      const { claimed, dispatchAgain } = await runtime.claimer.claimTasks({
        queue: "reflect",
        goal: payload.goal,
        tasks: payload.tasks,
        limit,
      });
      if (claimed.length > 0) failpoint("reflect.claimed");
      if (dispatchAgain !== null) void runtime.dispatch(dispatchAgain);
      return claimed.map((claim) => (draining) => runReflection(runtime, registry, claim, draining));
    },
    async takeUp(id, fence) {
      const claim = await runtime.store.takeUpTask({ kind: "task", id, fence }, runtime.lease);
      return claim === undefined ? null : (draining) => runReflection(runtime, registry, claim, draining);
    },
  };
}

function runReflection(
  runtime: StageRuntime,
  registry: Registry,
  claim: ClaimedTask,
  draining: AbortSignal,
): Promise<string | null> {
  const { task, fence, expiredClaims } = claim;
  const log = runtime.log.child({
    trace: traceIdOf(task.goalId),
    goal: task.goalId,
    task: task.id,
    attempt: task.attempt,
    fence,
  });
  const write = (): TaskWrite => ({ id: runtime.createId("write"), goal: task.goalId, task: task.id, fence });
  const giveUp = (reason: string): TaskWrite => ({
    ...write(),
    move: { to: "failed", reason },
    events: [{ type: "task.failed", task: task.id, data: { key: task.key, reason } }],
  });
  const release = (retry: Exclude<Retry, "never">): TaskWrite => ({
    ...write(),
    move: { to: "released", due_in_ms: runtime.awayMs(retry, claim.backoffs) },
    backoff: true,
  });
  return workClaim(
    runtime,
    {
      stage: "reflect",
      kind: "task",
      id: task.id,
      goal: task.goalId,
      attempt: task.attempt,
      fence,
      expiredClaims,
      isolatedMain,
      log,
      giveUp,
      release,
    },
    (lost) => new Reflection(runtime, registry, claim, lost).run(draining),
    draining,
  );
}

const stale: WorkEnd = { outcome: "stale", failure: null };

interface Judged {
  readonly verdict: Verdict;
  readonly journal: TaskChange;
}

class Reflection {
  readonly #runtime: StageRuntime;
  readonly #registry: Registry;
  readonly #claim: ClaimedTask;
  readonly #lost: AbortSignal;
  /** What is reserved for this claim, as the last commit said. */
  #held: Held;

  constructor(runtime: StageRuntime, registry: Registry, claim: ClaimedTask, lost: AbortSignal) {
    this.#held = claim.held;
    this.#runtime = runtime;
    this.#registry = registry;
    this.#claim = claim;
    this.#lost = lost;
  }

  async run(draining: AbortSignal): Promise<WorkEnd> {
    if (draining.aborted) return this.#release();
    const trace = this.#claim.steps.filter((step): step is ToolStep => step.kind === "tool");
    const evidence = await this.#checkEvidence(trace);
    let judged: Judged | null;
    try {
      judged = evidence.met
        ? await this.#askModel(trace, evidence)
        : { verdict: verdictOnMissingEvidence(evidence), journal: {} };
    } catch (thrown) {
      if (this.#lost.aborted) throw thrown;
      return this.#modelFailed(thrown);
    }
    if (judged === null) return stale;
    return this.#settle(judged, evidence);
  }

  /** By program, before any model is asked. */
  async #checkEvidence(trace: readonly ToolStep[]): Promise<EvidenceCheck> {
    const { task, notes } = this.#claim;
    const result = task.result ?? "";
    const workspace = createWorkspace(this.#runtime.store, task.goalId);
    const files = new Map<string, readonly string[]>();
    for (const path of evidencePaths(task, result)) {
      const bytes = await workspace.read(path);
      if (bytes !== undefined) files.set(path, new TextDecoder().decode(bytes).split(/\r?\n/));
    }
    return checkEvidence(task, result, {
      succeeded: new Set(trace.filter((step) => step.ok).map((step) => step.name)),
      effectOf: (name) => this.#registry.get(name)?.effect,
      notes,
      lines: (path) => files.get(path),
    });
  }

  /** null where the claim ended on the way. */
  async #askModel(trace: readonly ToolStep[], evidence: EvidenceCheck): Promise<Judged | null> {
    const { task, goal, steps } = this.#claim;
    const kept = steps.filter((step): step is ModelStep => step.kind === "model" && step.stage === "reflect");
    let request = reflectRequest({ goal, task, result: task.result ?? "", trace, evidence });
    const { maxOutputTokens } = request;
    let added: readonly MessageRef<string>[] = [
      { role: "user", parts: request.messages[0]?.role === "user" ? request.messages[0].parts : [] },
    ];
    let seq = 1 + Math.max(0, ...steps.filter((step) => step.stage === "execute").map((step) => step.seq));
    let before: Usage | undefined;
    for (let tries = 0; ; tries += 1, seq += 1) {
      const earlier = kept.find((step) => step.seq === seq);
      let call: JournaledModelCall | null = null;
      if (earlier === undefined) {
        const price = this.#runtime.models.price("reflect");
        const room = await makeRoom({ request, price, before }, this.#held, (change) => this.#commit(change));
        if (room.kind === "none") {
          await this.#giveBack(room.committed);
          return null;
        }
        request = room.request;
        const { response, durationMs } = await ask(
          this.#runtime.models.model,
          request,
          this.#runtime.metrics,
          this.#lost,
        );
        failpoint("reflect.answered");
        const format = this.#runtime.journalFormat();
        call = journalModelCall(
          { attempt: task.attempt, seq, stage: "reflect", request, added, elided: [], response, durationMs, format },
          task,
        );
      }
      const journal: TaskChange =
        call === null
          ? {}
          : { steps: [call.row], prompts: call.prompts, blobs: call.blobs, settle: call.settle, events: [call.event] };
      const { output, usage } = earlier ?? call!.step;
      const { message } = output;
      before = usage;
      const read = readStructured(message.text, verdictSchema);
      if (read.ok) return { verdict: read.value, journal };
      // An answer that is no verdict is no reason to believe the result.
      if (tries === maxRepairs)
        return {
          verdict: { status: "retry", reason: `the review could not be read: ${read.why}`, new_tasks: [], lesson: "" },
          journal,
        };
      const committed = await this.#commit({ ...journal, reserve: 1 });
      if (committed.outcome !== "won" || committed.spent !== null || committed.goalStatus === "paused") {
        await this.#giveBack(committed);
        return null;
      }
      request = repairRequest({ ...request, maxOutputTokens }, { message }, read.why);
      const last = request.messages.at(-1);
      added = [
        { role: "assistant", seq },
        { role: "user", parts: last?.role === "user" ? last.parts : [] },
      ];
    }
  }

  async #settle({ verdict, journal }: Judged, evidence: EvidenceCheck): Promise<WorkEnd> {
    const { task } = this.#claim;
    const move = decideReflection(task, verdict, evidence.met);
    const subtasks = move.to === "split" ? this.#subtasks(move) : [];
    const committed = await this.#commit({
      ...journal,
      move: taskMove(move),
      ...(subtasks.length > 0 && { tasks: subtasks }),
      memory: await this.#memories(move, verdict),
      events: [
        ...(journal.events ?? []),
        {
          type: "task.reflected",
          task: task.id,
          data: {
            key: task.key,
            attempt: task.attempt,
            verdict: verdict.status,
            reason: verdict.reason,
            evidence: evidence.met,
          },
        },
        moveEvent(move, task.id, task.key, task.attempt, subtasks),
      ],
    });
    if (committed.outcome !== "won") return stale;
    return move.to === "abandoned"
      ? { outcome: "failed", failure: `${task.key} abandoned: ${move.reason}` }
      : { outcome: "moved", failure: null };
  }

  #subtasks(move: Extract<ReflectionMove, { to: "split" }>): TaskRow[] {
    const { task } = this.#claim;
    return move.subtasks.map((text, index) => ({
      id: this.#runtime.createId("task"),
      key: subtaskKey(task.key, index),
      parent: task.id,
      root: task.rootId,
      text,
      tools: task.tools,
      evidence: task.evidence,
      difficulty: task.difficulty,
      depth: Math.min(task.depth + 1, maxSplitDepth),
      front: true,
      depends_on: [],
    }));
  }

  async #memories(move: ReflectionMove, verdict: Verdict): Promise<MemoryRow[]> {
    const { task } = this.#claim;
    if (!this.#runtime.memory.learns) return [];
    const entries: { kind: MemoryRow["kind"]; text: string }[] = [];
    if (move.to === "done" && task.result)
      entries.push({ kind: "task_result", text: `${task.text}\n${task.result}`.slice(0, maxMemoryChars) });
    if (verdict.lesson.trim()) entries.push({ kind: "lesson", text: verdict.lesson.trim().slice(0, maxMemoryChars) });
    if (entries.length === 0) return [];
    const vectors = await this.#runtime.memory.embed(
      entries.map((entry) => entry.text),
      this.#lost,
    );
    return entries.map((entry, index) => ({ id: this.#runtime.createId("memory"), ...entry, ...vectors[index]! }));
  }

  async #modelFailed(thrown: unknown): Promise<WorkEnd> {
    // Anything else is no word of a model: a fault of ours, which is told as one.
    if (!(thrown instanceof OuterloopError)) throw thrown;
    const { retry, message: why } = thrown;
    if (retry !== "never") return this.#release(this.#runtime.awayMs(retry, this.#claim.backoffs), true);
    const { task } = this.#claim;
    const committed = await this.#commit({
      settle: settleBilled(thrown),
      move: { to: "failed", reason: why },
      events: [{ type: "task.failed", task: task.id, data: { key: task.key, reason: why } }],
    });
    return committed.outcome === "won" ? { outcome: "failed", failure: why } : stale;
  }

  async #release(dueInMs = 0, backoff = false): Promise<WorkEnd> {
    const committed = await this.#commit({ move: { to: "released", due_in_ms: dueInMs }, backoff });
    return committed.outcome === "won" ? { outcome: "released", failure: null } : stale;
  }

  /** After a commit that this claim does not outlast. */
  async #giveBack(committed: Committed): Promise<void> {
    if (committed.outcome === "won") await this.#release(committed.spent === "wait" ? budgetWaitMs : 0);
  }

  async #commit(write: TaskChange): Promise<Committed> {
    const { task, fence } = this.#claim;
    const committed = await this.#runtime.door.commit({
      id: this.#runtime.createId("write"),
      goal: task.goalId,
      task: task.id,
      fence,
      ...write,
    });
    failpoint("reflect.committed");
    if (committed.outcome === "won") this.#held = committed.held;
    return committed;
  }
}

function taskMove(move: ReflectionMove): TaskMove {
  switch (move.to) {
    case "done":
      return { to: "done" };
    case "ready":
      return { to: "ready", hint: move.hint };
    case "split":
      return { to: "split" };
    case "abandoned":
      return { to: "abandoned", reason: move.reason };
  }
}

function moveEvent(
  move: ReflectionMove,
  task: string,
  key: string,
  attempt: number,
  subtasks: readonly TaskRow[],
): NewEvent {
  switch (move.to) {
    case "done":
      return { type: "task.done", task, data: { key } };
    case "ready":
      return { type: "task.retried", task, data: { key, attempt: attempt + 1, hint: move.hint } };
    case "split":
      return { type: "task.split", task, data: { key, into: subtasks.map((subtask) => subtask.key) } };
    case "abandoned":
      return { type: "task.abandoned", task, data: { key, reason: move.reason } };
  }
}
