/** A planner's claim: what it holds, and every write that goes out under it. */
import {
  overridesOf,
  type Caller,
  canonicalJson,
  Conversation,
  failpoint,
  maxQuestions,
  type AnswerSchema,
  type ClaimedGoal,
  type Committed,
  type Goal,
  type GoalChange,
  type GoalEnd,
  type GuardCounts,
  type Held,
  type ModelRequest,
  type ModelStep,
  type NewEvent,
  type PlannedTask,
  type QuestionRow,
  type QuestionSubject,
  type StageRuntime,
} from "@outerloop/core";
import { planRows } from "./plan-rows.ts";

/** Before a goal that has what is left of a budget held by its tasks is planned again. */
const budgetWaitMs = 1000;

export class PlanClaim {
  readonly runtime: StageRuntime;
  readonly claimed: ClaimedGoal;
  /** Aborts when the claim is lost. */
  readonly lost: AbortSignal;
  /** With what intake makes of it. */
  goal: Goal;
  /** As they are to be kept with the next write. */
  guards: GuardCounts;
  /** As the goal has them. */
  #keptGuards: GuardCounts;
  /** What is reserved for this claim, as the last commit said. */
  held: Held;

  constructor(runtime: StageRuntime, claimed: ClaimedGoal, lost: AbortSignal) {
    this.runtime = runtime;
    this.claimed = claimed;
    this.lost = lost;
    this.goal = claimed.goal;
    this.guards = claimed.goal.guards;
    this.#keptGuards = claimed.goal.guards;
    this.held = claimed.held;
  }

  #kept(stage: "intake" | "plan"): readonly ModelStep[] {
    return this.claimed.steps.filter((step): step is ModelStep => step.kind === "model" && step.stage === stage);
  }

  /** For whom its models are asked. */
  get caller(): Omit<Caller, "priced"> {
    const { row, backoffs } = this.claimed;
    const overrides = this.runtime.claims.overrides(row.id) ?? overridesOf(row);
    return { tenantId: row.tenant_id, goalId: row.id, overrides, waits: backoffs };
  }

  /** Behind what was journaled of this round. */
  nextSeq(stage: "intake" | "plan"): number {
    return 1 + Math.max(0, ...this.#kept(stage).map((step) => step.seq));
  }

  /** @param attempt of the journal: 0 for intake, else the round */
  converse<Value>(
    request: ModelRequest,
    schema: AnswerSchema<Value>,
    stage: "intake" | "plan",
    attempt: number,
  ): Conversation<Value> {
    const { since } = this.guards;
    return new Conversation({
      runtime: this.runtime,
      request,
      schema,
      attempt,
      seq: stage === "plan" && since.round === this.goal.planRound ? since.seq : 1,
      kept: this.#kept(stage),
      task: null,
      caller: this.caller,
      price: this.runtime.models.price(stage, this.caller),
      held: () => this.held,
      commit: (change) => this.commit(change),
      lost: this.lost,
      answered: "plan.answered",
    });
  }

  /** Whether its submitter may be asked one more thing. */
  mayAsk(): boolean {
    return this.goal.questionsWaitMs !== null && this.goal.clarifications.length < maxQuestions;
  }

  question(about: QuestionSubject, text: string, assumed: string): QuestionRow {
    const id = this.runtime.createId("question");
    return { id, about, text, default: assumed, for_ms: this.goal.questionsWaitMs ?? 0 };
  }

  /** Ends the goal; where tasks are live meanwhile, it goes on instead and the planner is asked again when they are done. */
  async end(journal: GoalChange, end: GoalEnd): Promise<"ended" | "goes_on" | "refused"> {
    const memory = end.to === "succeeded" && end.answer !== undefined ? await this.#answerMemory(end.answer) : [];
    const committed = await this.commit({ ...journal, end, memory });
    if (committed.outcome === "refused" && committed.why === "tasks are live") {
      await this.commitPlan(journal, []);
      return "goes_on";
    }
    return committed.outcome === "won" ? "ended" : "refused";
  }

  async #answerMemory(answer: string): Promise<NonNullable<GoalChange["memory"]>> {
    const { memory, createId } = this.runtime;
    if (!memory.learns) return [];
    const text = `Question: ${this.goal.text.slice(0, 500)}\nAnswer: ${answer.slice(0, 2000)}`.toWellFormed();
    const [vector] = await memory.embed(this.goal.tenantId, [text], this.lost);
    return vector === undefined ? [] : [{ id: createId("memory"), kind: "answer", text, ...vector }];
  }

  /** @param guards as they are where the plan is taken */
  commitPlan(journal: GoalChange, planned: readonly PlannedTask[], guards = this.guards): Promise<Committed> {
    const tasks = planRows(planned, this.claimed.tasks, this.runtime.createId);
    const data = { round: this.goal.planRound + 1, tasks: tasks.map((task) => task.key) };
    return this.commit({
      ...journal,
      plan: { tasks, read: this.claimed.row.plan_wanted },
      events: [...(journal.events ?? []), { type: "goal.planned", data }],
      guards,
    });
  }

  /** After a commit that this claim does not outlast. */
  async giveBack(committed: Committed): Promise<null> {
    return committed.outcome === "won" ? this.release(committed.spent === "wait" ? budgetWaitMs : 0) : null;
  }

  async release(dueInMs = 0, backoff = false, events: readonly NewEvent[] = []): Promise<null> {
    await this.commit({ release: { due_in_ms: dueInMs }, backoff, events });
    return null;
  }

  /** A goal that was paused meanwhile takes no plan, asks nothing and does not end: what was paid for is journaled and the claim given back. */
  async commit(change: GoalChange): Promise<Committed> {
    const committed = await this.#send(change);
    if (committed.outcome === "won") this.#countGuards(change);
    if (committed.outcome === "refused" && committed.why === "paused") {
      // No more than that: what it says is read again from the journal, and told when it comes to pass.
      const {
        plan: _plan,
        end: _end,
        ask: _ask,
        memory: _memory,
        intake: _intake,
        guards: _guards,
        ...journal
      } = change;
      const events = (journal.events ?? []).filter((event) => event.type === "step.model");
      await this.#send({ ...journal, events, release: { due_in_ms: 0 } });
    }
    return committed;
  }

  #countGuards({ events = [] }: GoalChange): void {
    for (const { type, data } of events)
      if (type === "goal.guarded")
        this.runtime.metrics.guards.inc({ guard: String(data?.["guard"]), action: String(data?.["action"]) });
  }

  async #send(change: GoalChange): Promise<Committed> {
    const { goal, fence } = this.claimed;
    const { guards = this.guards, ...rest } = change;
    const isKept = canonicalJson({ ...guards }) === canonicalJson({ ...this.#keptGuards });
    const write = isKept ? rest : { ...rest, guards };
    const id = this.runtime.createId("write");
    const committed = await this.runtime.door.commit({ id, goal: goal.id, fence, ...write });
    failpoint("plan.committed");
    if (committed.outcome === "won") {
      this.held = committed.held;
      this.guards = this.#keptGuards = guards;
    }
    return committed;
  }
}

/** Whether the claim goes on after a commit that moved nothing. */
export const mayGoOn = (committed: Committed) =>
  committed.outcome === "won" && committed.spent === null && committed.goalStatus !== "paused";
