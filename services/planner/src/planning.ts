/**
 * One claim's planning: what was answered is heard, the goal understood, the model asked, and what it plans checked before it is
 * believed. A plan is accepted whole or not at all; what is wrong with it goes back to the model, a bounded number of times.
 */
import {
  triesOf,
  checkPlan,
  guardReasons,
  hasTaskEnded,
  hearAnswers,
  judgePlan,
  makesFiles,
  moveOf,
  OuterloopError,
  planRequest,
  planSchema,
  settleBilled,
  stopAnswer,
  unmetText,
  type BudgetReason,
  type CheckedPlan,
  type Clarification,
  type ClaimedGoal,
  type GoalChange,
  type GoalEnd,
  type GuardMove,
  type GuardName,
  type KnownToPlan,
  type ModelRequest,
  type NewEvent,
  type PlannedTask,
  type StageRuntime,
  type Trip,
} from "@outerloop/core";
import { language } from "@outerloop/core/language";
import type { Registry } from "@outerloop/skills";
import { composeEnding, describeExhausted } from "./ending.ts";
import { checkGoalCitations } from "./goal-citations.ts";
import { checkGoalEvidence } from "./goal-evidence.ts";
import { guardedGoal, readMaterial, type Material } from "./material.ts";
import { mayGoOn, PlanClaim } from "./plan-claim.ts";
import { understand } from "./understanding.ts";

/** Times that a plan is sent back with what is wrong with it. */
const maxRepairs = 2;

/** Of what a person is asked about. */
const maxWhyChars = 4000;

type Settled =
  | { readonly done: true; readonly failure: string | null }
  /** The model is asked again, with what is wrong. */
  | { readonly done: false; readonly why: string };

/** Resolves with why the goal failed, or null. */
export class Planning {
  readonly #registry: Registry;
  readonly #claim: PlanClaim;

  constructor(runtime: StageRuntime, registry: Registry, claimed: ClaimedGoal, lost: AbortSignal) {
    this.#registry = registry;
    this.#claim = new PlanClaim(runtime, claimed, lost);
  }

  async run(draining: AbortSignal): Promise<string | null> {
    const claim = this.#claim;
    const { row } = claim.claimed;
    if (row.exhausted !== null) return this.#endExhausted(row.exhausted as BudgetReason);
    if (draining.aborted) return claim.release();

    const { counts, stopped } = hearAnswers(claim.guards, claim.goal.clarifications);
    if (stopped !== null) return this.#endStopped(stopped.guard, stopped.answer);
    // What was planned before the answer is history: the round begins anew behind it.
    const isAnswered = counts.heard > claim.guards.heard;
    claim.guards = isAnswered ? { ...counts, since: { round: row.plan_round, seq: claim.nextSeq("plan") } } : counts;

    const material = await readMaterial(claim.runtime, claim.claimed, claim.lost);
    try {
      const goesOn = await understand(claim, material, this.#registry.specs(), () => this.#request(material, null));
      return goesOn ? await this.#plan(material) : null;
    } catch (thrown) {
      if (claim.lost.aborted) throw thrown;
      return this.#modelFailed(thrown);
    }
  }

  #request(material: Material, trip: Trip | null): ModelRequest {
    return planRequest({ goal: this.#claim.goal, ...material, tools: this.#registry.specs(), trip });
  }

  async #plan(material: Material): Promise<string | null> {
    const claim = this.#claim;
    const { config } = claim.runtime;
    const stall = this.#findStall();
    if (stall !== null && claim.guards.stall >= config.guards.idlePlans) return this.#consequence(stall, {});

    const known = this.#known();
    const conversation = claim.converse(this.#request(material, stall), planSchema, "plan", claim.goal.planRound + 1);
    // Ends: each kind of fault is sent back `maxRepairs` times, then the goal ends. One that cannot be read uses up no other's.
    const sentBack = { unusable: 0, untrue: 0 };
    for (let isFirst = true; ; isFirst = false) {
      const answered = await conversation.ask();
      if (answered.kind === "none") return claim.giveBack(answered.committed);
      const { read, journal } = answered;
      const checked: CheckedPlan = read.ok
        ? checkPlan(read.value, known, config.payload.planTasks)
        : { kind: "invalid", why: read.why };
      const told = stall !== null && isFirst && isNew(journal) ? [guarded(stall, "reanchored")] : [];
      const events = [...(journal.events ?? []), ...told];
      const fault = checked.kind === "invalid" ? "unusable" : "untrue";
      const isLast = sentBack[fault] === maxRepairs;
      const settled = await this.#settle(checked, { ...journal, events }, material, isLast);
      if (settled.done) return settled.failure;
      sentBack[fault] += 1;
      conversation.sendBack(settled.why);
    }
  }

  /** Counts plans in a row after which nothing was finished. A trip from the last but one on: the planner is told before it is too late. */
  #findStall(): Trip | null {
    const claim = this.#claim;
    const { row, tasks } = claim.claimed;
    const { plan_round: round } = row;
    const planned = tasks.filter(({ task }) => task.parentId === null);
    const lastPlanAt = Math.max(0, ...planned.map((each) => each.row.created_at.getTime()));
    const hasFinished = tasks.some(
      ({ task, row: { ended_at } }) => task.status === "done" && (ended_at?.getTime() ?? 0) >= lastPlanAt,
    );
    const isIdle = round > 0 && row.live_tasks === 0 && !hasFinished;
    const { stall, stallRound } = claim.guards;
    if (!isIdle && stall > 0) claim.guards = { ...claim.guards, stall: 0 };
    // A round that is taken up again counts once.
    if (isIdle && stallRound !== round) claim.guards = { ...claim.guards, stall: stall + 1, stallRound: round };
    const idle = claim.guards.stall;
    if (idle === 0 || idle < claim.runtime.config.guards.idlePlans - 1) return null;
    const why = `Nothing was finished since ${idle} plan${idle === 1 ? "" : "s"}. Look at why, and plan something smaller or another way, or finish with what there is.`;
    return { guard: "stall", why };
  }

  #known(): KnownToPlan {
    return {
      keys: new Set(this.#claim.claimed.tasks.map((each) => each.task.key)),
      tools: new Set(this.#registry.specs().map((spec) => spec.name)),
      makesFiles: (name) => makesFiles(this.#registry.get(name)),
    };
  }

  /** Commits what a plan says. Not done means that the model is asked again with `why`. */
  async #settle(checked: CheckedPlan, journal: GoalChange, material: Material, isLast: boolean): Promise<Settled> {
    // It has not seen what comes of work that is under way, which may have ended since: it is asked again when all has.
    if ((checked.kind === "done" || checked.kind === "nothing") && this.#hasLive()) return this.#waitForLive(journal);
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
      case "nothing":
        return this.#end(journal, { to: "abandoned", detail: checked.why, ...this.#composed(checked.why) }, null);
      case "invalid":
        return this.#sendBack(journal, checked.why, isLast);
    }
  }

  #hasLive(): boolean {
    return this.#claim.claimed.tasks.some(({ task }) => !hasTaskEnded(task.status));
  }

  async #waitForLive(journal: GoalChange): Promise<Settled> {
    await this.#claim.commitPlan(journal, []);
    return { done: true, failure: null };
  }

