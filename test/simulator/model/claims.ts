/** Claims (W3), leases and dispatch (W7) of the model. */
import {
  journalFormat,
  type Claimed,
  type ClaimedGoal,
  type ClaimedTask,
  type ClaimRequest,
  type GoalId,
  type LeaseId,
  type CurrentClaim,
  type OwnClaim,
  type Step,
  type TaskClaims,
  type TaskId,
} from "@outerloop/core";
import { claimMicroUsd, claimTokens, heldBy, reserveBudget } from "./budgets.ts";
import { listDependencies, listTasks, notesOf, toGoalOf, toStepOf, toTaskOf } from "./reads.ts";
import { toGoalRow, type DueJob, type GoalBook, type ModelTask } from "./rows.ts";
import {
  appendEvents,
  dueUnlessPaused,
  findTask,
  hold,
  leaseLives,
  moveGoalTo,
  moveTaskTo,
  type Tables,
} from "./tables.ts";

/** A claim that cannot be begun again soon is looked at after this. */
const spentMs = 1000;

function expectLease(tables: Tables, lease: string): void {
  if (!leaseLives(tables, lease)) throw Object.assign(new Error(`lease ${lease} has expired`), { code: "55000" });
}

/** One claim after the other, in one transaction. */
export function claimWork(
  tables: Tables,
  requests: readonly ClaimRequest[],
  lease: LeaseId,
  alone: boolean,
): readonly Claimed[] {
  expectLease(tables, lease);
  const claimed = requests.map(({ queue, goal, tasks, limit }): Claimed => {
    if (tables.books.has(goal) && !alone && tables.busy.has(goal)) return { kind: "busy" };
    return queue === "plan"
      ? { kind: "goal", claim: claimGoal(tables, goal, lease) }
      : { kind: "tasks", claims: claimTasks(tables, goal, queue, tasks, lease, limit) };
  });
  // What each brings is read when all are claimed.
  return claimed.map((each, index) => {
    const { queue, goal } = requests[index]!;
    const book = tables.books.get(goal);
    if (book === undefined) return each;
    if (each.kind === "goal" && each.claim !== undefined) return { kind: "goal", claim: loadGoalClaim(tables, book) };
    if (each.kind !== "tasks" || queue === "plan" || each.claims.claimed.length === 0) return each;
    const tasks = each.claims.claimed.map((claim) => book.tasks.find((task) => task.id === claim.task.id)!);
    const loaded = tasks.map((task) => loadTaskClaim(tables, book, task, queue));
    return { kind: "tasks", claims: { ...each.claims, claimed: loaded, eventSeq: book.goal.event_seq } };
  });
}

function claimTasks(
  tables: Tables,
  goalId: GoalId,
  queue: "execute" | "reflect",
  taskIds: readonly TaskId[],
  lease: LeaseId,
  limit: number,
): TaskClaims {
  const nothing = { claimed: [], dispatchAgain: null, eventSeq: null };
  const book = hold(tables, goalId);
  if (book === undefined || (book.goal.status !== "planning" && book.goal.status !== "running")) return nothing;
  expectLease(tables, lease);
  const now = tables.now();
  const { goal } = book;
  const isFree = (task: ModelTask) => !leaseLives(tables, task.lease_id);
  const due = book.tasks
    .filter((task) => (taskIds as readonly string[]).includes(task.id) && task.due_at <= now)
    .filter((task) =>
      queue === "reflect"
        ? task.status === "reflecting" && isFree(task)
        : task.status === "ready" || (task.status === "running" && isFree(task)),
    )
    .toSorted((a, b) => Number(b.front) - Number(a.front) || a.number - b.number);
  const claimed: ModelTask[] = [];
  let left = 0;
  let spent: string | null = null;
  for (const task of due) {
    if (claimed.length >= limit) {
      left += 1;
      task.dispatched_at = null;
      continue;
    }
    const steps = Math.max(1, task.steps_needed) - task.steps_reserved;
    if (steps > 0 || task.tokens_needed > task.tokens_reserved || task.cost_needed > task.cost_reserved) {
      const wanted = {
        steps: Math.max(steps, 0),
        needTokens: task.tokens_needed,
        wantTokens: Math.max(claimTokens(goal), task.tokens_needed),
        needMicroUsd: task.cost_needed,
        wantMicroUsd: Math.max(claimMicroUsd(goal), task.cost_needed),
      };
      const got = reserveBudget(tables, book, false, wanted, heldBy(goal, task));
      spent = got.spent;
      if (got.spent !== null) {
        task.dispatched_at = null;
        task.due_at = now + spentMs;
        continue;
      }
      task.steps_reserved += wanted.steps;
      task.tokens_reserved += got.tokens;
      task.cost_reserved += got.microUsd;
    }
    if (task.lease_id !== null) task.expired_claims += 1;
    const begins = queue === "execute" && task.status === "ready";
    if (queue === "execute") moveTaskTo(tables, book, task, "running");
    task.fence += 1;
    task.lease_id = lease;
    task.steps_needed = task.tokens_needed = task.cost_needed = 0;
    task.dispatched_at ??= now;
    task.started_at ??= now;
    if (begins)
      appendEvents(book, [{ type: "task.started", task: task.id, data: { key: task.key, attempt: task.attempt } }]);
    claimed.push(task);
  }
  const dispatchAgain = left > 0 || spent !== null ? goal.tenant_id : null;
  if (claimed.length === 0) return { ...nothing, dispatchAgain };
  return {
    claimed: claimed.toSorted((a, b) => a.number - b.number).map((task) => loadTaskClaim(tables, book, task, queue)),
    dispatchAgain,
    eventSeq: goal.event_seq,
  };
}

