/**
 * The executor's worker: claims ready tasks, runs the ReAct machine of `agent/execute.ts` and journals every step before
 * the next begins (DESIGN §1.3). Whatever ends the process, another goes on from the journal in the same attempt.
 *
 * A run ends in one of four ways: the task moves on (reflecting, failed), its claim is given back (drain, pause, budget,
 * a model that is away), or its claim is found lost, and nothing more is written.
 */
import {
  ask,
  callerOf,
  executionParts,
  failpoint,
  hasTaskEnded,
  journalModelCall,
  maxWaitMs,
  makeRoom,
  nextCallHold,
  nextExecutionMove,
  noResult,
  OuterloopError,
  settleBilled,
  traceIdOf,
  triesOf,
  workClaim,
  type AssistantMessage,
  type Caller,
  type ClaimedTask,
  type Committed,
  type ExecutionMove,
  type ExecutionState,
  type Held,
  type JobPayload,
  isHash,
  type JsonObject,
  type ModelStep,
  type NewEvent,
  type Retry,
  type Run,
  type StageRuntime,
  type Settlement,
  type StageHandler,
  type Step,
  type TaskChange,
  type TaskMove,
  type TaskWrite,
  type ToolSpec,
  type WorkEnd,
} from "@outerloop/core";
import type { Registry } from "@outerloop/skills";
import { createToolRunner, type ToolRunner } from "./tool-runner.ts";

/** Memories that seed a task. */
const recalledMemories = 5;
const sessionTurns = 5;
/** From here on what is waited for is shown as a wait. */
const longWaitMs = 30_000;
/** Such waits in a row, each as long as the provider says: the wall clock does not end them. */
const maxModelWaits = 100;

/** Tool calls of one turn that are looked at, whether they run or not. */
const maxCallsPerTurn = 64;
/** Before a task whose goal has its last steps reserved elsewhere looks again. */
const budgetWaitMs = 1000;
const isolatedMain = new URL("./isolated.ts", import.meta.url);

export function createExecutor(runtime: StageRuntime, registry: Registry): StageHandler {
  return {
    async claim(payload: JobPayload, limit: number): Promise<readonly Run[]> {
      const askedAt = performance.now();
      const { claimed, dispatchAgain, eventSeq } = await runtime.claimer.claimTasks({
        queue: "execute",
        goal: payload.goal,
        tasks: payload.tasks,
        limit,
      });
      if (claimed.length > 0) failpoint("execute.claimed");
      if (eventSeq !== null) runtime.bus.publish(payload.goal, eventSeq);
      if (dispatchAgain !== null) void runtime.dispatch(dispatchAgain);
      return claimed.map((claim) => (draining) => runTask(runtime, registry, claim, askedAt, draining));
    },
    async takeUp(id, fence) {
      const askedAt = performance.now();
      const claim = await runtime.store.takeUpTask({ kind: "task", id, fence }, runtime.lease);
      return claim === undefined ? null : (draining) => runTask(runtime, registry, claim, askedAt, draining);
    },
  };
}

