/**
 * The planner's worker: claims a goal that wants a plan, asks the model, and commits tasks or the goal's end. A plan is
 * accepted whole or not at all; what is wrong with it goes back to the model, a bounded number of times.
 */
import {
  ask,
  checkPlan,
  failpoint,
  journalModelCall,
  makeRoom,
  OuterloopError,
  planRequest,
  planSchema,
  readStructured,
  repairRequest,
  settleBilled,
  traceIdOf,
  workClaim,
  type BudgetReason,
  type CheckedPlan,
  type ClaimedGoal,
  type Committed,
  type GoalEnd,
  type Held,
  type JobPayload,
  type JournaledModelCall,
  type MessageRef,
  type ModelRequest,
  type ModelStep,
  type NewEvent,
  type PlannedTask,
  type Retry,
  type Run,
  type StageRuntime,
  type StageHandler,
  type TaskId,
  type TaskInGoal,
  type TaskRow,
  type GoalChange,
  type GoalWrite,
  type Usage,
  type WorkEnd,
} from "@outerloop/core";
import type { Registry } from "@outerloop/skills";
import { checkGoalCitations } from "./goal-citations.ts";
import { composeEnding } from "./ending.ts";

/** Times that a plan is sent back with what is wrong with it. */
const maxRepairs = 2;
/** The memory window: most recent N and most similar K, so that it is deterministic. */
const memoryWindow = { recent: 4, similar: 6 } as const;
const sessionTurns = 5;
/** Before a goal that has what is left of a budget held by its tasks is planned again. */
const budgetWaitMs = 1000;
const isolatedMain = new URL("./isolated.ts", import.meta.url);

export function createPlanner(runtime: StageRuntime, registry: Registry): StageHandler {
  return {
    async claim(payload: JobPayload): Promise<readonly Run[]> {
      const claim = await runtime.claimer.claimGoal(payload.goal);
      if (claim === undefined) return [];
      failpoint("plan.claimed");
      return [(draining) => runPlan(runtime, registry, claim, draining)];
    },
    async takeUp(id, fence) {
      const claim = await runtime.store.takeUpGoal({ kind: "goal", id, fence }, runtime.lease);
      return claim === undefined ? null : (draining) => runPlan(runtime, registry, claim, draining);
    },
  };
}

function runPlan(
  runtime: StageRuntime,
  registry: Registry,
  claim: ClaimedGoal,
  draining: AbortSignal,
): Promise<string | null> {
  const { goal, fence } = claim;
  const log = runtime.log.child({ trace: traceIdOf(goal.id), goal: goal.id, round: goal.planRound + 1, fence });
  const giveUp = (detail: string): GoalWrite => ({
    id: runtime.createId("write"),
    goal: goal.id,
    fence,
    end: { to: "failed", reason: "error", detail, force: true },
  });
  const release = (retry: Exclude<Retry, "never">): GoalWrite => ({
    id: runtime.createId("write"),
    goal: goal.id,
    fence,
    release: { due_in_ms: runtime.awayMs(retry, claim.backoffs) },
    backoff: true,
  });
  const plan = async (lost: AbortSignal): Promise<WorkEnd> => {
    const failure = await new Planning(runtime, registry, claim, lost).run(draining);
    return { outcome: failure === null ? "moved" : "failed", failure };
  };
  const work = { goal: goal.id, attempt: goal.planRound + 1, expiredClaims: claim.row.expired_claims, isolatedMain };
  return workClaim(
    runtime,
    { stage: "plan", kind: "goal", id: goal.id, fence, ...work, log, giveUp, release },
    plan,
    draining,
  );
}

/** One claim's planning. Resolves with why the goal failed, or null. */
class Planning {
  readonly #runtime: StageRuntime;
  readonly #registry: Registry;
  readonly #claim: ClaimedGoal;
  readonly #lost: AbortSignal;
  /** What is reserved for this claim, as the last commit said. */
  #held: Held;

  constructor(runtime: StageRuntime, registry: Registry, claim: ClaimedGoal, lost: AbortSignal) {
    this.#held = claim.held;
    this.#runtime = runtime;
    this.#registry = registry;
    this.#claim = claim;
    this.#lost = lost;
  }

