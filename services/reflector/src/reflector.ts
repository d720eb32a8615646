/**
 * The reflector's worker: claims a task that has a result, checks its evidence by program, asks the model for a verdict
 * only where the evidence is there, and commits verdict, moves, follow-up tasks and lesson together.
 */
import {
  callerOf,
  triesOf,
  checkEvidence,
  composeLesson,
  Conversation,
  createWorkspace,
  decideReflection,
  evidenceNeeds,
  failpoint,
  isShownByEvidence,
  makesFiles,
  maxAttempts,
  maxSplitDepth,
  OuterloopError,
  ranOutOfCalls,
  reflectRequest,
  settleBilled,
  shareEvidence,
  subtaskKey,
  traceIdOf,
  verdictOnMissingEvidence,
  verdictSchema,
  workClaim,
  type ClaimedTask,
  type Committed,
  type EvidenceCheck,
  type Held,
  type JobPayload,
  type MemoryRow,
  type ModelStep,
  type NewEvent,
  type ReflectionMove,
  type Retry,
  type Run,
  type StageHandler,
  type StageRuntime,
  type TaskChange,
  type TaskMove,
  type TaskRow,
  type TaskWrite,
  type ToolStep,
  type Verdict,
  type WorkEnd,
} from "@outerloop/core";
import type { Registry } from "@outerloop/skills";

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
  #wroteFile = false;

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
      judged = this.#judgeByEvidence(evidence) ?? (await this.#askModel(trace, evidence));
    } catch (thrown) {
      if (this.#lost.aborted) throw thrown;
      return this.#modelFailed(thrown);
    }
    if (judged === null) return stale;
    return this.#settle(judged, trace, evidence);
  }

  /** By program, before any model is asked. */
  async #checkEvidence(trace: readonly ToolStep[]): Promise<EvidenceCheck> {
    const { task, notes, goalRow } = this.#claim;
    const { store } = this.#runtime;
    const result = task.result ?? "";
    const workspace = createWorkspace(store, task.goalId);
    const effectOf = (name: string) => this.#registry.get(name)?.effect;
    const needs = evidenceNeeds(task, result, effectOf);
    const [files, writers, reachedOut, ofParts] = await Promise.all([
      Promise.all(needs.paths.map(async (path) => [path, await workspace.read(path)] as const)),
      needs.writers ? store.listWriters(task.goalId) : new Map<string, readonly string[]>(),
      needs.reachedOut ? store.listReachedOut(task.goalId, task.rootId) : [],
      // What the whole was to call, any of its parts may have called.
      task.parentId !== null && task.evidence.some((item) => "tool" in item)
        ? store.listSucceeded(goalRow, task.rootId)
        : [],
    ]);
    const decoder = new TextDecoder();
    const lines = new Map(
      files.flatMap(([path, bytes]) =>
        bytes === undefined ? [] : [[path, decoder.decode(bytes).split(/\r?\n/)] as const],
      ),
    );
    this.#wroteFile = [...writers.values()].some((tasks) => tasks.includes(task.id));
    return checkEvidence(task, result, {
      succeeded: new Set([...trace.filter((step) => step.ok).map((step) => step.name), ...ofParts]),
      effectOf,
      makesFiles: (name) => makesFiles(this.#registry.get(name)),
      notes,
      wroteFile: this.#wroteFile,
      lines: (path) => lines.get(path),
      writersOf: (path) => writers.get(path) ?? [],
      reachedOut: new Set(reachedOut),
    });
  }

  /**
   * Without what its contract asks for a task is tried again, whatever a model says. Only one that used up all its calls in
   * all its attempts is shown to a model: it may be too big, and be split. An easy task whose evidence says by itself that it is done well needs
   * no model's word, where the goal leaves it to us how often models look.
   */
  #judgeByEvidence(evidence: EvidenceCheck): Judged | null {
    const { task, goalRow } = this.#claim;
    if (!evidence.met) {
      const maySplit = task.attempt >= maxAttempts && task.depth < maxSplitDepth && ranOutOfCalls(task.result ?? "");
      return maySplit ? null : { verdict: verdictOnMissingEvidence(evidence), journal: {} };
    }
    if (this.#runtime.config.review === "always" || goalRow.planning !== "adaptive") return null;
    const reachesOut = task.tools.some((name) => this.#registry.get(name)?.effect === "external");
    if (reachesOut || !isShownByEvidence(task, this.#wroteFile)) return null;
    return {
      verdict: { status: "done", reason: "Its evidence is there.", new_tasks: [], lesson: "" },
      journal: {},
    };
  }

  /** null where the claim ended on the way. */
  async #askModel(trace: readonly ToolStep[], evidence: EvidenceCheck): Promise<Judged | null> {
    const { task, goal, steps } = this.#claim;
    const conversation = new Conversation({
      runtime: this.#runtime,
      request: reflectRequest({ goal, task, result: task.result ?? "", trace, evidence }),
      schema: verdictSchema,
      attempt: task.attempt,
      seq: 1 + Math.max(0, ...steps.filter((step) => step.stage === "execute").map((step) => step.seq)),
      kept: steps.filter((step): step is ModelStep => step.kind === "model" && step.stage === "reflect"),
      task,
      caller: callerOf(this.#claim),
      price: this.#runtime.models.price("reflect", callerOf(this.#claim)),
      held: () => this.#held,
      commit: (change) => this.#commit(change),
      lost: this.#lost,
      answered: "reflect.answered",
    });
    // Ends: an answer that cannot be read is sent back `maxRepairs` times, then stands for a retry.
    for (let tries = 0; ; tries += 1) {
      const answered = await conversation.ask();
      if (answered.kind === "none") {
        await this.#giveBack(answered.committed);
        return null;
      }
      const { read, journal } = answered;
      if (read.ok) return { verdict: read.value, journal };
      // An answer that is no verdict is no reason to believe the result.
      if (tries >= conversation.maxRepairs)
        return {
          verdict: { status: "retry", reason: `the review could not be read: ${read.why}`, new_tasks: [], lesson: "" },
          journal,
        };
      const committed = await this.#commit({ ...journal, reserve: 1 });
      if (committed.outcome !== "won" || committed.spent !== null || committed.goalStatus === "paused") {
        await this.#giveBack(committed);
        return null;
      }
      conversation.sendBack(read.why);
    }
  }

  async #settle({ verdict, journal }: Judged, trace: readonly ToolStep[], evidence: EvidenceCheck): Promise<WorkEnd> {
    const { task } = this.#claim;
    const move = decideReflection(task, verdict, evidence.met);
    const subtasks = move.to === "split" ? this.#subtasks(move) : [];
    const committed = await this.#commit({
      ...journal,
      move: taskMove(move),
      ...(subtasks.length > 0 && { tasks: subtasks }),
      memory: await this.#memories(move, trace, verdict),
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
    const by = journal.steps === undefined ? "evidence" : "model";
    this.#runtime.metrics.verdicts.inc({ verdict: verdict.status, by });
    return move.to === "abandoned"
      ? { outcome: "failed", failure: `${task.key} abandoned: ${move.reason}` }
      : { outcome: "moved", failure: null };
  }

  #subtasks(move: Extract<ReflectionMove, { to: "split" }>): TaskRow[] {
    const { task } = this.#claim;
    const ids = move.subtasks.map(() => this.#runtime.createId("task"));
    return shareEvidence(task, move.subtasks).map(({ text, evidence, after }, index) => ({
      id: ids[index]!,
      key: subtaskKey(task.key, index),
      parent: task.id,
      root: task.rootId,
      text,
      tools: task.tools,
      evidence,
      difficulty: task.difficulty,
      depth: Math.min(task.depth + 1, maxSplitDepth),
      front: true,
      depends_on: after.map((other) => ids[other]!),
    }));
  }

  async #memories(move: ReflectionMove, trace: readonly ToolStep[], verdict: Verdict): Promise<MemoryRow[]> {
    const { task } = this.#claim;
    if (!this.#runtime.memory.learns) return [];
    const entries: { kind: MemoryRow["kind"]; text: string }[] = [];
    if (move.to === "done" && task.result)
      entries.push({
        kind: "task_result",
        text: `${task.text}\n${task.result}`.slice(0, maxMemoryChars).toWellFormed(),
      });
    const lesson = composeLesson(task, trace, verdict, move);
    if (lesson !== null) entries.push({ kind: "lesson", text: lesson.slice(0, maxMemoryChars).toWellFormed() });
    if (entries.length === 0) return [];
    const vectors = await this.#runtime.memory.embed(
      task.tenantId,
      entries.map((entry) => entry.text),
      this.#lost,
    );
    return entries.map((entry, index) => ({ id: this.#runtime.createId("memory"), ...entry, ...vectors[index]! }));
  }

  async #modelFailed(thrown: unknown): Promise<WorkEnd> {
    // Anything else is no word of a model: a fault of ours, which is told as one, or a store that is away.
    if (!(thrown instanceof OuterloopError) || thrown.code === "store_unavailable") throw thrown;
    const { retry, message: why } = thrown;
    const { task } = this.#claim;
    if (retry !== "never") {
      const afterMs = this.#runtime.awayMs(retry, this.#claim.backoffs);
      const data = { key: task.key, reason: why, retry_in_ms: afterMs, ...triesOf(thrown) };
      return this.#release(afterMs, true, [{ type: "task.waiting", task: task.id, data }]);
    }
    const committed = await this.#commit({
      settle: settleBilled(thrown),
      move: { to: "failed", reason: why },
      events: [{ type: "task.failed", task: task.id, data: { key: task.key, reason: why, ...triesOf(thrown) } }],
    });
    return committed.outcome === "won" ? { outcome: "failed", failure: why } : stale;
  }

  async #release(dueInMs = 0, backoff = false, events: readonly NewEvent[] = []): Promise<WorkEnd> {
    const committed = await this.#commit({ move: { to: "released", due_in_ms: dueInMs }, backoff, events });
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
      return move.wants.length === 0
        ? { to: "done" }
        : { to: "done", replan: true, reason: `its review asks for: ${move.wants.join("; ")}` };
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
