/** What the reconciler asks of the model (W8). */
import type { LeaseId, QueueName, StuckJob } from "@outerloop/core";
import type { ModelGoal, ModelTask } from "./rows.ts";
import { appendEvents, hold, leaseLives, type Tables } from "./tables.ts";

const booksOf = (tables: Tables) => [...tables.books.values()];
const isDueStatus = (task: ModelTask) =>
  task.status === "ready" || task.status === "running" || task.status === "reflecting";
const isPlannable = (goal: ModelGoal) =>
  goal.status === "queued" || goal.status === "planning" || goal.status === "running";

export function tenantsWithDueWork(tables: Tables): string[] {
  const now = tables.now();
  const tenants = booksOf(tables).flatMap(({ goal, tasks }) => [
    ...tasks
      .filter((task) => task.dispatched_at === null && isDueStatus(task) && task.due_at <= now)
      .map((task) => task.tenant_id),
    ...(isPlannable(goal) && goal.dispatched_at === null && goal.plan_wanted > 0 && goal.due_at <= now
      ? [goal.tenant_id]
      : []),
  ]);
  return [...new Set(tenants)];
}

export function findUnclaimedJobs(tables: Tables, graceMs: number, limit: number): StuckJob[] {
  const now = tables.now();
  const lies = (row: ModelGoal | ModelTask) =>
    row.lease_id === null && row.dispatched_at !== null && row.dispatched_at < now - graceMs && row.due_at <= now;
  const plans = booksOf(tables)
    .filter(({ goal }) => isPlannable(goal) && lies(goal))
    .slice(0, limit)
    .map(({ goal }): StuckJob => ({ queue: "plan", job: goal.job_id! }));
  const rest = new Map<string, StuckJob>();
  for (const task of booksOf(tables).flatMap((book) => book.tasks))
    if (isDueStatus(task) && lies(task)) {
      const queue = task.status === "reflecting" ? "reflect" : "execute";
      rest.set(`${queue} ${task.job_id}`, { queue, job: task.job_id! });
    }
  return [...plans, ...rest.values()];
}

export function forgetJobs(tables: Tables, jobs: readonly StuckJob[]): void {
  const plans = new Set(jobs.filter((job) => job.queue === "plan").map((job) => job.job));
  const rest = new Set(jobs.filter((job) => job.queue !== "plan").map((job) => job.job));
  for (const { goal, tasks } of booksOf(tables)) {
    if (isPlannable(goal) && goal.lease_id === null && plans.has(goal.job_id ?? "")) {
      hold(tables, goal.id);
      goal.dispatched_at = null;
    }
    for (const task of tasks)
      if (isDueStatus(task) && task.lease_id === null && rest.has(task.job_id ?? "")) {
        hold(tables, goal.id);
        task.dispatched_at = null;
      }
  }
}

/** Gives up the claims of processes whose lease ran out. */
export function releaseDeadClaims(tables: Tables, limit: number): number {
  const isDead = (row: ModelGoal | ModelTask) => row.lease_id !== null && !leaseLives(tables, row.lease_id);
  const free = booksOf(tables).filter(({ goal }) => !tables.busy.has(goal.id));
  const tasks = free
    .flatMap((book) => book.tasks)
    .filter((task) => (task.status === "running" || task.status === "reflecting") && isDead(task))
    .slice(0, limit);
  const goals = free
    .map((book) => book.goal)
    .filter((goal) => goal.status === "planning" && isDead(goal))
    .slice(0, limit);
  for (const row of [...tasks, ...goals]) {
    hold(tables, "goal_id" in row ? row.goal_id : row.id);
    row.lease_id = null;
    row.fence += 1;
    row.dispatched_at = null;
    row.expired_claims += 1;
  }
  return tasks.length + goals.length;
}

/** Goals whose wall clock ran out, and goals with nothing left to do: their planner is asked. */
export function wakePlanners(tables: Tables, limit: number): number {
  const now = tables.now();
  const found = booksOf(tables)
    .map((book) => book.goal)
    .filter((goal) => {
      const isOver =
        (isPlannable(goal) || goal.status === "waiting") &&
        goal.deadline_at <= now &&
        goal.exhausted === null &&
        goal.asleep_at === null;
      return isOver || (goal.status === "running" && goal.live_tasks === 0 && goal.plan_wanted === 0);
    })
    .filter((goal) => !tables.busy.has(goal.id))
    .slice(0, limit);
  for (const goal of found) {
    hold(tables, goal.id);
    goal.plan_wanted += 1;
    goal.due_at = now;
    if (goal.deadline_at <= now) goal.exhausted ??= "wall_budget";
  }
  return found.length;
}

export function warnOfWall(
  tables: Tables,
  limit: number,
): readonly { readonly goalId: string; readonly eventSeq: number }[] {
  const now = tables.now();
  const found = booksOf(tables)
    .filter(({ goal }) => isPlannable(goal) || goal.status === "waiting")
    .filter(({ goal }) => goal.wall_warn_at !== null && goal.wall_warn_at <= now && goal.asleep_at === null)
    .filter(({ goal }) => !tables.busy.has(goal.id))
    .slice(0, limit);
  return found.map((book) => {
    const { goal } = book;
    hold(tables, goal.id);
    goal.wall_warn_at = null;
    const limitMs = goal.budget_wall_ms;
    const used = Math.min(limitMs, limitMs - Math.round(goal.deadline_at - now));
    appendEvents(book, [{ type: "budget.warning", data: { budget: "wall_ms", used, limit: limitMs } }]);
    return { goalId: goal.id, eventSeq: goal.event_seq };
  });
}

export function oldestSentMs(tables: Tables, queue: QueueName): number {
  const now = tables.now();
  const isIn = (task: ModelTask) =>
    queue === "reflect" ? task.status === "reflecting" : task.status === "ready" || task.status === "running";
  const rows: (ModelGoal | ModelTask)[] =
    queue === "plan"
      ? booksOf(tables)
          .map((book) => book.goal)
          .filter(isPlannable)
      : booksOf(tables).flatMap((book) => book.tasks.filter(isIn));
  const sent = rows
    .filter((row) => row.lease_id === null && row.dispatched_at !== null && row.due_at <= now)
    .map((row) => row.dispatched_at!);
  return sent.length === 0 ? 0 : now - Math.min(...sent);
}

export function dropOldLeases(tables: Tables): void {
  const isHeld = (lease: string) => booksOf(tables).some((book) => book.tasks.some((task) => task.lease_id === lease));
  for (const [lease, expiresAt] of tables.leases)
    if (expiresAt < tables.now() - 3_600_000 && !isHeld(lease)) tables.leases.delete(lease);
}

export const dropLease = (tables: Tables, lease: LeaseId) => void tables.leases.delete(lease);