  async run(draining: AbortSignal): Promise<string | null> {
    const { goal, row, tasks } = this.#claim;
    if (row.exhausted !== null) return this.#endExhausted(row.exhausted as BudgetReason, tasks);
    if (draining.aborted) return this.#release();

    const round = goal.planRound + 1;
    const specs = this.#registry.specs();
    const known = { keys: new Set(tasks.map((each) => each.task.key)), tools: new Set(specs.map((spec) => spec.name)) };
    let request = await this.#firstRequest(tasks);
    const { maxOutputTokens } = request;
    let before: Usage | undefined;
    let added: readonly MessageRef<string>[] = [
      { role: "user", parts: request.messages[0]?.role === "user" ? request.messages[0].parts : [] },
    ];
    /** A model step of a crashed claim that was paid for already. */
    const journaled = this.#claim.steps.filter(
      (step): step is ModelStep => step.kind === "model" && step.stage === "plan",
    );

    for (let tries = 0; tries <= maxRepairs; tries += 1) {
      const seq = tries + 1;
      const kept = journaled.find((step) => step.seq === seq);
      let call: JournaledModelCall | null = null;
      if (kept === undefined) {
        const price = this.#runtime.models.price("plan");
        const room = await makeRoom({ request, price, before }, this.#held, (change) => this.#commit(change));
        if (room.kind === "none") return this.#giveBack(room.committed);
        request = room.request;
        try {
          const { response, durationMs } = await ask(
            this.#runtime.models.model,
            request,
            this.#runtime.metrics,
            this.#lost,
          );
          failpoint("plan.answered");
          const format = this.#runtime.journalFormat();
          call = journalModelCall(
            { attempt: round, seq, stage: "plan", request, added, elided: [], response, durationMs, format },
            null,
          );
        } catch (thrown) {
          if (this.#lost.aborted) throw thrown;
          return this.#modelFailed(thrown);
        }
      }
      const { output, usage } = kept ?? call!.step;
      const { message } = output;
      before = usage;
      const read = readStructured(message.text, planSchema);
      const checked: CheckedPlan = read.ok
        ? checkPlan(read.value, known, this.#runtime.config.payload.planTasks)
        : { kind: "invalid", why: read.why };
      const settled = await this.#settle(checked, call, tasks, tries === maxRepairs);
      if (settled.done) return settled.failure;
      request = repairRequest({ ...request, maxOutputTokens }, { message }, settled.why);
      const last = request.messages.at(-1);
      added = [
        { role: "assistant", seq },
        { role: "user", parts: last?.role === "user" ? last.parts : [] },
      ];
    }
    return null;
  }

  async #firstRequest(tasks: readonly TaskInGoal[]): Promise<ModelRequest> {
    const { goal, row } = this.#claim;
    const { store, memory } = this.#runtime;
    const [files, session, memories] = await Promise.all([
      row.file_seq === 0 ? [] : store.listArtifacts(goal.id),
      store.sessionHistory(row, sessionTurns),
      memory.recall({ tenantId: goal.tenantId, query: goal.text, ...memoryWindow, signal: this.#lost }),
    ]);
    return planRequest({ goal, files, tools: this.#registry.specs(), session, tasks, memories });
  }

  /** Commits what a plan says. Not done means that the model is asked again with `why`. */
  async #settle(
    checked: CheckedPlan,
    call: JournaledModelCall | null,
    tasks: readonly TaskInGoal[],
    isLast: boolean,
  ): Promise<
    { readonly done: true; readonly failure: string | null } | { readonly done: false; readonly why: string }
  > {
    const journal = journalOf(call);
    switch (checked.kind) {
      case "tasks": {
        const committed = await this.#commitPlan(journal, checked.tasks, tasks);
        return committed.outcome === "refused" && committed.why !== "paused"
          ? this.#sendBack(journal, committed.why, isLast)
          : { done: true, failure: null };
      }
      case "done": {
        const citations = await checkGoalCitations(this.#runtime.store, this.#claim.row, checked.answer);
        const broken = citations.broken.filter((each) => each.inAnswer);
        if (broken.length > 0 && !isLast)
          return this.#sendBack(
            journal,
            `These citations do not hold; quote exactly or leave them out: ${broken.map((each) => `${each.path}:${each.line} "${each.quote}"`).join("; ")}`,
            isLast,
          );
        return this.#end(journal, { to: "succeeded", answer: checked.answer, citations }, null);
      }
      case "unsupported":
        return this.#end(
          journal,
          { to: "failed", reason: "unsupported", detail: checked.why, answer: checked.why },
          null,
        );
      case "nothing":
        return this.#end(journal, { to: "abandoned", detail: checked.why, ...composeEnding(tasks, checked.why) }, null);
      case "invalid":
        return this.#sendBack(journal, checked.why, isLast);
    }
  }

  async #sendBack(
    journal: GoalChange,
    why: string,
    isLast: boolean,
  ): Promise<
    { readonly done: true; readonly failure: string | null } | { readonly done: false; readonly why: string }
  > {
    if (isLast) {
      const detail = `The plan was not usable after ${maxRepairs + 1} tries: ${why}`;
      return this.#end(journal, { to: "failed", reason: "error", detail, force: true }, detail);
    }
    const committed = await this.#commit({ ...journal, reserve: 1 });
    if (committed.outcome !== "won" || committed.spent !== null || committed.goalStatus === "paused")
      return { done: true, failure: await this.#giveBack(committed) };
    return { done: false, why };
  }

  /** Ends the goal; where tasks are live meanwhile, it goes on instead and the planner is asked again when they are done. */
  async #end(
    journal: GoalChange,
    end: GoalEnd,
    failure: string | null,
  ): Promise<{ readonly done: true; readonly failure: string | null }> {
    const answer = end.answer;
    const vector =
      end.to === "succeeded" && answer !== undefined && this.#runtime.memory.learns
        ? (await this.#runtime.memory.embed([answerMemory(this.#claim.goal.text, answer)], this.#lost))[0]
        : undefined;
    const memory =
      vector === undefined || answer === undefined
        ? []
        : [
            {
              id: this.#runtime.createId("memory"),
              kind: "answer" as const,
              text: answerMemory(this.#claim.goal.text, answer),
              ...vector,
            },
          ];
    const committed = await this.#commit({ ...journal, end, memory });
    if (committed.outcome === "refused" && committed.why === "tasks are live") {
      await this.#commitPlan(journal, [], []);
      return { done: true, failure: null };
    }
    return { done: true, failure: committed.outcome === "won" ? failure : null };
  }

  async #endExhausted(reason: BudgetReason, tasks: readonly TaskInGoal[]): Promise<string | null> {
    const detail = describeExhausted(reason, this.#claim.row);
    const ending = composeEnding(tasks, detail);
    const citations = await checkGoalCitations(this.#runtime.store, this.#claim.row, ending.answer);
    const committed = await this.#commit({ end: { to: "failed", reason, detail, ...ending, citations } });
    // It was given more in this very moment, and goes on. One that was paused has been given back already.
    return committed.outcome === "refused" && committed.why !== "paused" ? this.#release() : null;
  }

  async #modelFailed(thrown: unknown): Promise<string | null> {
    // Anything else is no word of a model: a fault of ours, which is told as one.
    if (!(thrown instanceof OuterloopError)) throw thrown;
    const { retry, message: why } = thrown;
    if (retry === "never") {
      await this.#commit({
        end: { to: "failed", reason: "error", detail: why, force: true },
        settle: settleBilled(thrown),
      });
      return why;
    }
    const afterMs = this.#runtime.awayMs(retry, this.#claim.backoffs);
    this.#runtime.log.warn({ event: "model_away", goal: this.#claim.goal.id, afterMs, error: why });
    // Of no task: what waits is the plan.
    const data = { key: "plan", reason: why, retry_in_ms: afterMs };
    return this.#release(afterMs, true, [{ type: "task.waiting", data }]);
  }

  /** After a commit that this claim does not outlast. */
  async #giveBack(committed: Committed): Promise<null> {
    return committed.outcome === "won" ? this.#release(committed.spent === "wait" ? budgetWaitMs : 0) : null;
  }

  async #release(dueInMs = 0, backoff = false, events: readonly NewEvent[] = []): Promise<null> {
    await this.#commit({ release: { due_in_ms: dueInMs }, backoff, events });
    return null;
  }

