/**
 * What must hold (DESIGN §5, §6 and W1–W10), looked at after every operation on the store and at every call that leaves the
 * house. Written against the design: each figure is counted anew from rows, or from what the writes asked for, never taken
 * from the counter that it is compared with.
 */
import {
  canonicalJson,
  goalMoves,
  hasGoalEnded,
  isBudgetReason,
  maxAttempts,
  maxQuestions,
  maxSends,
  maxSplitDepth,
  taskMoves,
  type Claimed,
  type ClaimedGoal,
  type ClaimRequest,
  type CommitReply,
  type Clarification,
  type DueJob,
  type GoalStatus,
  type GuardCounts,
  type GuardLimits,
  type ModelRequest,
  type ModelStepOutput,
  type Resolution,
  type SealedWrite,
  type TaskClaims,
  type TaskStatus,
  type ToolContext,
  type Write,
} from "@outerloop/core";
import type { GoalBook, ModelGoal, ModelTask, ModelWait } from "./model/rows.ts";
import { isLive, leaseLives, type Tables } from "./model/tables.ts";
import { externalTools, type Delivery, type Outside } from "./outside.ts";
import type { Actor } from "./world.ts";

export class Violation extends Error {
  readonly invariant: string;

  constructor(invariant: string, message: string) {
    super(`${invariant}: ${message}`);
    this.invariant = invariant;
  }
}

/** One operation on the store, as it was asked for and answered. */
export interface Operation {
  readonly name: string;
  readonly args: readonly unknown[];
  readonly reply: unknown;
  /** The process that asked; null for people. */
  readonly by: string | null;
}

/** What is remembered of a row to see what an operation did to it. */
interface SeenTask {
  readonly status: TaskStatus;
  readonly fence: number;
  readonly lease: string | null;
  readonly attempt: number;
  readonly result: string | null;
}
interface SeenGoal {
  readonly status: GoalStatus;
  readonly reason: string | null;
  readonly fence: number;
  readonly lease: string | null;
  readonly exhausted: string | null;
  readonly planWanted: number;
  readonly tasks: ReadonlyMap<string, SeenTask>;
}
/** What is remembered of a goal for as long as it is there. */
interface Ledger {
  seen: SeenGoal | null;
  steps: number;
  events: number;
  readonly journaled: Set<string>;
  /** By the writes that won, each counted once. */
  used: { steps: number; tokens: number; microUsd: number };
  readonly doneEffects: Map<string, string>;
  /** Of answered questions. */
  readonly answers: Map<string, string>;
  intake: string | null;
  /** Calls for a plan up to the last answer about plans. */
  heard: { readonly attempt: number; readonly calls: number };
  /** Since its last plan was taken or a question about plans was answered. */
  told: { readonly plans: number; readonly strikes: Record<"thrash" | "drift", number>; isAnswered: boolean };
}

/** Longer than a lease, a reconciler's round and the queue's fetch together. */
const restMs = 60_000;

/** As the planner has it: a plan is sent back so often. */
const maxPlanRepairs = 2;

const dead: ReadonlySet<TaskStatus> = new Set(["failed", "abandoned", "cancelled"]);

export interface ChecksOptions {
  readonly tenantCap: number;
  /** Whether a tool's calls run without asking. */
  isAuto(tool: string): boolean;
  readonly guards: GuardLimits;
}