function loadTaskClaim(tables: Tables, book: GoalBook, task: ModelTask, queue?: "execute" | "reflect"): ClaimedTask {
  const id = task.id as TaskId;
  return {
    goal: toGoalOf(book.goal),
    goalRow: toGoalRow(book.goal),
    dependencies: queue === "reflect" ? [] : listDependencies(tables, id),
    notes: queue === "execute" ? [] : notesOf(tables, book.goal.id as GoalId, id),
    task: toTaskOf(task),
    fence: task.fence,
    held: heldBy(book.goal, task),
    backoffs: task.backoffs,
    steps: loadSteps(book, task.id, task.attempt),
    expiredClaims: task.expired_claims,
  };
}

export function takeUpTask(tables: Tables, claim: OwnClaim, lease: LeaseId): ClaimedTask | undefined {
  const found = findTask(tables, claim.id);
  if (found === undefined) return undefined;
  const { book, task } = found;
  const stands = task.fence === claim.fence && task.lease_id === lease;
  return stands && (task.status === "running" || task.status === "reflecting")
    ? loadTaskClaim(tables, book, task)
    : undefined;
}

function claimGoal(tables: Tables, goalId: GoalId, lease: LeaseId): ClaimedGoal | undefined {
  const book = hold(tables, goalId);
  if (book === undefined) return undefined;
  const { goal } = book;
  const isOpen = goal.status === "queued" || goal.status === "running" || goal.status === "planning";
  if (goal.plan_wanted === 0 || !isOpen) return undefined;
  if (goal.status === "planning" && leaseLives(tables, goal.lease_id)) return undefined;
  expectLease(tables, lease);
  const steps = Math.max(1 - goal.plan_reserved, 0);
  const lacks =
    steps > 0 || goal.plan_tokens_needed > goal.plan_tokens_reserved || goal.plan_cost_needed > goal.plan_cost_reserved;
  const now = tables.now();
  if (goal.exhausted === null && lacks) {
    const wanted = {
      steps,
      needTokens: goal.plan_tokens_needed,
      wantTokens: Math.max(claimTokens(goal), goal.plan_tokens_needed),
      needMicroUsd: goal.plan_cost_needed,
      wantMicroUsd: Math.max(claimMicroUsd(goal), goal.plan_cost_needed),
    };
    if (reserveBudget(tables, book, true, wanted, heldBy(goal, undefined)).spent === "wait") {
      goal.dispatched_at = null;
      goal.due_at = now + spentMs;
      return undefined;
    }
  }
  if (goal.status === "planning" && goal.lease_id !== null) goal.expired_claims += 1;
  moveGoalTo(goal, "planning");
  goal.fence += 1;
  goal.lease_id = lease;
  goal.dispatched_at ??= now;
  goal.started_at ??= now;
  return loadGoalClaim(tables, book);
}

export function takeUpGoal(tables: Tables, claim: OwnClaim, lease: LeaseId): ClaimedGoal | undefined {
  const book = tables.books.get(claim.id);
  return book !== undefined && book.goal.fence === claim.fence && book.goal.lease_id === lease
    ? loadGoalClaim(tables, book)
    : undefined;
}

function loadGoalClaim(tables: Tables, book: GoalBook): ClaimedGoal {
  const { goal } = book;
  return {
    goal: toGoalOf(goal),
    row: toGoalRow(goal),
    fence: goal.fence,
    held: heldBy(goal, undefined),
    backoffs: goal.plan_backoffs,
    steps: [...loadSteps(book, goal.id, 0), ...loadSteps(book, goal.id, goal.plan_round + 1)],
    tasks: listTasks(tables, goal.id as GoalId),
  };
}

function loadSteps(book: GoalBook, subject: string, attempt: number): Step[] {
  return book.steps
    .filter((step) => step.subject_id === subject && step.attempt === attempt && step.phase === "result")
    .toSorted((a, b) => a.seq - b.seq)
    .map(toStepOf);
}

export function currentClaims(
  tables: Tables,
  kind: "task" | "goal",
  ids: readonly string[],
): ReadonlyMap<string, CurrentClaim> {
  return new Map(
    ids.flatMap((id): [string, CurrentClaim][] => {
      const row = kind === "task" ? findTask(tables, id)?.task : tables.books.get(id)?.goal;
      return row === undefined ? [] : [[id, { fence: row.fence, overrides: [] }]];
    }),
  );
}

