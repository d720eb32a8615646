/**
 * The planner's worker: claims a goal that wants a plan, asks the model, and commits tasks or the goal's end. A plan is
 * accepted whole or not at all; what is wrong with it goes back to the model, a bounded number of times.
 */
import {
  callNeeds,
  canonicalJson,
  checkPlan,
  Conversation,
  failpoint,
  feasibleIntake,
  guardReasons,
  hearAnswers,
  intakeRequest,
  intakeSchema,
  judgePlan,
  makesFiles,
  maxQuestions,
  moveOf,
  OuterloopError,
  plainIntake,
  planRequest,
  planSchema,
  settleBilled,
  stopAnswer,
  traceIdOf,
  unmetText,
  workClaim,
  type AnswerSchema,
  type ArtifactInfo,
  type BudgetReason,
  type CheckedPlan,
  type Clarification,
  type ClaimedGoal,
  type Committed,
  type Goal,
  type GoalChange,
  type GoalEnd,
  type GoalWrite,
  type GuardCounts,
  type GuardMove,
  type GuardName,
  type Held,
  type Intake,
  type JobPayload,
  type ModelRequest,
  type ModelStep,
  type NewEvent,
  type PlannedTask,
  type QuestionRow,
  type QuestionSubject,
  type RecalledMemory,
  type Retry,
  type Run,
  type SessionTurn,
  type StageHandler,
  type StageRuntime,
  type TaskId,
  type TaskInGoal,
  type TaskRow,
  type Trip,
  type WorkEnd,
} from "@outerloop/core";
import { keyWords } from "@outerloop/core/language";
import type { Registry } from "@outerloop/skills";
import { checkGoalCitations } from "./goal-citations.ts";
import { checkGoalEvidence } from "./goal-evidence.ts";
import { composeEnding } from "./ending.ts";

/** Times that a plan is sent back with what is wrong with it. */
const maxRepairs = 2;
const maxIntakeRepairs = 1;
/** The memory window: most recent N and most similar K, so that it is deterministic. */
const memoryWindow = { recent: 4, similar: 6 } as const;
const sessionTurns = 5;
/** Before a goal that has what is left of a budget held by its tasks is planned again. */
const budgetWaitMs = 1000;
const isolatedMain = new URL("./isolated.ts", import.meta.url);

/** What a planner reads before it asks. */
interface Material {
  readonly files: readonly ArtifactInfo[];
  readonly session: readonly SessionTurn[];
  readonly memories: readonly RecalledMemory[];
  readonly tasks: readonly TaskInGoal[];
}