export function createChecks(tables: Tables, outside: () => Outside, { tenantCap, isAuto, guards }: ChecksOptions) {
  const ledgers = new Map<string, Ledger>();
  const won = new Set<string>();
  const claims = new Map<string, string>();
  /** Requests for a plan that a planner's claim saw. */
  const plansRead = new Map<string, number>();
  const jobs = new Set<string>();
  /** What each task was planned to depend on, and what splits became. */
  const wants = new Map<string, readonly string[]>();
  const parts = new Map<string, readonly string[]>();

  const fail = (invariant: string, message: string): never => {
    throw new Violation(invariant, message);
  };
  const hold = (invariant: string, holds: boolean, message: () => string) => {
    if (!holds) fail(invariant, message());
  };
  const ledgerOf = (id: string): Ledger => {
    const ledger = ledgers.get(id) ?? {
      seen: null,
      steps: 0,
      events: 0,
      journaled: new Set(),
      used: { steps: 0, tokens: 0, microUsd: 0 },
      doneEffects: new Map(),
      answers: new Map(),
      intake: null,
      heard: { attempt: 0, calls: 0 },
      told: { plans: 0, strikes: { thrash: 0, drift: 0 }, isAnswered: false },
    };
    ledgers.set(id, ledger);
    return ledger;
  };
  const findTask = (id: string): ModelTask | undefined =>
    tables.books.get(tables.taskGoals.get(id) ?? "")?.tasks.find((task) => task.id === id);

  // ---- what the operation asked for ----

  function checkWrites(writes: readonly Write[], reply: CommitReply): void {
    for (const write of writes) {
      const applied = reply.writes.find((each) => each.id === write.id);
      hold("W1", applied !== undefined, () => `write ${write.id} got no answer`);
      if (applied!.outcome !== "won" || won.has(write.id)) continue;
      won.add(write.id);
      const ledger = ledgerOf(write.goal);
      const { seen } = ledger;
      const row = write.task === undefined ? seen : seen?.tasks.get(write.task);
      hold(
        "W3",
        row !== undefined && row !== null && row.fence === write.fence,
        () => `a write under fence ${write.fence} won, ${write.task ?? write.goal} had ${row?.fence}`,
      );
      hold("W3", row!.lease !== null, () => `a write won on ${write.task ?? write.goal}, which nobody had claimed`);
      ledger.used.steps += write.settle?.steps ?? 0;
      ledger.used.tokens += write.settle?.tokens ?? 0;
      ledger.used.microUsd += write.settle?.cost_micro_usd ?? 0;
      if (write.task === undefined) checkGoalWrite(write, seen!);
      else {
        if (write.move?.to === "split")
          parts.set(
            write.task,
            (write.tasks ?? []).map((task) => task.id),
          );
        for (const task of write.tasks ?? []) wants.set(task.id, task.depends_on);
      }
    }
    checkJobs(reply.jobs);
  }

  function checkGoalWrite(write: Extract<Write, { task?: never }>, before: SeenGoal): void {
    const { goal, tasks } = tables.books.get(write.goal)!;
    for (const task of write.plan?.tasks ?? []) wants.set(task.id, task.depends_on);
    if (write.plan !== undefined) {
      const planned = new Set(write.plan.tasks.map((task) => task.id as string));
      const there = tasks.filter((task) => planned.has(task.id)).length;
      const read = plansRead.get(`${write.goal} ${write.fence}`) ?? 0;
      hold("W6", there === planned.size, () => `a plan of ${planned.size} tasks brought ${there}`);
      hold(
        "W5",
        goal.plan_wanted >= before.planWanted - read,
        () => `a plan that had read ${read} of ${before.planWanted} requests left ${goal.plan_wanted}`,
      );
    }
    if (write.end?.to === "succeeded") {
      // What ended in the same batch before it was live a moment ago.
      const cut = tasks.filter(
        (task) => task.reason === "goal_ended" && before.tasks.get(task.id)?.status !== "cancelled",
      );
      hold("W6", cut.length === 0, () => `goal ${goal.id} succeeded with ${cut.length} live tasks`);
    }
  }

  function checkClaim(row: SeenTask | SeenGoal, id: string, fence: number, lease: string, by: string | null): void {
    hold("W3", fence > row.fence, () => `${id} was claimed with fence ${fence} after ${row.fence}`);
    const key = `${id} ${fence}`;
    hold("W3", !claims.has(key), () => `${id} was claimed twice with fence ${fence}: ${claims.get(key)} and ${by}`);
    claims.set(key, by ?? "");
    hold("W3", leaseLives(tables, lease), () => `${id} was claimed under lease ${lease}, which has run out`);
    hold("W3", !leaseLives(tables, row.lease), () => `${id} was claimed while ${row.lease} held it`);
  }

  function checkTaskClaims(request: ClaimRequest, lease: string, reply: TaskClaims, by: string | null): void {
    const { goal: goalId, queue, limit } = request;
    const ids: readonly string[] = request.tasks;
    hold("W7", reply.claimed.length <= limit, () => `${reply.claimed.length} claims for ${limit} slots`);
    const seen = ledgerOf(goalId).seen;
    for (const claim of reply.claimed) {
      const { id } = claim.task;
      const before = seen!.tasks.get(id)!;
      hold("W7", ids.includes(id), () => `${id} was claimed, the job did not name it`);
      checkClaim(before, id, claim.fence, lease, by);
      hold(
        "§5",
        ["planning", "running"].includes(seen!.status),
        () => `${id} was claimed in a goal that is ${seen!.status}`,
      );
      const stage = queue === "reflect" ? ["reflecting"] : ["ready", "running"];
      hold("§5", stage.includes(before.status), () => `${id} was claimed for ${queue}, it was ${before.status}`);
      for (const need of wants.get(id) ?? [])
        hold("W6", isSatisfied(need), () => `${id} was claimed before ${need} was done`);
      hold("§6", claim.held.steps >= 1, () => `${id} was claimed without a step reserved`);
    }
  }

  function checkGoalClaim(goalId: string, lease: string, claim: ClaimedGoal | undefined, by: string | null): void {
    if (claim === undefined) return;
    const before = ledgerOf(goalId).seen!;
    plansRead.set(`${goalId} ${claim.fence}`, before.planWanted);
    checkClaim(before, goalId, claim.fence, lease, by);
    hold("W5", before.planWanted > 0, () => `${goalId} was claimed for a plan that nobody wants`);
  }

  function checkJobs(due: readonly DueJob[]): void {
    for (const job of due) {
      hold(
        "W7",
        !jobs.has(`${job.queue} ${job.job}`),
        () => `the job ${job.job} was sent before: its queue may swallow it`,
      );
      jobs.add(`${job.queue} ${job.job}`);
      hold("W7", job.tasks.length <= 8, () => `the job ${job.job} carries ${job.tasks.length} tasks`);
      hold("W7", !/:|^\d+$/.test(job.job), () => `BullMQ refuses the job id ${job.job}`);
      hold("W7", (job.tasks.length === 0) === (job.queue === "plan"), () => `the job ${job.job} is of no stage`);
    }
    if (!due.some((job) => job.tasks.length > 0)) return;
    const inFlight = Map.groupBy(
      [...tables.books.values()].flatMap((book) => book.tasks.filter((task) => task.dispatched_at !== null)),
      (task) => task.tenant_id,
    );
    for (const job of due.filter((each) => each.tasks.length > 0)) {
      const tenant = tables.books.get(job.goal)!.goal.tenant_id;
      const count = inFlight.get(tenant)?.length ?? 0;
      hold("W7", count <= tenantCap, () => `${count} tasks of ${tenant} are in flight, its cap is ${tenantCap}`);
    }
  }

  // ---- what the rows are now ----

  const isSatisfied = (id: string): boolean => {
    const status = findTask(id)?.status;
    return status === "done" || (status === "split" && parts.get(id)!.every(isSatisfied));
  };
  /** What a dependency stands for now, splits resolved. */
  const leavesOf = (id: string): readonly string[] =>
    findTask(id)?.status === "split" ? parts.get(id)!.flatMap(leavesOf) : [id];

  function checkGoal(book: GoalBook, operation: string): void {
    const { goal, tasks } = book;
    const ledger = ledgerOf(goal.id);
    const { seen } = ledger;
    const before = seen?.status ?? "queued";
    hold(
      "§5",
      reaches(goalMoves, before, goal.status) &&
        (before !== "failed" || goal.status === "failed" || isBudgetReason(seen!.reason)),
      () => `goal ${goal.id} went from ${before} to ${goal.status}`,
    );
    hold("W3", goal.fence >= (seen?.fence ?? 0), () => `the fence of goal ${goal.id} went back`);
    let wantsPlan = false;
    for (const task of tasks) {
      const was = seen?.tasks.get(task.id);
      checkTask(book, task, was, goal);
      const stops = task.status === "split" || task.status === "failed" || task.status === "abandoned";
      if (stops && was !== undefined && was.status !== task.status) wantsPlan = true;
    }
    const ended = hasGoalEnded(goal.status);
    if (wantsPlan && !ended)
      hold("W5", goal.plan_wanted > 0, () => `goal ${goal.id}: a task ended badly and no plan is wanted`);
    checkCounters(book, ledger);
    checkQuestions(book, ledger, operation);
    checkGuards(book, ledger);
    checkJournal(book, ledger);
    checkWaits(book);
    checkEffects(book, ledger);
    if (ended) {
      const left = tasks.filter(isLive);
      hold("§5", left.length === 0, () => `goal ${goal.id} ${goal.status}, ${left[0]?.key} is ${left[0]?.status}`);
      hold("W3", goal.lease_id === null, () => `goal ${goal.id} ${goal.status} and is claimed`);
      hold(
        "§6",
        goal.steps_reserved + goal.tokens_reserved + goal.cost_reserved === 0,
        () => `goal ${goal.id} ${goal.status} and holds budget`,
      );
    } else if (goal.status === "running")
      hold(
        "W5",
        goal.live_tasks > 0 || goal.plan_wanted > 0,
        () => `goal ${goal.id} runs with nothing live and no plan wanted`,
      );
    const plans = goal.status === "planning" || (goal.status === "paused" && goal.paused_from === "planning");
    if (goal.lease_id !== null) hold("W3", plans, () => `goal ${goal.id} is ${goal.status} and claimed`);
    if (goal.asleep_at !== null && !ended)
      hold(
        "§6",
        goal.status === "waiting" ||
          (goal.status === "running" &&
            !tasks.some((task) => ["ready", "running", "reflecting"].includes(task.status))),
        () => `goal ${goal.id} sleeps while it works`,
      );
    if (goal.status === "waiting")
      hold(
        "§6",
        (goal.asleep_at !== null) === (goal.exhausted === null),
        () => `the wall clock of ${goal.id} runs on while its submitter is asked`,
      );
    ledger.seen = {
      status: goal.status,
      reason: goal.reason,
      fence: goal.fence,
      lease: goal.lease_id,
      exhausted: goal.exhausted,
      planWanted: goal.plan_wanted,
      tasks: new Map(
        tasks.map((task) => [
          task.id,
          { status: task.status, fence: task.fence, lease: task.lease_id, attempt: task.attempt, result: task.result },
        ]),
      ),
    };
  }

  function checkQuestions({ goal, questions, events, steps }: GoalBook, ledger: Ledger, operation: string): void {
    const isAsking = goal.status === "waiting" || (goal.status === "paused" && goal.paused_from === "waiting");
    const open = questions.filter((question) => question.status === "open");
    hold(
      "§5",
      open.length === Number(isAsking),
      () => `goal ${goal.id} is ${goal.status}, ${open.length} questions are open`,
    );
    if (isAsking) {
      hold("W5", goal.plan_wanted > 0, () => `goal ${goal.id} asks, and no plan is wanted for the answer`);
      hold("§5", operation !== "claimWork" || ledger.seen?.status === "waiting", () => `a claim makes ${goal.id} ask`);
    }
    if (ledger.seen?.status === "waiting" && goal.status !== "waiting") {
      const isAnswered = goal.status === "running" && ["deed answer", "fireDueWaits"].includes(operation);
      hold(
        "§5",
        isAnswered || goal.status === "paused" || goal.status === "cancelled",
        () => `goal ${goal.id} waited for an answer and is ${goal.status} after ${operation}`,
      );
    }
    if (questions.length > 0)
      hold("§5", goal.questions_wait_ms !== null, () => `goal ${goal.id} asks, and is not allowed to`);
    hold("§5", questions.length <= maxQuestions, () => `goal ${goal.id} asks ${questions.length} times`);
    const answered = questions.filter((question) => question.status === "answered");
    for (const { id, answer } of answered) {
      const kept = ledger.answers.get(id) ?? answer;
      hold("§5", kept === answer, () => `question ${id} was answered with ${kept}, now it is ${answer}`);
      ledger.answers.set(id, answer ?? "");
    }
    const count = (type: string) => events.filter((event) => event.type === type).length;
    const kept = goal.clarifications as readonly Clarification[];
    hold(
      "§5",
      answered.length === ledger.answers.size &&
        answered.length === count("goal.answered") &&
        canonicalJson(kept.map((each) => each.answer)) === canonicalJson(answered.map((each) => each.answer)),
      () => `goal ${goal.id} was answered ${answered.length} times, it heard ${kept.length}`,
    );
    hold("W9", count("goal.asked") === questions.length, () => `goal ${goal.id} asked more or less than it told`);

    const intake = goal.intake === null ? null : canonicalJson(goal.intake as never);
    hold("§6", ledger.intake === null || intake === ledger.intake, () => `the intake of ${goal.id} was taken twice`);
    ledger.intake = intake;
    hold(
      "§6",
      count("goal.understood") === Number(intake !== null),
      () => `goal ${goal.id} was understood ${count("goal.understood")} times`,
    );
    const calls = steps.filter((step) => step.stage === "intake").length;
    hold("§6", calls <= 2, () => `the intake of ${goal.id} took ${calls} calls`);
  }

  /** A guard that ends or asks has told the planner before, as often as it must; an answer is heard before a plan is taken. */
  function checkGuards({ goal, steps, events }: GoalBook, ledger: Ledger): void {
    const planCalls = steps.filter((step) => step.stage === "plan").length;
    const counts: Partial<GuardCounts> = goal.guards as Partial<GuardCounts>;
    for (const event of events.slice(ledger.events)) {
      if (event.type === "goal.planned") {
        hold(
          "§6",
          planCalls > ledger.told.plans,
          () => `goal ${goal.id} took a plan that was made before its last answer`,
        );
        // A plan without tasks, while others are live, is no plan that trips over nothing.
        const isPlan = (event.data["tasks"] as readonly string[]).length > 0;
        ledger.told = isPlan
          ? { plans: planCalls, strikes: { thrash: 0, drift: 0 }, isAnswered: false }
          : { ...ledger.told, plans: planCalls };
      }
      const { about } = event.data as { about?: string };
      if (event.type === "goal.answered" && about !== "intake") {
        // What was counted before stands until its planner goes on.
        ledger.told = { ...ledger.told, plans: planCalls, isAnswered: true };
        const attempt = goal.plan_round + 1;
        const calls = steps.filter((step) => step.stage === "plan" && step.attempt === attempt).length;
        ledger.heard = { attempt, calls };
      }
      if (event.type !== "goal.guarded") continue;
      const { guard, action } = event.data as { guard: keyof Ledger["told"]["strikes"] | "stall"; action: string };
      if (guard === "stall") continue;
      if (ledger.told.isAnswered) ledger.told = { ...ledger.told, strikes: { thrash: 0, drift: 0 }, isAnswered: false };
      const { told } = ledger;
      told.strikes[guard] += 1;
      const isLast = planCalls - told.plans > maxPlanRepairs;
      if (action !== "reanchored")
        hold(
          "§6",
          told.strikes[guard] >= guards.strikes || isLast,
          () =>
            `the planner of ${goal.id} was told of its ${guard} ${told.strikes[guard] - 1} times before it ${action}`,
        );
    }
    for (const guard of ["thrash", "drift"] as const)
      hold(
        "§6",
        (counts[guard] ?? 0) <= Math.min(ledger.told.strikes[guard], guards.strikes),
        () => `goal ${goal.id} counts ${counts[guard]} of ${guard}, there were ${ledger.told.strikes[guard]}`,
      );
    const lastDone = events.findLastIndex((event) => event.type === "task.done");
    // What a budget cut off finished nothing either.
    const plans = events
      .slice(lastDone + 1)
      .filter((event) => event.type === "goal.planned" || event.type === "goal.failed").length;
    hold(
      "§6",
      (counts.stallRound ?? 0) !== goal.plan_round || (counts.stall ?? 0) <= plans + Number(lastDone >= 0),
      () => `goal ${goal.id} counts ${counts.stall} idle plans, it made ${plans} since something was done`,
    );
    hold("§6", (counts.stall ?? 0) <= guards.idlePlans, () => `goal ${goal.id} counts ${counts.stall} idle plans`);
  }

  function checkTask({ needs, tasks }: GoalBook, task: ModelTask, was: SeenTask | undefined, goal: ModelGoal): void {
    const name = `task ${task.key} (${task.id})`;
    const before = was?.status ?? "pending";
    hold("§5", reaches(taskMoves, before, task.status), () => `${name} went from ${before} to ${task.status}`);
    if (was !== undefined) {
      hold("W3", task.fence >= was.fence, () => `the fence of ${name} went back`);
      const retried = was.status === "reflecting" && task.status !== "reflecting" && task.attempt === was.attempt + 1;
      hold(
        "§5",
        task.attempt === was.attempt || retried,
        () => `${name} went from attempt ${was.attempt} to ${task.attempt}`,
      );
      if (taskMoves[was.status].length === 0)
        hold("§5", task.result === was.result, () => `${name} is ${was.status} and its result changed`);
    }
    const parent = tasks.find((each) => each.id === task.parent_id);
    const root = parent === undefined ? task.id : parent.root_id;
    hold("§6", task.root_id === root, () => `${name} descends from ${root}, it says ${task.root_id}`);
    const depth = parent === undefined ? 0 : parent.depth + 1;
    hold(
      "§5",
      task.depth === depth && depth <= maxSplitDepth,
      () => `${name} has depth ${task.depth}, it is at ${depth}`,
    );
    hold("§5", task.attempt <= maxAttempts, () => `${name} is at attempt ${task.attempt}`);
    const claimable = task.status === "running" || task.status === "reflecting";
    if (task.lease_id !== null) hold("W3", claimable, () => `${name} is ${task.status} and claimed`);
    if (task.status === "done") hold("§5", task.result !== null, () => `${name} is done without a result`);
    if (!isLive(task)) return;
    hold("§5", !hasGoalEnded(goal.status), () => `${name} is ${task.status}, its goal has ${goal.status}`);
    if (task.status !== "pending" && task.status !== "ready") return;
    const needed = needs.get(task.id) ?? new Set();
    const meant = new Set((wants.get(task.id) ?? []).flatMap(leavesOf));
    hold(
      "W6",
      meant.size === needed.size && [...meant].every((id) => needed.has(id)),
      () => `${name} depends on ${[...needed].join(" ")}, and should on ${[...meant].join(" ")}`,
    );
    const open = tasks.filter((each) => meant.has(each.id) && each.status !== "done");
    hold(
      "W6",
      task.blockers === open.length,
      () => `${name} counts ${task.blockers} blockers, there are ${open.length}`,
    );
    hold(
      "W6",
      (task.status === "ready") === (open.length === 0),
      () => `${name} is ${task.status} with ${open.length} blockers`,
    );
    hold("W6", !open.some((each) => dead.has(each.status)), () => `${name} waits for what will never be done`);
  }

  function checkCounters({ goal, tasks }: GoalBook, ledger: Ledger): void {
    const equal = (invariant: string, what: string, says: number, is: number) =>
      hold(invariant, says === is, () => `goal ${goal.id} says ${what} ${says}, it is ${is}`);
    const sum = (of: (task: ModelTask) => number) => tasks.reduce((total, task) => total + of(task), 0);
    equal("W6", "live tasks", goal.live_tasks, tasks.filter(isLive).length);
    equal("W5", "waiting tasks", goal.waiting_tasks, tasks.filter((task) => task.status === "waiting").length);
    equal("§6", "steps used", goal.steps_used, ledger.used.steps);
    equal("§6", "tokens used", goal.tokens_used, ledger.used.tokens);
    equal("§6", "money used", goal.cost_micro_usd, ledger.used.microUsd);
    if (goal.ended_at === null) {
      equal("§6", "steps reserved", goal.steps_reserved, sum((task) => task.steps_reserved) + goal.plan_reserved);
      equal(
        "§6",
        "tokens reserved",
        goal.tokens_reserved,
        sum((task) => task.tokens_reserved) + goal.plan_tokens_reserved,
      );
      equal("§6", "money reserved", goal.cost_reserved, sum((task) => task.cost_reserved) + goal.plan_cost_reserved);
    }
    const within = (what: string, used: number, reserved: number, budget: number | null) =>
      hold(
        "§6",
        reserved >= 0 && (budget === null || used + reserved <= budget || (reserved === 0 && used <= budget)),
        () => `goal ${goal.id}: ${used} ${what} used and ${reserved} reserved of ${budget}`,
      );
    within("steps", goal.steps_used, goal.steps_reserved, goal.budget_steps);
    within("tokens", goal.tokens_used, goal.tokens_reserved, goal.budget_tokens);
    within("micro-dollars", goal.cost_micro_usd, goal.cost_reserved, goal.budget_micro_usd);
    tasks.forEach((task, index) =>
      hold("§5", task.number === index + 1, () => `task ${task.key} has number ${task.number}`),
    );
    hold(
      "§5",
      new Set(tasks.map((task) => task.key)).size === tasks.length,
      () => `goal ${goal.id} has two tasks of one key`,
    );
  }

  function checkJournal({ goal, steps, events, artifacts, tasks }: GoalBook, ledger: Ledger): void {
    for (; ledger.steps < steps.length; ledger.steps += 1) {
      const step = steps[ledger.steps]!;
      const key = `${step.subject_id}.${step.attempt}.${step.seq} ${step.phase}`;
      hold("W4", !ledger.journaled.has(key), () => `${key} is journaled twice`);
      ledger.journaled.add(key);
      hold(
        "W4",
        step.number === ledger.steps + 1,
        () => `${key} has number ${step.number}, it is the ${ledger.steps + 1}th`,
      );
      const task = tasks.find((each) => each.id === step.subject_id);
      const attempt = ledger.seen?.tasks.get(step.subject_id)?.attempt;
      if (task !== undefined) hold("W4", step.attempt === attempt, () => `${key} is journaled in attempt ${attempt}`);
    }
    hold(
      "W4",
      goal.step_seq === steps.length,
      () => `goal ${goal.id} counts ${goal.step_seq} steps of ${steps.length}`,
    );
    for (; ledger.events < events.length; ledger.events += 1) {
      const event = events[ledger.events]!;
      hold(
        "W9",
        event.seq === ledger.events + 1,
        () => `event ${ledger.events + 1} of ${goal.id} has number ${event.seq}`,
      );
    }
    hold(
      "W9",
      goal.event_seq === events.length,
      () => `goal ${goal.id} counts ${goal.event_seq} events of ${events.length}`,
    );
    artifacts.forEach((file, index) =>
      hold(
        "W10",
        file.version === index + 1,
        () => `file ${file.path} has version ${file.version}, it is the ${index + 1}th`,
      ),
    );
    hold(
      "W10",
      goal.file_seq === artifacts.length,
      () => `goal ${goal.id} counts ${goal.file_seq} files of ${artifacts.length}`,
    );
  }

  function checkWaits({ goal, tasks, waits, signals, steps }: GoalBook): void {
    const byTask = Map.groupBy(waits, (wait) => wait.task_id);
    for (const [taskId, own] of byTask) {
      const task = tasks.find((each) => each.id === taskId)!;
      const current = own.filter((wait) => wait.attempt === task.attempt && wait.status !== "withdrawn");
      const open = current.filter((wait) => wait.status === "open");
      if (own.some((wait) => wait.status === "open"))
        hold(
          "W5",
          task.status === "running" || task.status === "waiting",
          () => `a wait of ${task.key} is open, it is ${task.status}`,
        );
      for (const wait of open) {
        const twice = open.some((other) => other !== wait && other.seq === wait.seq);
        hold("W5", !twice, () => `call ${task.key}.${wait.attempt}.${wait.seq} waits twice`);
        hold(
          "W5",
          wait.kind !== "signal" || !hasUnread(signals, own, wait),
          () => `${task.key} waits for the signal "${wait.name}", which has come`,
        );
      }
      if (task.status !== "waiting") continue;
      for (const wait of current) {
        if (wait.status === "open" || open.some((other) => other.seq === wait.seq)) continue;
        const answered = steps.some(
          (step) =>
            step.subject_id === taskId &&
            step.attempt === wait.attempt &&
            step.seq === wait.seq &&
            step.phase === "result",
        );
        hold("W5", answered, () => `${task.key} sleeps and has not seen how ${wait.kind} ${wait.id} ended`);
      }
    }
    for (const task of tasks)
      if (task.status === "waiting")
        hold(
          "W5",
          byTask.get(task.id)?.some((wait) => wait.status === "open" && wait.attempt === task.attempt) ?? false,
          () => `${task.key} of ${goal.id} waits for nothing`,
        );
  }

  function checkEffects({ goal, effects }: GoalBook, ledger: Ledger): void {
    for (const effect of effects.values()) {
      const kept = ledger.doneEffects.get(effect.key);
      if (kept !== undefined)
        hold(
          "§6",
          effect.status === "done" && effect.result?.text === kept,
          () => `effect ${effect.key} of ${goal.id} was done and is ${effect.status}`,
        );
      if (effect.status === "done") ledger.doneEffects.set(effect.key, effect.result?.text ?? "");
    }
  }

  // ---- what leaves the house ----

  /** Whether this claim still stands: one that was lost may be in the middle of a call when it learns of it. */
  function stands(actor: Actor | null): boolean {
    const claim = actor?.claim;
    if (claim === undefined) return false;
    const row = claim.kind === "goal" ? tables.books.get(claim.id)?.goal : findTask(claim.id);
    return row !== undefined && row.fence === claim.fence && row.lease_id !== null;
  }

  const told = new Set<string>();
  /** Since when something is as it should not stay. */
  const lying = new Map<string, number>();
  /** A claim that was lost may be in the middle of a call; who was told of it begins no other. */
  function hasStopped(actor: Actor | null, what: string): void {
    const claim = actor?.claim;
    if (claim === undefined) return;
    hold("W3", !told.has(`${claim.id} ${claim.fence}`), () => `${claim.id} lost its claim, was told so, and ${what}`);
  }

  /**
   * The same call of a later attempt or a split is the same call: what left under different keys was asked for as often in one
   * attempt. What a person edited has the key of what was asked for.
   */
  function checkOccurrences({ tasks, steps }: GoalBook, root: string, tool: string, n: string): void {
    if (n.startsWith("edited")) return;
    const family = new Set(tasks.filter((task) => task.root_id === root).map((task) => task.id));
    const asked = new Map<string, number>();
    for (const step of steps) {
      if (step.kind !== "model" || step.stage !== "execute" || !family.has(step.subject_id)) continue;
      const { toolCalls } = (step.output as ModelStepOutput).message;
      const same = toolCalls.filter((call) => call.name === tool && call.args["n"] === n).length;
      const attempt = `${step.subject_id}.${step.attempt}`;
      asked.set(attempt, (asked.get(attempt) ?? 0) + same);
    }
    const sent = [...outside().deliveries.values()].flat();
    const keys = new Set(
      sent.filter((each) => each.tool === tool && each.args.n === n && family.has(each.taskId)).map((each) => each.key),
    );
    const most = Math.max(...asked.values());
    hold(
      "§6",
      keys.size <= most,
      () => `${tool}(${n}) left under ${keys.size} keys, no attempt asked for it more than ${most} times`,
    );
  }

  return {
    onStale: (id: string, fence: number) => void told.add(`${id} ${fence}`),

    after(operation: Operation): void {
      const { name, args, reply, by } = operation;
      if (reply instanceof Error) {
        // A claim under a lease that ran out is refused; nothing else is ever asked for that the store must throw at.
        hold(
          "W1",
          /^lease .* has expired$/.test(reply.message),
          () => `${name} was refused by the store: ${reply.message}`,
        );
      } else if (name === "commitWrites")
        checkWrites(
          (args[0] as readonly SealedWrite[]).map((sealed) => sealed.write),
          reply as CommitReply,
        );
      else if (name === "claimWork") {
        const [requests, lease] = args as [readonly ClaimRequest[], string];
        for (const [index, claimed] of (reply as readonly Claimed[]).entries()) {
          if (claimed.kind === "tasks") checkTaskClaims(requests[index]!, lease, claimed.claims, by);
          if (claimed.kind === "goal") checkGoalClaim(requests[index]!.goal, lease, claimed.claim, by);
        }
      } else if (name === "dispatchDue") checkJobs(reply as readonly DueJob[]);
      for (const id of tables.touched) checkGoal(tables.books.get(id)!, name);
    },

    onModelCall(request: ModelRequest, actor: Actor | null): void {
      hasStopped(actor, "asks its model");
      const claim = actor?.claim;
      if (claim === undefined || !stands(actor)) return;
      const book = tables.books.get(claim.kind === "goal" ? claim.id : tables.taskGoals.get(claim.id)!)!;
      const round = request.stage === "intake" ? 0 : book.goal.plan_round + 1;
      const attempt = claim.kind === "goal" ? round : findTask(claim.id)!.attempt;
      const journaled = book.steps.filter(
        (step) =>
          step.subject_id === claim.id &&
          step.attempt === attempt &&
          step.kind === "model" &&
          step.stage === request.stage &&
          (step.stage !== "execute" || hasSaid(step.output as ModelStepOutput)),
      ).length;
      const { heard } = ledgerOf(book.goal.id);
      const isAskedAnew = request.stage === "plan" && heard.attempt === attempt;
      const before = isAskedAnew ? heard.calls : 0;
      // An empty answer is not shown to the model that gave it, but what was wrong with it is.
      const turn =
        request.stage === "execute"
          ? request.messages.filter((message) => message.role === "assistant").length
          : request.messages.filter((message) => message.role === "user").length - 1;
      hold(
        "W4",
        journaled - before === turn,
        () => `${claim.id} asks its model for turn ${turn + 1}, ${journaled - before} are journaled`,
      );
      const room = claim.kind === "goal" ? book.goal.plan_reserved : findTask(claim.id)!.steps_reserved;
      hold("§6", room >= 1, () => `${claim.id} calls a model with no step reserved`);
    },

    onToolCall(tool: string, args: { readonly n: string }, context: ToolContext, actor: Actor | null): void {
      hasStopped(actor, `calls ${tool}`);
      if (!stands(actor)) return;
      hold("§6", findTask(context.taskId)!.steps_reserved >= 1, () => `${tool}(${args.n}) runs with no step reserved`);
      if (!args.n.startsWith("n")) return;
      const { steps } = tables.books.get(context.goalId)!;
      const journaled = steps.some(
        (step) =>
          step.phase === "result" &&
          step.subject_id === context.taskId &&
          step.kind === "tool" &&
          step.name === tool &&
          (step.input as { n?: string }).n === args.n,
      );
      hold("W4", !journaled, () => `${tool}(${args.n}) of ${context.taskId} runs again, its result is journaled`);
    },

    onDelivery({ tool, key, args, goalId, taskId }: Delivery, actor: Actor | null): void {
      // The lease is looked at right before, so nobody can have taken over; only people end a task from one moment to the next.
      const sender = findTask(taskId)!;
      hold(
        "W3",
        sender.status === "cancelled" || sender.fence === actor?.claim?.fence,
        () => `${tool}(${args.n}) of ${taskId} was sent under fence ${actor?.claim?.fence}, it has ${sender.fence}`,
      );
      const receiver = externalTools[tool as keyof typeof externalTools];
      const { waits, effects, tasks } = tables.books.get(goalId)!;
      const effect = [...effects.values()].find((each) => each.send_key === key);
      hold("§6", effect !== undefined, () => `${tool} was sent with the key ${key}, of which no intent is journaled`);
      const decided = waits.flatMap((wait) => {
        const resolution = wait.resolution as Resolution | null;
        return resolution?.by === "person" ? [{ wait, resolution }] : [];
      });
      const again = decided.filter(
        ({ wait, resolution }) => resolution.decision === "run_again" && (wait.subject as { key?: string }).key === key,
      ).length;
      const count = outside().deliveries.get(key)?.length ?? 0;
      const absent = outside().probedAbsent.get(key) ?? 0;
      const allowed =
        1 +
        again +
        (receiver === "deduplicates" ? maxSends - 1 : 0) +
        (receiver === "probed" ? Math.min(absent, maxSends - 1) : 0);
      hold(
        "§6",
        count <= allowed,
        () => `${tool} with the key ${key} reached its receiver ${count} times, ${allowed} were allowed`,
      );
      const root = tasks.find((task) => task.id === taskId)?.root_id;
      const said = decided.some(({ wait, resolution }) => {
        const ofRoot = tasks.find((task) => task.id === wait.task_id)?.root_id === root;
        if (!ofRoot || wait.name !== tool) return false;
        const approved = resolution.args ?? (wait.subject as { args?: unknown }).args;
        const yes = ["approve", "edit", "run_again"].includes(resolution.decision);
        return yes && canonicalJson(approved) === canonicalJson(args);
      });
      checkOccurrences(tables.books.get(goalId)!, root!, tool, args.n);
      hold("§6", said || isAuto(tool), () => `${tool}(${args.n}) of ${taskId} was sent, nobody approved it`);
    },

    /** Asked again and again when nothing is lost any more: what is due goes out, clocks that ran out are seen. */
    atRest(): void {
      const now = tables.now();
      const lies = (what: string, isSo: boolean) => {
        if (!isSo) return void lying.delete(what);
        const since = lying.get(what) ?? now;
        lying.set(what, since);
        hold("W8", now - since < restMs, () => `${what}, for ${(now - since) / 1000} s`);
      };
      for (const { goal, tasks } of tables.books.values()) {
        const runs = goal.status === "running" || goal.status === "planning";
        const isOver = goal.deadline_at < now && goal.asleep_at === null && goal.exhausted === null;
        lies(`the wall clock of ${goal.id} ran out and nobody saw`, runs && isOver);
        const wanted = goal.plan_wanted > 0 && goal.dispatched_at === null && goal.lease_id === null;
        lies(`a plan of ${goal.id} is due and on no queue`, runs && wanted && goal.due_at <= now);
        for (const task of tasks) {
          const moves = task.status === "ready" || task.status === "running" || task.status === "reflecting";
          const isDue = moves && task.dispatched_at === null && task.lease_id === null && task.due_at <= now;
          const inFlight = [...tables.books.values()].flatMap((book) =>
            book.tasks.filter((each) => each.tenant_id === task.tenant_id && each.dispatched_at !== null),
          );
          lies(`${task.key} of ${goal.id} is due and on no queue`, runs && isDue && inFlight.length < tenantCap);
        }
      }
    },

    /** When everything has been given time. */
    atEnd(): void {
      for (const book of tables.books.values()) {
        const { goal, tasks, artifacts, steps } = book;
        const open = tasks.filter(isLive).map((task) => `${task.key} ${task.status}`);
        hold(
          "W8",
          hasGoalEnded(goal.status),
          () =>
            `goal ${goal.id} is ${goal.status} and gets no further (plan wanted ${goal.plan_wanted}, ${open.join(", ") || "no live tasks"})`,
        );
        const written = Map.groupBy(artifacts, (file) => Buffer.from(file.bytes).toString().trim());
        for (const step of steps) {
          const n = (step.input as { n?: string }).n;
          if (step.kind !== "tool" || step.phase !== "result" || !step.ok || n?.startsWith("n") !== true) continue;
          const kept =
            step.name === "append" || step.name === "write"
              ? (written.get(n)?.length ?? 0)
              : step.name === "note"
                ? tables.memories.filter((memory) => memory.kind === "note" && memory.text === n).length
                : 1;
          hold("W10", kept === 1, () => `${step.name}(${n}) is journaled once and stands ${kept} times`);
        }
      }
    },
  };
}

const hasSaid = ({ message }: ModelStepOutput) => message.toolCalls.length > 0 || message.text.trim() !== "";

/** One operation may make two moves, as when a wait that begins is over at once. */
function reaches<Status extends string>(
  moves: Readonly<Record<Status, readonly Status[]>>,
  from: Status,
  to: Status,
): boolean {
  return from === to || moves[from].some((next) => next === to || moves[next].includes(to));
}

function hasUnread(signals: GoalBook["signals"], ofTask: readonly ModelWait[], wait: ModelWait): boolean {
  const read = ofTask
    .filter((each) => each.attempt === wait.attempt && each.name === wait.name)
    .map((each) => each.signal_number ?? 0);
  return signals.some(
    (signal) =>
      signal.name === wait.name &&
      signal.number > Math.max(0, ...read) &&
      (signal.task_id === null || signal.task_id === wait.task_id),
  );
}