export function listOwnClaims(tables: Tables, lease: LeaseId): OwnClaim[] {
  const books = [...tables.books.values()];
  const works = (task: ModelTask) =>
    task.lease_id === lease && (task.status === "running" || task.status === "reflecting");
  return [
    ...books.flatMap((book) => book.tasks.filter(works)).map(({ id, fence }) => ({ kind: "task" as const, id, fence })),
    ...books
      .filter(({ goal }) => goal.lease_id === lease && goal.ended_at === null)
      .map(({ goal: { id, fence } }) => ({ kind: "goal" as const, id, fence })),
  ];
}

export function releaseOwnClaim(tables: Tables, lease: LeaseId, claim: OwnClaim, dueInMs = 0): void {
  const goalId = claim.kind === "goal" ? claim.id : tables.taskGoals.get(claim.id);
  const book = hold(tables, goalId ?? "");
  const row = claim.kind === "goal" ? book?.goal : book?.tasks.find((task) => task.id === claim.id);
  if (row === undefined || row.fence !== claim.fence || row.lease_id !== lease) return;
  row.lease_id = null;
  row.fence += 1;
  row.dispatched_at = null;
  row.due_at = dueUnlessPaused(row.due_at, tables.now() + dueInMs);
}

export function releaseOwnClaims(tables: Tables, lease: LeaseId): void {
  for (const claim of listOwnClaims(tables, lease)) releaseOwnClaim(tables, lease, claim);
}

/** Puts what is due and not on a queue on its way, up to the tenant's cap; returns the jobs to add. */
export function dispatchDue(tables: Tables, tenant: string, cap: number, limit: number): DueJob[] {
  const now = tables.now();
  const books = [...tables.books.values()].filter(({ goal }) => goal.tenant_id === tenant);
  const inFlight = books.flatMap((book) => book.tasks.filter((task) => task.dispatched_at !== null)).length;
  const free = books.filter(({ goal }) => !tables.busy.has(goal.id));
  const plans = free
    .filter(
      ({ goal }) =>
        goal.dispatched_at === null &&
        goal.due_at <= now &&
        goal.plan_wanted > 0 &&
        (goal.status === "queued" || goal.status === "planning" || goal.status === "running"),
    )
    .toSorted((a, b) => b.goal.priority - a.goal.priority || a.goal.due_at - b.goal.due_at)
    .slice(0, limit);
  const chosen = free
    .filter(({ goal }) => goal.status === "planning" || goal.status === "running")
    .flatMap((book) =>
      book.tasks.filter(
        (task) =>
          task.dispatched_at === null &&
          task.due_at <= now &&
          (task.status === "ready" || task.status === "running" || task.status === "reflecting"),
      ),
    )
    .toSorted(
      (a, b) =>
        Number(b.front) - Number(a.front) ||
        b.priority - a.priority ||
        a.created_at - b.created_at ||
        (a.goal_id < b.goal_id ? -1 : a.goal_id > b.goal_id ? 1 : 0) ||
        a.number - b.number,
    )
    .slice(0, Math.min(Math.max(cap - inFlight, 0), limit));
  const jobs: DueJob[] = [];
  for (const { goal } of plans) {
    hold(tables, goal.id);
    goal.dispatch += 1;
    goal.dispatched_at = now;
    goal.job_id = `${goal.id}-p-${goal.dispatch}`;
    jobs.push({ queue: "plan", job: goal.job_id, goal: goal.id as GoalId, tasks: [], front: false });
  }
  const groups = Map.groupBy(chosen, (task) => `${task.goal_id} ${task.status === "reflecting"}`);
  for (const group of groups.values()) {
    const ordered = group.toSorted((a, b) => a.number - b.number);
    for (let from = 0; from < ordered.length; from += 8) {
      const tasks = ordered.slice(from, from + 8);
      const [first] = tasks;
      const job = `${first!.goal_id}-${first!.number}-${first!.dispatch + 1}`;
      hold(tables, first!.goal_id);
      for (const task of tasks) {
        task.dispatch += 1;
        task.dispatched_at = now;
        task.job_id = job;
      }
      jobs.push({
        queue: first!.status === "reflecting" ? "reflect" : "execute",
        job,
        goal: first!.goal_id as GoalId,
        tasks: tasks.map((task) => task.id as TaskId),
        front: tasks.some((task) => task.front),
      });
    }
  }
  return jobs;
}

/** All processes of a simulation are of one version. */
export function renewLease(tables: Tables, id: LeaseId, leaseMs: number): number {
  tables.leases.set(id, tables.now() + leaseMs);
  return journalFormat;
}

export function leaseLeftMs(tables: Tables, id: LeaseId): number {
  return Math.max((tables.leases.get(id) ?? -Infinity) - tables.now(), 0);
}
