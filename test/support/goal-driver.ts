/** Drives goals through the store's own functions, as workers would but without models, so that tests can order every write. */
import { expect } from "vitest";
import {
  claimGoal,
  claimTasks,
  createDoor,
  defaultBatchLimits,
  createId,
  createStore,
  defaultBudget,
  defaultTenant,
  ensurePartitions,
  migrate,
  renewLease,
  submitGoal,
  type Budget,
  type ClaimedTask,
  type Db,
  type Door,
  type DueJob,
  type GoalId,
  type LeaseId,
  type Principal,
  type QuestionRow,
  type TaskId,
  type TaskRow,
  type WaitRow,
} from "@outerloop/core";
import { sql } from "kysely";

export const operator: Principal = { kind: "key", tenantId: defaultTenant, keyId: "k_test" as never, role: "operator" };

export interface Driver {
  readonly db: Db;
  readonly door: Door;
  readonly lease: LeaseId;
  /** Every job that commits asked for. */
  readonly jobs: DueJob[];
  submit(text?: string, budget?: Partial<Budget>): Promise<GoalId>;
  /** Claims the goal and plans these tasks: key → keys it depends on. Returns ids by key. */
  plan(goal: GoalId, tasks: Readonly<Record<string, readonly string[]>>): Promise<Readonly<Record<string, TaskId>>>;
  claim(goal: GoalId, task: TaskId): Promise<ClaimedTask>;
  /** Claims and finishes execution. */
  execute(goal: GoalId, task: TaskId): Promise<void>;
  /** Claims the reflection and moves. */
  reflect(goal: GoalId, task: TaskId, to: "done" | "abandoned" | "ready"): Promise<void>;
}

export async function createDriver(db: Db): Promise<Driver> {
  await migrate(db);
  await ensurePartitions(db);
  const lease = await newLease(db);
  const jobs: DueJob[] = [];
  const door = createDoor(
    createStore(db),
    { jobs: async (due) => void jobs.push(...due), events: () => undefined },
    {
      tenantCap: 100_000,
      ...defaultBatchLimits,
      clock: Date.now,
      pause: () => new Promise((resolve) => setImmediate(resolve)),
    },
  );

  async function claim(goal: GoalId, task: TaskId, queue: "execute" | "reflect" = "execute"): Promise<ClaimedTask> {
    const { claimed } = await claimTasks(db, goal, queue, [task], lease, 1);
    const [only] = claimed;
    expect(only, `a claim of ${task} for ${queue}`).toBeDefined();
    return only!;
  }

  return {
    db,
    door,
    lease,
    jobs,
    async submit(text = "a goal", budget = {}) {
      const submitted = await submitGoal(
        db,
        operator,
        {
          text,
          session: null,
          budget: { ...defaultBudget, ...budget },
          planning: { cadence: "adaptive" },
          priority: 0,
          labels: {},
          attachments: [],
          questionsWaitMs: null,
          idempotency: null,
        },
        createId,
      );
      if (submitted.kind !== "created") throw new Error(submitted.kind);
      return submitted.goal.id as GoalId;
    },
    async plan(goal, tasks) {
      const claimed = await claimGoal(db, goal, lease);
      expect(claimed, `a claim of ${goal}`).toBeDefined();
      const { rows, ids } = taskRows(tasks);
      const committed = await door.commit({
        id: createId("write"),
        goal,
        fence: claimed!.fence,
        plan: { tasks: rows, read: claimed!.row.plan_wanted },
      });
      expect(committed).toMatchObject({ outcome: "won" });
      return ids;
    },
    claim: (goal, task) => claim(goal, task),
    async execute(goal, task) {
      const { fence } = await claim(goal, task);
      expect(
        await door.commit({ id: createId("write"), goal, task, fence, move: { to: "reflecting", result: "a result" } }),
      ).toMatchObject({ outcome: "won" });
    },
    async reflect(goal, task, to) {
      const { fence } = await claim(goal, task, "reflect");
      const move = to === "done" ? { to } : to === "ready" ? { to, hint: "again" } : { to, reason: "no use" };
      expect(await door.commit({ id: createId("write"), goal, task, fence, move })).toMatchObject({ outcome: "won" });
    },
  };
}

export async function newLease(db: Db, ms = 600_000): Promise<LeaseId> {
  const lease = createId("lease");
  await renewLease(db, { id: lease, service: "test", host: "test", pid: 1 }, ms);
  return lease;
}