  async #takePlan(
    planned: readonly PlannedTask[],
    journal: GoalChange,
    material: Material,
    isLast: boolean,
  ): Promise<Settled> {
    const claim = this.#claim;
    const trip = judgePlan(planned, guardedGoal(claim.goal, material), language, claim.runtime.config.guards);
    if (trip !== null && !claim.guards.excused.includes(trip.guard)) return this.#tripped(trip, journal, isLast);
    // What a person let through is let through once; a plan that trips over nothing begins the count anew.
    const excused = claim.guards.excused.filter((guard) => guard !== trip?.guard);
    const committed = await claim.commitPlan(journal, planned, { ...claim.guards, thrash: 0, drift: 0, excused });
    return committed.outcome === "refused" && committed.why !== "paused"
      ? this.#sendBack(journal, committed.why, isLast)
      : { done: true, failure: null };
  }

  async #tripped(trip: Trip, journal: GoalChange, isLast: boolean): Promise<Settled> {
    const claim = this.#claim;
    // A plan that was journaled by an earlier claim was counted with it.
    const counted = claim.guards[trip.guard];
    const strikes = Math.max(1, counted + (isNew(journal) ? 1 : 0));
    const isEnough = strikes >= claim.runtime.config.guards.strikes || isLast;
    // Nothing that is under way is cut off for a plan that was not taken: it is judged when all has ended.
    if (isEnough && this.#hasLive()) return this.#waitForLive(journal);
    claim.guards = { ...claim.guards, [trip.guard]: strikes };
    if (!isEnough) {
      const told = strikes > counted ? [guarded(trip, "reanchored")] : [];
      return this.#sendBack({ ...journal, events: [...(journal.events ?? []), ...told] }, trip.why, isLast);
    }
    return { done: true, failure: await this.#consequence(trip, journal) };
  }

  /** Telling the model has not helped: its submitter is asked where that is allowed, else the goal ends. */
  async #consequence(trip: Trip, journal: GoalChange): Promise<string | null> {
    const claim = this.#claim;
    const { action } = moveOf(claim.mayAsk());
    const events = [...(journal.events ?? []), guarded(trip, action)];
    if (action === "asked") {
      const text = `${trip.why.slice(0, maxWhyChars).toWellFormed()}\nShall it go on all the same? Answer "${stopAnswer}", or say how it is to go on.`;
      await claim.commit({ ...journal, events, ask: claim.question(trip.guard, text, stopAnswer) });
      return null;
    }
    return this.#fail({ ...journal, events }, trip.guard, trip.why);
  }

  #endStopped(guard: GuardName, { by }: Clarification): Promise<string | null> {
    return this.#fail({}, guard, by === null ? "Nobody answered whether it shall go on." : `${by} stopped it.`);
  }

  async #fail(journal: GoalChange, guard: GuardName, detail: string): Promise<string | null> {
    const end: GoalEnd = { to: "failed", reason: guardReasons[guard], detail, ...this.#composed(detail), force: true };
    return (await this.#end(journal, end, detail)).failure;
  }

  /** A goal that is said to be reached ends only with what it was to leave behind. */
  async #finish(answer: string, journal: GoalChange, isLast: boolean): Promise<Settled> {
    const { goal, claimed, runtime } = this.#claim;
    const [citations, evidence] = await Promise.all([
      checkGoalCitations(runtime.store, claimed.row, answer),
      checkGoalEvidence(runtime.store, goal, claimed.row, answer, claimed.tasks),
    ]);
    const broken = citations.broken.filter((each) => each.inAnswer);
    if (!evidence.met) {
      const why = `The goal is not reached. What must hold and does not: ${unmetText(evidence)}.`;
      if (!isLast) return this.#sendBack(journal, `${why} Plan what is left to do, or correct the answer.`, false);
      return this.#end(journal, { to: "failed", reason: "no_evidence", detail: why, ...this.#composed(why) }, why);
    }
    if (broken.length > 0 && !isLast) {
      const named = broken.map((each) => `${each.path}:${each.line} "${each.quote}"`).join("; ");
      return this.#sendBack(journal, `These citations do not hold; quote exactly or leave them out: ${named}`, isLast);
    }
    return this.#end(journal, { to: "succeeded", answer, citations }, null);
  }

  async #sendBack(journal: GoalChange, why: string, isLast: boolean): Promise<Settled> {
    if (isLast) {
      const detail = `The plan was not usable after ${maxRepairs + 1} tries: ${why}`;
      return this.#end(journal, { to: "failed", reason: "error", detail, force: true }, detail);
    }
    const committed = await this.#claim.commit({ ...journal, reserve: 1 });
    if (!mayGoOn(committed)) return { done: true, failure: await this.#claim.giveBack(committed) };
    return { done: false, why };
  }

  async #end(
    journal: GoalChange,
    end: GoalEnd,
    failure: string | null,
  ): Promise<Extract<Settled, { readonly done: true }>> {
    const ended = await this.#claim.end(journal, end);
    return { done: true, failure: ended === "ended" ? failure : null };
  }

  /** What it says where no plan gave a final answer. */
  #composed(why: string): { readonly answer: string } {
    return composeEnding(this.#claim.claimed.tasks, why);
  }

  async #endExhausted(reason: BudgetReason): Promise<string | null> {
    const { runtime, claimed } = this.#claim;
    const detail = describeExhausted(reason, claimed.row);
    const ending = this.#composed(detail);
    const citations = await checkGoalCitations(runtime.store, claimed.row, ending.answer);
    const committed = await this.#claim.commit({ end: { to: "failed", reason, detail, ...ending, citations } });
    // It was given more in this very moment, and goes on. One that was paused has been given back already.
    return committed.outcome === "refused" && committed.why !== "paused" ? this.#claim.release() : null;
  }

  async #modelFailed(thrown: unknown): Promise<string | null> {
    // Anything else is no word of a model: a fault of ours, which is told as one, or a store that is away.
    if (!(thrown instanceof OuterloopError) || thrown.code === "store_unavailable") throw thrown;
    const { runtime, claimed } = this.#claim;
    const { retry, message: why } = thrown;
    if (retry === "never") {
      const end: GoalEnd = { to: "failed", reason: "error", detail: why, force: true };
      await this.#claim.commit({ end, settle: settleBilled(thrown) });
      return why;
    }
    const afterMs = runtime.awayMs(retry, claimed.backoffs);
    runtime.log.warn({ event: "model_away", goal: claimed.goal.id, afterMs, error: why });
    // Of no task: what waits is the plan.
    const data = { key: "plan", reason: why, retry_in_ms: afterMs, ...triesOf(thrown) };
    return this.#claim.release(afterMs, true, [{ type: "task.waiting", data }]);
  }
}

/** Whether a call was made by this claim; one that an earlier claim journaled had its consequences journaled with it. */
const isNew = (journal: GoalChange) => journal.steps !== undefined;

function guarded({ guard, why }: Trip, action: GuardMove["action"]): NewEvent {
  return { type: "goal.guarded", data: { guard, action, why } };
}