  #commitPlan(
    journal: GoalChange,
    planned: readonly PlannedTask[],
    existing: readonly TaskInGoal[],
  ): Promise<Committed> {
    const ids = new Map<string, TaskId>(existing.map((each) => [each.task.key, each.task.id]));
    // A model that numbers every plan from t1 means new tasks by it; names that are taken get a new one.
    const keys = freshKeys(planned, new Set(ids.keys()));
    for (const task of planned) ids.set(task.id, this.#runtime.createId("task"));
    const tasks = planned.map((task): TaskRow => ({
      id: ids.get(task.id)!,
      key: keys.get(task.id)!,
      parent: null,
      root: ids.get(task.id)!,
      text: task.text,
      tools: task.tools,
      evidence: task.evidence,
      difficulty: task.difficulty,
      depth: 0,
      front: false,
      depends_on: task.depends_on.map((id) => ids.get(id)!),
    }));
    return this.#commit({
      ...journal,
      plan: { tasks, read: this.#claim.row.plan_wanted },
      events: [
        ...(journal.events ?? []),
        { type: "goal.planned", data: { round: this.#claim.goal.planRound + 1, tasks: tasks.map((task) => task.key) } },
      ],
    });
  }

  /** A goal that was paused meanwhile takes no plan and does not end: what was paid for is journaled and the claim given back. */
  async #commit(write: GoalChange): Promise<Committed> {
    const committed = await this.#send(write);
    if (committed.outcome === "refused" && committed.why === "paused") {
      const { plan: _plan, end: _end, memory: _memory, ...journal } = write;
      await this.#send({ ...journal, release: { due_in_ms: 0 } });
    }
    return committed;
  }

  async #send(write: GoalChange): Promise<Committed> {
    const { goal, fence } = this.#claim;
    const id = this.#runtime.createId("write");
    const committed = await this.#runtime.door.commit({ id, goal: goal.id, fence, ...write });
    failpoint("plan.committed");
    if (committed.outcome === "won") this.#held = committed.held;
    return committed;
  }
}