type Settled =
  | { readonly done: true; readonly failure: string | null }
  /** The model is asked again, with what is wrong. */
  | { readonly done: false; readonly why: string };

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
  /** With what intake makes of it. */
  #goal: Goal;
  #guards: GuardCounts;
  /** What is reserved for this claim, as the last commit said. */
  #held: Held;

  constructor(runtime: StageRuntime, registry: Registry, claim: ClaimedGoal, lost: AbortSignal) {
    this.#held = claim.held;
    this.#goal = claim.goal;
    this.#guards = claim.goal.guards;
    this.#runtime = runtime;
    this.#registry = registry;
    this.#claim = claim;
    this.#lost = lost;
  }

  async run(draining: AbortSignal): Promise<string | null> {
    const { row, tasks } = this.#claim;
    if (row.exhausted !== null) return this.#endExhausted(row.exhausted as BudgetReason, tasks);
    if (draining.aborted) return this.#release();

    const { counts, stopped } = hearAnswers(this.#guards, this.#goal.clarifications);
    if (stopped !== null) return this.#endStopped(stopped.guard, stopped.answer);
    this.#guards = counts;

    const material = await this.#readMaterial();
    try {
      const understood = await this.#understand(material);
      if (understood.kind === "ended") return understood.failure;
      return await this.#plan(understood.material);
    } catch (thrown) {
      if (this.#lost.aborted) throw thrown;
      return this.#modelFailed(thrown);
    }
  }

  /** What every prompt of a planner is made of, but for what intake adds. */
  async #readMaterial(): Promise<Material> {
    const { goal, row, tasks } = this.#claim;
    const { store, memory } = this.#runtime;
    const [files, session, memories] = await Promise.all([
      row.file_seq === 0 ? [] : store.listArtifacts(goal.id),
      store.sessionHistory(row, sessionTurns),
      memory.recall({ tenantId: goal.tenantId, query: goal.text, ...memoryWindow, signal: this.#lost }),
    ]);
    return { files: files.filter((file) => file.origin !== "observed"), session, memories, tasks };
  }

  /** Intake, once a goal and before its first plan. */
  async #understand(
    material: Material,
  ): Promise<
    | { readonly kind: "understood"; readonly material: Material }
    | { readonly kind: "ended"; readonly failure: string | null }
  > {
    const goal = this.#goal;
    if (goal.intake !== null || goal.planRound > 0 || !this.#runtime.config.intake)
      return { kind: "understood", material };
    const tools = this.#registry.specs();
    const conversation = this.#converse(intakeRequest({ goal, ...material, tools }), intakeSchema, "intake", 0);
    // Ends: an answer that cannot be read is mended `maxIntakeRepairs` times, then done without.
    for (let tries = 0; ; tries += 1) {
      const answered = await this.#askOrNot(conversation);
      if (answered.kind === "none") return { kind: "ended", failure: await this.#giveBack(answered.committed) };
      if (answered.kind === "refused") {
        // Only the plan needs a model that answers.
        const settle = settleBilled(answered.thrown);
        return this.#keepIntake(plainIntake(goal), answered.thrown.message, { settle }, material);
      }
      const { read, journal } = answered;
      if (!read.ok && tries < maxIntakeRepairs) {
        const committed = await this.#commit({ ...journal, reserve: 1 });
        if (!mayGoOn(committed)) return { kind: "ended", failure: await this.#giveBack(committed) };
        conversation.sendBack(read.why);
        continue;
      }
      const names = new Set(tools.map((tool) => tool.name));
      const intake = feasibleIntake(read.ok ? read.value : plainIntake(goal), names);
      return this.#keepIntake(intake, read.ok ? null : read.why, journal, material);
    }
  }

  /** What no try can mend is an answer too. */
  async #askOrNot<Value>(conversation: Conversation<Value>) {
    try {
      return await conversation.ask();
    } catch (thrown) {
      if (this.#lost.aborted || !(thrown instanceof OuterloopError) || thrown.retry !== "never") throw thrown;
      return { kind: "refused", thrown } as const;
    }
  }

  async #keepIntake(
    intake: Intake,
    unread: string | null,
    journal: GoalChange,
    material: Material,
  ): Promise<
    | { readonly kind: "understood"; readonly material: Material }
    | { readonly kind: "ended"; readonly failure: string | null }
  > {
    const understood: NewEvent = { type: "goal.understood", data: { ...intake, ...(unread !== null && { unread }) } };
    const change: GoalChange = { ...journal, intake, events: [...(journal.events ?? []), understood] };
    if (intake.questions.length > 0 && this.#mayAsk()) {
      const asked = intake.questions.map((each) => each.question).join("\n");
      const assumed = intake.questions.map((each) => each.default).join("\n");
      await this.#commit({ ...change, ask: this.#question("intake", asked, assumed) });
      return { kind: "ended", failure: null };
    }
    this.#goal = { ...this.#goal, intake };
    // What the plan's call needs is held by the commit before it.
    const price = this.#runtime.models.price("plan");
    const needs = callNeeds(this.#planRequest(material, null), price);
    const committed = await this.#commit({
      ...change,
      reserve: 1,
      hold: {
        tokens: needs.tokens,
        need_tokens: 0,
        micro_usd: this.#held.money ? (needs.microUsd ?? 0) : 0,
        need_micro_usd: 0,
      },
    });
    return mayGoOn(committed)
      ? { kind: "understood", material }
      : { kind: "ended", failure: await this.#giveBack(committed) };
  }

  async #plan(material: Material): Promise<string | null> {
    const { row, tasks } = this.#claim;
    const { guards: limits } = this.#runtime.config;
    const isIdle = row.plan_round > 0 && row.done_since_plan === 0 && row.live_tasks === 0;
    const idle = isIdle ? this.#guards.stall + 1 : 0;
    const stall: Trip = {
      guard: "stall",
      why: `Nothing was finished since ${idle} plan${idle === 1 ? "" : "s"}. Look at why, and plan something smaller or another way, or finish with what there is.`,
    };
    this.#guards = { ...this.#guards, stall: idle };
    if (idle >= limits.idlePlans) return this.#consequence(stall, {}, idle, limits.idlePlans);
    const trip = idle > 0 && idle === limits.idlePlans - 1 ? stall : null;

    const known = {
      keys: new Set(tasks.map((each) => each.task.key)),
      tools: new Set(this.#registry.specs().map((spec) => spec.name)),
      makesFiles: (name: string) => makesFiles(this.#registry.get(name)),
    };
    const request = this.#planRequest(material, trip);
    const conversation = this.#converse(request, planSchema, "plan", this.#goal.planRound + 1);
    // Ends: after `maxRepairs` answers that could not be used the goal does.
    for (let tries = 0; ; tries += 1) {
      const answered = await conversation.ask();
      if (answered.kind === "none") return this.#giveBack(answered.committed);
      const { read, journal } = answered;
      const checked: CheckedPlan = read.ok
        ? checkPlan(read.value, known, this.#runtime.config.payload.planTasks)
        : { kind: "invalid", why: read.why };
      const events = [
        ...(journal.events ?? []),
        ...(trip !== null && tries === 0 ? [guarded(trip, "reanchored")] : []),
      ];
      const settled = await this.#settle(checked, { ...journal, events }, material, tries === maxRepairs);
      if (settled.done) return settled.failure;
      conversation.sendBack(settled.why);
    }
  }

  #planRequest(material: Material, trip: Trip | null): ModelRequest {
    return planRequest({ goal: this.#goal, ...material, tools: this.#registry.specs(), trip });
  }

  #converse<Value>(
    request: ModelRequest,
    schema: AnswerSchema<Value>,
    stage: "intake" | "plan",
    attempt: number,
  ): Conversation<Value> {
    return new Conversation({
      runtime: this.#runtime,
      request,
      schema,
      attempt,
      seq: 1,
      kept: this.#claim.steps.filter((step): step is ModelStep => step.kind === "model" && step.stage === stage),
      task: null,
      price: this.#runtime.models.price(stage),
      held: () => this.#held,
      commit: (change) => this.#commit(change),
      lost: this.#lost,
      answered: "plan.answered",
    });
  }

  /** Commits what a plan says. Not done means that the model is asked again with `why`. */
  async #settle(checked: CheckedPlan, journal: GoalChange, material: Material, isLast: boolean): Promise<Settled> {
    switch (checked.kind) {
      case "tasks":
        return this.#takePlan(checked.tasks, journal, material, isLast);
      case "done":
        return this.#finish(checked.answer, journal, isLast);
      case "unsupported":
        return this.#end(
          journal,
          { to: "failed", reason: "unsupported", detail: checked.why, answer: checked.why },
          null,
        );
      case "nothing": {
        const { tasks } = this.#claim;
        return this.#end(journal, { to: "abandoned", detail: checked.why, ...composeEnding(tasks, checked.why) }, null);
      }
      case "invalid":
        return this.#sendBack(journal, checked.why, isLast);
    }
  }

  async #takePlan(
    planned: readonly PlannedTask[],
    journal: GoalChange,
    material: Material,
    isLast: boolean,
  ): Promise<Settled> {
    const { tasks } = this.#claim;
    const trip = judgePlan(planned, guardedGoal(this.#goal, material), keyWords, this.#runtime.config.guards);
    if (trip !== null && !this.#guards.excused.includes(trip.guard)) return this.#tripped(trip, journal, isLast);
    // What a person let through is let through once; a plan that trips over nothing begins the count anew.
    const excused = this.#guards.excused.filter((guard) => guard !== trip?.guard);
    this.#guards = { ...this.#guards, thrash: 0, drift: 0, excused };
    const committed = await this.#commitPlan(journal, planned, tasks);
    return committed.outcome === "refused" && committed.why !== "paused"
      ? this.#sendBack(journal, committed.why, isLast)
      : { done: true, failure: null };
  }

  async #tripped(trip: Trip, journal: GoalChange, isLast: boolean): Promise<Settled> {
    const strikes = this.#guards[trip.guard] + 1;
    const { strikes: limit } = this.#runtime.config.guards;
    this.#guards = { ...this.#guards, [trip.guard]: strikes };
    if (strikes < limit && !isLast) {
      const events = [...(journal.events ?? []), guarded(trip, "reanchored")];
      return this.#sendBack({ ...journal, events }, trip.why, isLast);
    }
    return { done: true, failure: await this.#consequence(trip, journal, strikes, Math.min(limit, strikes)) };
  }

  /** Telling the model has not helped: its submitter is asked where that is allowed, else the goal ends. */
  async #consequence(trip: Trip, journal: GoalChange, strikes: number, limit: number): Promise<string | null> {
    const { action } = moveOf(strikes, limit, this.#mayAsk());
    const events = [...(journal.events ?? []), guarded(trip, action)];
    if (action === "asked") {
      const text = `${trip.why}\nShall it go on all the same? Answer "${stopAnswer}", or say how it is to go on.`;
      await this.#commit({ ...journal, events, ask: this.#question(trip.guard, text, stopAnswer) });
      return null;
    }
    const { failure } = await this.#end(
      { ...journal, events },
      {
        to: "failed",
        reason: guardReasons[trip.guard],
        detail: trip.why,
        ...composeEnding(this.#claim.tasks, trip.why),
        force: true,
      },
      trip.why,
    );
    return failure;
  }

  async #endStopped(guard: GuardName, { by }: Clarification): Promise<string | null> {
    const detail = by === null ? "Nobody answered whether it shall go on." : `${by} stopped it.`;
    const ending = composeEnding(this.#claim.tasks, detail);
    const { failure } = await this.#end(
      {},
      { to: "failed", reason: guardReasons[guard], detail, ...ending, force: true },
      detail,
    );
    return failure;
  }

  #mayAsk(): boolean {
    return this.#goal.questionsWaitMs !== null && this.#goal.clarifications.length < maxQuestions;
  }

  #question(about: QuestionSubject, text: string, assumed: string): QuestionRow {
    const id = this.#runtime.createId("question");
    return { id, about, text, default: assumed, for_ms: this.#goal.questionsWaitMs ?? 0 };
  }

  /** A goal that is said to be reached ends only with what it was to leave behind. */
  async #finish(answer: string, journal: GoalChange, isLast: boolean): Promise<Settled> {
    const { store } = this.#runtime;
    const [citations, evidence] = await Promise.all([
      checkGoalCitations(store, this.#claim.row, answer),
      checkGoalEvidence(store, this.#goal, this.#claim.row, answer),
    ]);
    const broken = citations.broken.filter((each) => each.inAnswer);
    if (!evidence.met) {
      const why = `The goal is not reached, this is missing: ${unmetText(evidence)}.`;
      if (!isLast) return this.#sendBack(journal, `${why} Plan what is left to do, or correct the answer.`, false);
      const ending = composeEnding(this.#claim.tasks, why);
      return this.#end(journal, { to: "failed", reason: "no_evidence", detail: why, ...ending }, why);
    }
    if (broken.length > 0 && !isLast)
      return this.#sendBack(
        journal,
        `These citations do not hold; quote exactly or leave them out: ${broken.map((each) => `${each.path}:${each.line} "${each.quote}"`).join("; ")}`,
        isLast,
      );
    return this.#end(journal, { to: "succeeded", answer, citations }, null);
  }

  async #sendBack(journal: GoalChange, why: string, isLast: boolean): Promise<Settled> {
    if (isLast) {
      const detail = `The plan was not usable after ${maxRepairs + 1} tries: ${why}`;
      return this.#end(journal, { to: "failed", reason: "error", detail, force: true }, detail);
    }
    const committed = await this.#commit({ ...journal, reserve: 1 });
    if (!mayGoOn(committed)) return { done: true, failure: await this.#giveBack(committed) };
    return { done: false, why };
  }

  /** Ends the goal; where tasks are live meanwhile, it goes on instead and the planner is asked again when they are done. */
  async #end(
    journal: GoalChange,
    end: GoalEnd,
    failure: string | null,
  ): Promise<Extract<Settled, { readonly done: true }>> {
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
    // Anything else is no word of a model: a fault of ours, which is told as one, or a store that is away.
    if (!(thrown instanceof OuterloopError) || thrown.code === "store_unavailable") throw thrown;
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

  /** A goal that was paused meanwhile takes no plan, asks nothing and does not end: what was paid for is journaled and the claim given back. */
  async #commit(change: GoalChange): Promise<Committed> {
    const write = isSameCount(this.#guards, this.#claim.goal.guards) ? change : { ...change, guards: this.#guards };
    const committed = await this.#send(write);
    if (committed.outcome === "refused" && committed.why === "paused") {
      const { plan: _plan, end: _end, ask: _ask, memory: _memory, ...journal } = write;
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

const mayGoOn = (committed: Committed) =>
  committed.outcome === "won" && committed.spent === null && committed.goalStatus !== "paused";

function guarded({ guard, why }: Trip, action: GuardMove["action"]): NewEvent {
  return { type: "goal.guarded", data: { guard, action, why } };
}

const isSameCount = (a: GuardCounts, b: GuardCounts) => canonicalJson({ ...a }) === canonicalJson({ ...b });

/** The first plan's tasks were all written by one commit. */
function guardedGoal(goal: Goal, { files, tasks }: Material): Parameters<typeof judgePlan>[1] {
  const first = tasks[0]?.row.created_at.getTime();
  return {
    goal,
    files,
    tasks: tasks.map(({ task, row }) => ({ task, isFirst: row.created_at.getTime() === first })),
  };
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