export function taskRows(
  tasks: Readonly<Record<string, readonly string[]>>,
  parent: TaskId | null = null,
  known: Readonly<Record<string, TaskId>> = {},
): { readonly rows: TaskRow[]; readonly ids: Record<string, TaskId> } {
  const ids: Record<string, TaskId> = { ...known };
  for (const key of Object.keys(tasks)) ids[key] = createId("task");
  const rows = Object.entries(tasks).map(([key, needs]): TaskRow => ({
    id: ids[key]!,
    key,
    parent,
    root: parent ?? ids[key]!,
    text: `do ${key}`,
    tools: [],
    evidence: [],
    difficulty: "normal",
    depth: parent === null ? 0 : 1,
    front: parent !== null,
    depends_on: needs.map((need) => ids[need] ?? (need as TaskId)),
  }));
  return { rows, ids };
}

/** A wait as a task asks for it, an hour ahead unless said otherwise. */
export function waitRow(kind: WaitRow["kind"], seq: number, more: Partial<WaitRow> = {}): WaitRow {
  return {
    id: createId("wait"),
    attempt: 1,
    seq,
    kind,
    name: "go",
    for_ms: 3_600_000,
    on_deadline: "continue",
    hash: "h",
    ...more,
  };
}

/** A question as a planner asks it, an hour ahead unless said otherwise. */
export function questionRow(more: Partial<QuestionRow> = {}): QuestionRow {
  return { id: createId("question"), about: "intake", text: "which?", default: "any", for_ms: 3_600_000, ...more };
}