/** For people: whose budget it is, and what helps. */
function describeExhausted(
  reason: BudgetReason,
  row: Pick<ClaimedGoal["row"], "exhausted_period" | "cost_unknown">,
): string {
  const budget = reason.replace("_", " ");
  if (reason === "cost_budget" && row.cost_unknown)
    return "The price of its model is not known, so a budget in money cannot be kept.";
  switch (row.exhausted_period) {
    case null:
      return `The goal's ${budget} is spent.`;
    case "total":
      return `The tenant's ${budget} is spent. The goal can be resumed when an admin has raised it.`;
    default:
      return `The tenant's ${budget} of this ${row.exhausted_period} is spent. The goal can be resumed when the next ${row.exhausted_period} has begun or an admin has raised it.`;
  }
}

function journalOf(call: JournaledModelCall | null): GoalChange {
  return call === null
    ? {}
    : { steps: [call.row], prompts: call.prompts, blobs: call.blobs, settle: call.settle, events: [call.event] };
}

function answerMemory(question: string, answer: string): string {
  return `Question: ${question.slice(0, 500)}\nAnswer: ${answer.slice(0, 2000)}`;
}

/** Keeps a planner's names where they are new in the goal; else counts on from the highest. */
function freshKeys(planned: readonly PlannedTask[], taken: ReadonlySet<string>): ReadonlyMap<string, string> {
  const used = new Set(taken);
  let next = 1 + Math.max(0, ...[...taken].map((key) => Number(/^t(\d+)/.exec(key)?.[1] ?? 0)));
  return new Map(
    planned.map((task) => {
      let key = task.id;
      while (used.has(key)) key = `t${next++}`;
      used.add(key);
      return [task.id, key];
    }),
  );
}