function runTask(
  runtime: StageRuntime,
  registry: Registry,
  claim: ClaimedTask,
  askedAt: number,
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
  log.info({ event: claim.steps.length === 0 ? "task_started" : "task_taken_up", steps: claim.steps.length });
  const write = (): TaskWrite => ({ id: runtime.createId("write"), goal: task.goalId, task: task.id, fence });
  const giveUp = (reason: string): TaskWrite => ({
    ...write(),
    move: { to: "failed", reason },
    events: [{ type: "task.failed", task: task.id, data: { key: task.key, reason } }],
  });
  let execution: Execution | undefined;
  const release = (retry: Exclude<Retry, "never">): TaskWrite => ({
    ...write(),
    move: { to: "released", due_in_ms: runtime.awayMs(retry, execution?.backoffs ?? claim.backoffs) },
    backoff: true,
  });
  return workClaim(
    runtime,
    {
      stage: "execute",
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
    (lost) => (execution = new Execution(runtime, registry, claim, askedAt, lost)).run(draining),
    draining,
  );
}

/** One claim's run. Holds what the loop needs; every write goes through `commit`. */
class Execution {
  readonly #runtime: StageRuntime;
  readonly #claim: ClaimedTask;
  readonly #lost: AbortSignal;
  readonly #tools: readonly ToolSpec[];
  readonly #toolRunner: ToolRunner;
  #steps: readonly Step[];
  /** What is reserved for this claim, as the last commit said. */
  #held: Held;
  /** Times in a row that it was given back for something that was away. */
  #backoffs: number;
  #parts: readonly string[] = [];

  constructor(runtime: StageRuntime, registry: Registry, claim: ClaimedTask, askedAt: number, lost: AbortSignal) {
    this.#runtime = runtime;
    this.#claim = claim;
    this.#lost = lost;
    this.#held = claim.held;
    this.#backoffs = claim.backoffs;
    this.#tools = registry.specs(claim.task.tools.length > 0 ? claim.task.tools : undefined);
    this.#toolRunner = createToolRunner(runtime, registry, claim, lost, {
      commit: (change) => this.#commit(change),
      reserved: () => this.#held.steps,
      stands: () => runtime.leaseHolds(askedAt),
    });
    // A reflection that crashed may have journaled steps of its own in this attempt.
    this.#steps = claim.steps.filter((step) => step.stage === "execute");
  }

  get #caller(): Caller {
    const caller = callerOf(this.#claim);
    const overrides = this.#runtime.claims.overrides(this.#claim.task.id) ?? caller.overrides ?? [];
    return { ...caller, overrides, waits: this.#backoffs };
  }

  get backoffs(): number {
    return this.#backoffs;
  }

  async run(draining: AbortSignal): Promise<WorkEnd> {
    failpoint("execute.claimed");
    this.#parts = await this.#loadParts();
    // Ends: the machine ends (see nextExecutionMove), or a commit says that this claim must.
    for (;;) {
      if (draining.aborted) return this.#release();
      const move = nextExecutionMove(this.#state());
      const end = await this.#perform(move);
      if (end !== null) return end;
    }
  }

  #state(): ExecutionState {
    return {
      task: this.#claim.task,
      parts: this.#parts,
      tools: this.#tools,
      steps: this.#steps,
      limits: {
        maxToolCalls: this.#runtime.config.maxToolCalls,
        maxRequestChars: this.#runtime.config.contextChars,
      },
    };
  }

  async #perform(move: ExecutionMove): Promise<WorkEnd | null> {
    switch (move.kind) {
      case "model":
        return this.#callModel(move);
      case "tools":
        return this.#callTools(move);
      case "finish":
        return this.#move({ to: "reflecting", result: move.result }, null);
      case "give_up":
        // An attempt without a result is judged like any other: the reflector retries, splits or abandons.
        return this.#move({ to: "reflecting", result: noResult(move.reason) }, null);
    }
  }

  async #callModel(move: Extract<ExecutionMove, { kind: "model" }>): Promise<WorkEnd | null> {
    const { task } = this.#claim;
    const price = this.#runtime.models.price("execute", this.#caller);
    const before = this.#steps.findLast((each) => each.kind === "model")?.usage;
    const room = await makeRoom({ request: move.request, price, before }, this.#held, (change) => this.#commit(change));
    if (room.kind === "none") return this.#after(room.committed);
    const { request } = room;
    let step: ModelStep;
    let write: TaskChange;
    try {
      const { response: answer, durationMs } = await ask(request, {
        model: this.#runtime.models.model,
        metrics: this.#runtime.metrics,
        signal: this.#lost,
        redactor: this.#runtime.redactor,
        text: this.#runtime.texts.of(task.goalId, {
          task: task.key,
          stage: "execute",
          attempt: task.attempt,
          seq: move.seq,
          output: null,
        }),
        caller: { ...this.#caller, priced: this.#held.money },
      });
      failpoint("execute.answered");
      const response = { ...answer, message: boundCalls(answer.message) };
      const journaled = journalModelCall(
        {
          attempt: task.attempt,
          seq: move.seq,
          stage: "execute",
          request,
          added: move.added,
          elided: move.elided,
          response,
          durationMs,
          format: this.#runtime.journalFormat(),
        },
        task,
      );
      step = journaled.step;
      write = {
        steps: [journaled.row],
        prompts: journaled.prompts,
        blobs: journaled.blobs,
        settle: journaled.settle,
        events: [journaled.event],
      };
    } catch (thrown) {
      if (this.#lost.aborted) return { outcome: "stale", failure: null };
      return this.#modelFailed(thrown);
    }
    const { toolCalls } = step.output.message;
    // What follows from it alone goes with it.
    const next = nextExecutionMove({ ...this.#state(), steps: [...this.#steps, step] });
    const finishes = next.kind === "finish";
    const committed = await this.#commit(
      finishes
        ? { ...write, move: { to: "reflecting", result: next.result } }
        : {
            ...write,
            reserve: toolCalls.length === 0 ? 1 : Math.min(toolCalls.length, this.#callsLeft()),
            hold: nextCallHold(step.usage, toolCalls.length, { request: move.request, price }, this.#held),
          },
    );
    failpoint("execute.committed");
    this.#steps = [...this.#steps, step];
    return finishes && committed.outcome === "won" ? { outcome: "moved", failure: null } : this.#after(committed);
  }

  /** Calls past these are answered without running, so they need no step. */
  #callsLeft(): number {
    const made = this.#steps.filter((step) => step.kind === "tool").length;
    return Math.max(this.#runtime.config.maxToolCalls - made, 0);
  }

  async #callTools(move: Extract<ExecutionMove, { kind: "tools" }>): Promise<WorkEnd | null> {
    const before = this.#steps.filter((step) => step.kind === "tool");
    const turnSeq = Math.max(...this.#steps.filter((step) => step.kind === "model").map((step) => step.seq));
    const ran = await this.#toolRunner.run(move.calls, before, turnSeq);
    this.#steps = [...this.#steps, ...ran.steps];
    switch (ran.kind) {
      case "ran":
        return this.#after(ran.committed);
      case "asleep":
        return { outcome: "waiting", failure: null };
      case "later":
        return this.#release(ran.afterMs);
      case "failed":
        return this.#move({ to: "failed", reason: ran.reason }, ran.reason);
    }
  }

  async #modelFailed(thrown: unknown): Promise<WorkEnd> {
    // Anything else is no word of a model: a fault of ours, which is told as one.
    if (!(thrown instanceof OuterloopError)) throw thrown;
    const { retry, message: why } = thrown;
    if (retry === "never")
      return this.#move({ to: "failed", reason: why }, why, { settle: settleBilled(thrown), told: triesOf(thrown) });
    // Waiting is a row, not a slot: somebody goes on when it is due, until the goal's budgets end it.
    const afterMs = this.#runtime.awayMs(retry, this.#backoffs);
    if (afterMs >= longWaitMs && retry !== "backoff") return this.#sleep(afterMs, thrown);
    this.#runtime.log.warn({
      event: "model_away",
      goal: this.#claim.task.goalId,
      task: this.#claim.task.id,
      afterMs,
      error: why,
    });
    const { task } = this.#claim;
    const data = { key: task.key, reason: why, retry_in_ms: afterMs, ...triesOf(thrown) };
    return this.#release(afterMs, true, [{ type: "task.waiting", task: task.id, data }]);
  }

  /** A provider that says to come back much later is waited for like anything else: people see it, and the wall clock stands still. */
  async #sleep(forMs: number, thrown: OuterloopError): Promise<WorkEnd> {
    const { task } = this.#claim;
    const { message: why } = thrown;
    // A limit of our own is no failure of anybody, however long the queue.
    if (this.#backoffs >= maxModelWaits && thrown.code !== "held_back") {
      const reason = `the model's provider put it off ${maxModelWaits} times in a row: ${why}`;
      return this.#move({ to: "failed", reason }, reason);
    }
    const seq = Math.max(0, ...this.#steps.map((step) => step.seq)) + 1;
    let asked = false;
    // Ends: a refusal means that something came meanwhile, and what can come is limited.
    for (;;) {
      const { wakes, bySeq } = await this.#runtime.store.loadWaits(task.id, task.attempt);
      const isOpen = bySeq.get(seq)?.resolution === null;
      if (!isOpen && asked) return this.#release();
      const committed = await this.#commit(
        isOpen
          ? { move: { to: "waiting", wakes } }
          : {
              backoff: true,
              waits: [
                {
                  id: this.#runtime.createId("wait"),
                  attempt: task.attempt,
                  seq,
                  kind: "timer",
                  name: "model",
                  subject: { why, ...(triesOf(thrown) as JsonObject) },
                  for_ms: Math.min(forMs, maxWaitMs),
                  on_deadline: "continue",
                },
              ],
            },
      );
      if (committed.outcome === "stale") return { outcome: "stale", failure: null };
      if (isOpen && committed.outcome === "won") return { outcome: "waiting", failure: null };
      asked = true;
    }
  }

  async #move(
    move: TaskMove,
    failure: string | null,
    { settle, told }: { readonly settle?: Settlement; readonly told?: object } = {},
  ): Promise<WorkEnd> {
    const events =
      failure === null
        ? []
        : [
            {
              type: "task.failed" as const,
              task: this.#claim.task.id,
              data: { key: this.#claim.task.key, reason: failure, ...told },
            },
          ];
    const committed = await this.#commit({ move, events, ...(settle !== undefined && { settle }) });
    return committed.outcome === "won"
      ? { outcome: failure === null ? "moved" : "failed", failure }
      : { outcome: "stale", failure: null };
  }

  async #release(dueInMs = 0, backoff = false, events: readonly NewEvent[] = []): Promise<WorkEnd> {
    const committed = await this.#commit({ move: { to: "released", due_in_ms: dueInMs }, backoff, events });
    return { outcome: committed.outcome === "won" ? "released" : "stale", failure: null };
  }

  /** Whether the loop goes on after a commit that moved nothing. */
  async #after(committed: Committed): Promise<WorkEnd | null> {
    if (committed.outcome !== "won") return { outcome: "stale", failure: null };
    // The planner ends a goal whose budget is spent; a paused goal starts nothing new.
    if (committed.spent === "wait") return this.#release(budgetWaitMs);
    if (committed.spent !== null || committed.goalStatus === "paused") return this.#release();
    return null;
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
    if (committed.outcome === "won") this.#held = committed.held;
    if (write.steps !== undefined) this.#backoffs = 0;
    return committed;
  }

  /** The first message: as journaled where the attempt has begun, else from what is known now. */
  async #loadParts(): Promise<readonly string[]> {
    const { task, goal, goalRow, dependencies } = this.#claim;
    const { store } = this.#runtime;
    const begun = this.#steps.find((step): step is ModelStep => step.kind === "model");
    const first = begun?.input.added[0];
    if (first?.role === "user") {
      const texts = await store.loadTexts(goalRow, first.parts.filter(isHash));
      return first.parts.map((part) => (isHash(part) ? (texts.get(part) ?? "") : part.text));
    }
    const [session, memories] = await Promise.all([
      store.sessionHistory(goalRow, sessionTurns),
      this.#runtime.memory.recall({
        tenantId: task.tenantId,
        query: task.text,
        similar: recalledMemories,
        recent: 0,
        signal: this.#lost,
      }),
    ]);
    return executionParts(task, {
      goal,
      session,
      dependencies: dependencies.filter((each) => hasTaskEnded(each.status)),
      memories,
    });
  }
}

/** Leaves out what no model means to ask for in one turn. What its provider bound to the whole turn goes too. */
function boundCalls(message: AssistantMessage): AssistantMessage {
  if (message.toolCalls.length <= maxCallsPerTurn) return message;
  return { role: "assistant", text: message.text, toolCalls: message.toolCalls.slice(0, maxCallsPerTurn) };
}