/** What must hold of every goal whenever nobody is in the middle of a write; returns what does not. */
export async function brokenInvariants(db: Db): Promise<readonly string[]> {
  const { rows } = await sql<{ broken: string }>`
    WITH live AS (
      SELECT goal_id, count(*) FILTER (WHERE status IN ('pending', 'ready', 'running', 'waiting', 'reflecting')) AS n, coalesce(sum(steps_reserved), 0) AS reserved, coalesce(sum(tokens_reserved), 0) AS tokens, coalesce(sum(cost_reserved), 0) AS cost FROM tasks GROUP BY 1
    ), needs AS (
      SELECT d.task_id, count(*) FILTER (WHERE b.status <> 'done') AS n, count(*) FILTER (WHERE b.status IN ('failed', 'abandoned', 'cancelled')) AS dead, count(*) FILTER (WHERE b.status = 'split') AS split
      FROM task_dependencies d JOIN tasks b ON b.id = d.depends_on GROUP BY 1
    )
    SELECT format('goal %s counts %s live tasks, there are %s', g.id, g.live_tasks, coalesce(l.n, 0)) AS broken FROM goals g LEFT JOIN live l ON l.goal_id = g.id WHERE g.live_tasks <> coalesce(l.n, 0)
    UNION ALL SELECT format('goal %s has %s steps reserved, its tasks and planner %s', g.id, g.steps_reserved, coalesce(l.reserved, 0) + g.plan_reserved) FROM goals g LEFT JOIN live l ON l.goal_id = g.id
      WHERE g.ended_at IS NULL AND g.steps_reserved <> coalesce(l.reserved, 0) + g.plan_reserved
    UNION ALL SELECT format('goal %s has %s tokens and %s micro-dollars reserved, its tasks and planner %s and %s', g.id, g.tokens_reserved, g.cost_reserved, coalesce(l.tokens, 0) + g.plan_tokens_reserved, coalesce(l.cost, 0) + g.plan_cost_reserved)
      FROM goals g LEFT JOIN live l ON l.goal_id = g.id
      WHERE g.tokens_reserved <> coalesce(l.tokens, 0) + g.plan_tokens_reserved OR g.cost_reserved <> coalesce(l.cost, 0) + g.plan_cost_reserved
    UNION ALL SELECT format('goal %s reserved %s tokens and %s micro-dollars over its budget', id, tokens_reserved, cost_reserved) FROM goals
      WHERE tokens_reserved > greatest(budget_tokens - tokens_used, 0) OR budget_micro_usd IS NOT NULL AND cost_reserved > greatest(budget_micro_usd - cost_micro_usd, 0)
    UNION ALL SELECT format('tenant %s lent %s steps and %s tokens of %s, its goals hold %s and %s', u.tenant_id, u.steps, u.tokens, u.period, sum(g.lent_steps - g.steps_used), sum(g.lent_tokens - g.tokens_used))
      FROM tenant_budget_use u JOIN goals g ON g.tenant_id = u.tenant_id AND g.lent_at >= u.since GROUP BY u.tenant_id, u.period, u.steps, u.tokens
      HAVING u.steps < sum(greatest(g.lent_steps - g.steps_used, 0)) OR u.tokens < sum(greatest(g.lent_tokens - g.tokens_used, 0))
    UNION ALL SELECT format('goal %s used %s and reserved %s of %s steps', id, steps_used, steps_reserved, budget_steps) FROM goals WHERE steps_used + steps_reserved > budget_steps
    UNION ALL SELECT format('goal %s runs with nothing live and no plan wanted', id) FROM goals WHERE status = 'running' AND live_tasks = 0 AND plan_wanted = 0
    UNION ALL SELECT format('task %s (%s) counts %s blockers, there are %s', t.id, t.status, t.blockers, coalesce(n.n, 0)) FROM tasks t LEFT JOIN needs n ON n.task_id = t.id
      WHERE t.status IN ('pending', 'ready') AND t.blockers <> coalesce(n.n, 0)
    UNION ALL SELECT format('task %s is pending with nothing to wait for', id) FROM tasks WHERE status = 'pending' AND blockers = 0
    UNION ALL SELECT format('task %s waits for a task that is dead', t.id) FROM tasks t JOIN needs n ON n.task_id = t.id WHERE t.status = 'pending' AND n.dead > 0
    UNION ALL SELECT format('task %s depends on a split task', t.id) FROM tasks t JOIN needs n ON n.task_id = t.id WHERE n.split > 0 AND t.status = 'pending'
    UNION ALL SELECT format('task %s is %s in goal %s, which has %s', t.id, t.status, g.id, g.status) FROM tasks t JOIN goals g ON g.id = t.goal_id
      WHERE g.ended_at IS NOT NULL AND t.status IN ('pending', 'ready', 'running', 'waiting', 'reflecting')
    UNION ALL SELECT format('events of goal %s: %s, its counter says %s', g.id, count(e.seq), g.event_seq) FROM goals g LEFT JOIN events e ON e.goal_id = g.id
      GROUP BY g.id, g.event_seq HAVING count(e.seq) <> g.event_seq OR coalesce(max(e.seq), 0) <> g.event_seq
    UNION ALL SELECT format('goal %s counts %s waiting tasks, there are %s', g.id, g.waiting_tasks, (SELECT count(*) FROM tasks t WHERE t.goal_id = g.id AND t.status = 'waiting'))
      FROM goals g WHERE g.waiting_tasks <> (SELECT count(*) FROM tasks t WHERE t.goal_id = g.id AND t.status = 'waiting')
    UNION ALL SELECT format('task %s waits for nothing', id) FROM tasks t WHERE status = 'waiting' AND NOT EXISTS (SELECT FROM waits w WHERE w.task_id = t.id AND w.attempt = t.attempt AND w.status = 'open')
    UNION ALL SELECT format('wait %s is open, its task is %s', w.id, t.status) FROM waits w JOIN tasks t ON t.id = w.task_id WHERE w.status = 'open' AND t.status NOT IN ('running', 'waiting', 'reflecting')
    UNION ALL SELECT format('goal %s sleeps while it works', id) FROM goals g WHERE asleep_at IS NOT NULL AND ended_at IS NULL
      AND status <> 'waiting' AND (status <> 'running' OR EXISTS (SELECT FROM tasks t WHERE t.goal_id = g.id AND t.status IN ('ready', 'running', 'reflecting')))
    UNION ALL SELECT format('goal %s is %s, %s questions of it are open', g.id, g.status, (SELECT count(*) FROM questions q WHERE q.goal_id = g.id AND q.status = 'open'))
      FROM goals g WHERE (g.status = 'waiting' OR g.status = 'paused' AND g.paused_from = 'waiting')::integer
        <> (SELECT count(*) FROM questions q WHERE q.goal_id = g.id AND q.status = 'open')
    UNION ALL SELECT format('goal %s waits for an answer and is claimed, wants no plan, or its clock runs on', id) FROM goals
      WHERE status = 'waiting' AND (lease_id IS NOT NULL OR plan_wanted = 0 OR (asleep_at IS NULL) <> (exhausted IS NOT NULL))
    UNION ALL SELECT format('goal %s was answered %s times, it heard %s', g.id, (SELECT count(*) FROM questions q WHERE q.goal_id = g.id AND q.status = 'answered'), jsonb_array_length(g.clarifications))
      FROM goals g WHERE jsonb_array_length(g.clarifications) <> (SELECT count(*) FROM questions q WHERE q.goal_id = g.id AND q.status = 'answered')
    UNION ALL SELECT format('goal %s ended %s times', goal_id, ends) FROM (
      SELECT goal_id, count(*) FILTER (WHERE type IN ('goal.succeeded', 'goal.failed', 'goal.abandoned', 'goal.cancelled')) AS ends,
        count(*) FILTER (WHERE type = 'goal.resumed' AND data ? 'budget') AS resumed FROM events GROUP BY 1) e WHERE ends > 1 + resumed`.execute(
    db,
  );
  return rows.map((row) => row.broken);
}
