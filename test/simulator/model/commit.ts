/** The one door (W1) of the model: guards, journal, books, moves, events, dispatch. */
import type { CommitReply, EffectRow, NewEvent, TaskRow, Write } from "@outerloop/core";
import { heldBy, reserveBudget, warnOfBudgets, type Got } from "./budgets.ts";
import { dispatchDue } from "./claims.ts";
import type { AppliedWrite, DueJob, GoalBook, ModelTask } from "./rows.ts";
import {
  appendEvents,
  dueUnlessPaused,
  hold,
  isLive,
  moveGoalTo,
  moveTaskTo,
  settleSleep,
  StoreFault,
  type Tables,
} from "./tables.ts";
import { askQuestion } from "./questions.ts";
import { matchSignals, openWaits } from "./waits.ts";

export function commitWrites(tables: Tables, given: readonly Write[], waits: boolean, tenantCap: number): CommitReply {
  const writes = JSON.parse(JSON.stringify(given)) as readonly Write[];
  const locked = [...new Set(writes.map((write) => write.goal as string))]
    .filter((id) => tables.books.has(id) && (waits || !tables.busy.has(id)))
    .toSorted();
  const results = writes.map((write): AppliedWrite => {
    if (!tables.books.has(write.goal)) return { id: write.id, outcome: "stale" };
    if (!locked.includes(write.goal)) return { id: write.id, outcome: "busy" };
    const book = hold(tables, write.goal)!;
    const applied = applyWrite(tables, book, write);
    if (applied.outcome !== "won") return { id: write.id, ...applied };
    const task = book.tasks.find((each) => each.id === write.task);
    const { microUsd, ...held } = heldBy(book.goal, task);
    return { id: write.id, ...applied, held: { ...held, micro_usd: microUsd } };
  });
  const tenants = [...new Set(locked.map((id) => tables.books.get(id)!.goal.tenant_id))].toSorted();
  const moves = writes.some(
    (write) =>
      ("move" in write && write.move !== undefined) ||
      ("plan" in write && write.plan !== undefined) ||
      ("end" in write && write.end !== undefined) ||
      ("release" in write && write.release !== undefined),
  );
  const limit = Math.min(500, 64 + 8 * writes.length);
  const jobs: DueJob[] = moves ? tenants.flatMap((tenant) => dispatchDue(tables, tenant, tenantCap, limit)) : [];
  const events = Object.fromEntries(locked.map((id) => [id, tables.books.get(id)!.goal.event_seq]));
  return { writes: results, jobs, events: locked.length === 0 ? null : events };
}

type Applied = Omit<AppliedWrite, "id">;

function applyWrite(tables: Tables, book: GoalBook, write: Write): Applied {
  const { goal } = book;
  const task = write.task === undefined ? undefined : book.tasks.find((each) => each.id === write.task);
  const refused = guardWrite(book, write, task) ?? refusePlan(book, write);
  if (refused !== null) return refused;
  const spent = settleWrite(tables, book, write, task, journalWrite(tables, book, write));
  appendEvents(book, write.events ?? []);
  if (write.task !== undefined) {
    if (write.move !== undefined) moveTask(tables, book, write, task!);
  } else moveGoal(tables, book, write);
  settleSleep(tables, book);
  return { outcome: "won", ...(spent !== null && { spent }), goal_status: goal.status };
}

/** W2, W3, W5: the same write again is a win, a stale fence changes nothing, some wishes are refused. */
function guardWrite(book: GoalBook, write: Write, task: ModelTask | undefined): Applied | null {
  const { goal } = book;
  const won: Applied = { outcome: "won", goal_status: goal.status };
  const stale: Applied = { outcome: "stale", goal_status: goal.status };
  const refuse = (why: string): Applied => ({ outcome: "refused", why, goal_status: goal.status });
  if (write.task === undefined) {
    if (goal.fence === write.fence && goal.last_write === write.id) return won;
    const plans = goal.status === "planning" || (goal.status === "paused" && goal.paused_from === "planning");
    if (goal.fence !== write.fence || goal.lease_id === null || !plans) return stale;
  } else {
    if (task === undefined) return { outcome: "stale", why: "no such task" };
    if (task.fence === write.fence && task.last_write === write.id) return won;
    const works = task.lease_id !== null && (task.status === "running" || task.status === "reflecting");
    if (task.fence !== write.fence || !works) return stale;
  }
  const subject = write.task ?? write.goal;
  const isJournaled = (write.steps ?? []).some((step) =>
    book.steps.some(
      (row) =>
        row.subject_id === subject &&
        row.attempt === step.attempt &&
        row.seq === step.seq &&
        row.phase === step.phase &&
        row.write_id === write.id,
    ),
  );
  if (isJournaled) return won;

  if (write.task === undefined && write.end !== undefined && goal.live_tasks > 0)
    if (write.end.force !== true && (goal.exhausted === null || write.end.to !== "failed"))
      return refuse("tasks are live");
  if (write.task === undefined && (write.end ?? write.plan ?? write.ask) !== undefined && goal.status === "paused")
    return refuse("paused");
  if (write.task !== undefined && write.move?.to === "waiting") {
    const open = openWaits(book, task!.id, task!.attempt);
    if (task!.wakes !== write.move.wakes || open.length === 0) return refuse("woken");
  }
  const intended = (write.task === undefined ? [] : (write.effects ?? [])).filter(isIntent);
  for (const intent of intended) {
    const own = book.effects.get(intent.key);
    if (own !== undefined && (own.status === "done" || (own.status !== "failed" && own.turn !== intent.turn)))
      return refuse("effect");
    for (const other of book.effects.values())
      if (other.key !== intent.key && other.status !== "failed")
        if (other.key === intent.send_key || other.send_key === intent.send_key) return refuse("effect");
  }
  if (intended.length > 0 && goal.status === "paused") return refuse("paused");
  return null;
}

const isIntent = (effect: EffectRow): effect is Extract<EffectRow, { status: "intended" }> =>
  effect.status === "intended";

/** A plan is taken whole or not at all: what depends on something dead refuses all of it. */
function refusePlan(book: GoalBook, write: Write): Applied | null {
  if (write.task !== undefined || write.plan === undefined) return null;
  const dead = firstDead(book, write.plan.tasks);
  return dead === undefined ? null : { outcome: "refused", why: `plan: depends on ${dead}, which will never be done` };
}

function journalWrite(tables: Tables, book: GoalBook, write: Write): number {
  const { goal } = book;
  const subject = write.task ?? write.goal;
  for (const { hash, body } of write.prompts ?? []) if (!tables.prompts.has(hash)) tables.prompts.set(hash, body);
  for (const { hash, body } of write.blobs ?? []) if (!book.blobs.has(hash)) book.blobs.set(hash, body);
  const effects = write.task === undefined ? undefined : write.effects;
  const from = goal.step_seq;
  let written = 0;
  for (const [index, step] of (write.steps ?? []).entries()) {
    const isThere = book.steps.some(
      (row) =>
        row.subject_id === subject && row.attempt === step.attempt && row.seq === step.seq && row.phase === step.phase,
    );
    // An external call that is sent again has its intent in the journal already.
    if (isThere && step.phase === "intent" && effects !== undefined) continue;
    if (isThere) throw new StoreFault(`step ${subject}.${step.attempt}.${step.seq} ${step.phase} is journaled already`);
    written += 1;
    book.steps.push({
      goal_id: goal.id,
      subject_id: subject,
      attempt: step.attempt,
      seq: step.seq,
      phase: step.phase,
      stage: step.stage,
      kind: step.kind,
      name: step.name,
      number: from + index + 1,
      input: step.input ?? {},
      output: step.output ?? null,
      ok: step.ok,
      request_hash: step.request_hash ?? null,
      input_tokens: step.input_tokens ?? 0,
      cached_input_tokens: step.cached_input_tokens ?? 0,
      output_tokens: step.output_tokens ?? 0,
      reasoning_tokens: step.reasoning_tokens ?? 0,
      cost_micro_usd: step.cost_micro_usd ?? null,
      duration_ms: step.duration_ms,
      fence: write.fence,
      write_id: write.id,
    });
  }
  for (const [index, file] of (write.files ?? []).entries())
    book.artifacts.push({
      version: goal.file_seq + index + 1,
      path: file.path,
      mode: file.mode,
      origin: file.origin ?? "written",
      bytes: Buffer.from(file.base64, "base64"),
      hash: file.hash,
      task_id: write.task ?? null,
      at: tables.now(),
    });
  if (write.task !== undefined && write.waits !== undefined) journalWaits(tables, book, write.task, write.waits);
  if (write.task !== undefined) for (const effect of effects ?? []) journalEffect(tables, book, write, effect);
  for (const entry of write.memory ?? [])
    tables.memories.push({
      id: entry.id,
      tenant_id: goal.tenant_id,
      goal_id: goal.id,
      task_id: write.task ?? null,
      kind: entry.kind,
      text: entry.text,
      created_at: tables.now(),
    });
  return written;
}

function journalWaits(
  tables: Tables,
  book: GoalBook,
  taskId: string,
  waits: NonNullable<Extract<Write, { task: unknown }>["waits"]>,
): void {
  const now = tables.now();
  for (const wait of waits) {
    if (openWaits(book, taskId, wait.attempt).some((open) => open.seq === wait.seq))
      throw new StoreFault(`call ${taskId}.${wait.attempt}.${wait.seq} waits already`);
    book.waits.push({
      id: wait.id,
      tenant_id: book.goal.tenant_id,
      goal_id: book.goal.id,
      task_id: taskId,
      attempt: wait.attempt,
      seq: wait.seq,
      kind: wait.kind,
      name: wait.name,
      subject: wait.subject ?? {},
      hash: wait.hash ?? null,
      status: "open",
      deadline_at: wait.until === undefined ? now + (wait.for_ms ?? NaN) : Date.parse(wait.until),
      on_deadline: wait.on_deadline,
      resolution: null,
      signal_number: null,
      created_at: now,
      resolved_at: null,
    });
  }
  // A signal that came early is there already.
  const matched = matchSignals(tables, book);
  const task = book.tasks.find((each) => each.id === taskId)!;
  if (matched.includes(taskId)) task.wakes += 1;
}

function journalEffect(
  tables: Tables,
  book: GoalBook,
  write: Extract<Write, { task: unknown }>,
  effect: EffectRow,
): void {
  const now = tables.now();
  const own = book.effects.get(effect.key);
  if (!isIntent(effect)) {
    if (own === undefined) return;
    own.status = effect.status;
    own.result = effect.result;
    own.ended_at = now;
    return;
  }
  const intent = {
    send_key: effect.send_key,
    task_id: write.task as string,
    attempt: effect.attempt,
    seq: effect.seq,
    version: effect.version,
    args: effect.args as Readonly<Record<string, unknown>>,
    status: "intended" as const,
    fence: write.fence,
    result: null,
    intended_at: now,
    ended_at: null,
  };
  if (own === undefined)
    book.effects.set(effect.key, { ...intent, key: effect.key, root_id: effect.root, tool: effect.tool, turn: 1 });
  else Object.assign(own, intent, { turn: own.turn + 1 });
}

/** Counts what the write spent and reserves what comes next. What was held for a model call goes back with the call. */
function settleWrite(
  tables: Tables,
  book: GoalBook,
  write: Write,
  task: ModelTask | undefined,
  written: number,
): Got["spent"] {
  const { goal } = book;
  const steps = write.settle?.steps ?? 0;
  const hold_ = write.hold;
  const ends =
    write.task === undefined
      ? (write.plan ?? write.end ?? write.release ?? write.ask) !== undefined
      : write.move !== undefined;
  const letsGo = ends || (write.steps ?? []).some((step) => step.kind === "model" && step.phase === "result");
  const held = heldBy(goal, task);
  goal.step_seq += written;
  goal.file_seq += write.files?.length ?? 0;
  goal.steps_used += steps;
  goal.steps_reserved -= Math.min(steps, held.steps);
  goal.tokens_used += write.settle?.tokens ?? 0;
  goal.cost_micro_usd += write.settle?.cost_micro_usd ?? 0;
  if (letsGo) {
    goal.tokens_reserved -= held.tokens;
    goal.cost_reserved -= held.microUsd;
  }
  const isLimited = goal.budget_micro_usd !== null || goal.lent_micro_usd !== null;
  goal.cost_unknown ||= write.settle?.cost_unknown === true || (hold_?.unpriced === true && isLimited);
  if (task === undefined) {
    goal.plan_reserved = Math.max(goal.plan_reserved - steps, 0);
    if (letsGo) goal.plan_tokens_reserved = goal.plan_cost_reserved = 0;
    goal.plan_backoffs = nextBackoffs(goal.plan_backoffs, write, written);
    if (written > 0) goal.expired_claims = 0;
    goal.last_write = write.id;
  } else {
    task.last_write = write.id;
    task.steps_reserved = Math.max(task.steps_reserved - steps, 0);
    if (letsGo) task.tokens_reserved = task.cost_reserved = 0;
    task.backoffs = nextBackoffs(task.backoffs, write, written);
    if (written > 0) task.expired_claims = 0;
  }
  if (steps > 0) warnOfBudgets(book);

  const reserve = write.reserve ?? 0;
  if (ends || (reserve === 0 && hold_ === undefined)) return null;
  const own = {
    steps: Math.max(held.steps - steps, 0),
    tokens: letsGo ? 0 : held.tokens,
    microUsd: letsGo ? 0 : held.microUsd,
  };
  const got = reserveBudget(
    tables,
    book,
    task === undefined,
    {
      steps: reserve,
      needTokens: hold_?.need_tokens ?? 0,
      wantTokens: hold_?.tokens ?? 0,
      needMicroUsd: hold_?.need_micro_usd ?? 0,
      wantMicroUsd: hold_?.micro_usd ?? 0,
    },
    own,
  );
  if (task !== undefined) {
    if (got.spent === null) {
      task.steps_reserved += reserve;
      task.tokens_reserved += got.tokens;
      task.cost_reserved += got.microUsd;
      task.steps_needed = task.tokens_needed = task.cost_needed = 0;
    } else {
      // Its next claim gets all of it or waits.
      task.steps_needed = own.steps + reserve;
      task.tokens_needed = hold_?.need_tokens ?? 0;
      task.cost_needed = hold_?.need_micro_usd ?? 0;
    }
  }
  return got.spent;
}

const nextBackoffs = (before: number, write: Write, written: number) =>
  write.backoff === true ? Math.min(before + 1, 100) : written > 0 ? 0 : before;

function moveTask(tables: Tables, book: GoalBook, write: Extract<Write, { task: unknown }>, task: ModelTask): void {
  const { goal } = book;
  const now = tables.now();
  const move = write.move!;
  if (move.to !== "reflecting" && task.steps_reserved > 0) {
    goal.steps_reserved -= task.steps_reserved;
    task.steps_reserved = 0;
  }
  task.lease_id = null;
  task.dispatched_at = null;
  if (move.to === "released") {
    task.due_at = dueUnlessPaused(task.due_at, now + (move.due_in_ms ?? 0));
  } else {
    moveTaskTo(tables, book, task, move.to);
    const goesOn = move.to === "reflecting" || move.to === "ready" || move.to === "waiting";
    task.due_at = goesOn ? dueUnlessPaused(task.due_at, now) : now;
    if (move.to === "ready") {
      task.attempt += 1;
      task.front = true;
      task.hint = move.hint;
    }
    if (move.to === "ready" || move.to === "reflecting") task.expired_claims = 0;
    if (move.to === "reflecting") task.result = move.result;
    if (move.to === "failed" || move.to === "abandoned") task.reason = move.reason;
    if (move.to === "done" && move.reason !== undefined) task.reason = move.reason;
    task.ended_at = ["done", "failed", "abandoned", "split"].includes(move.to) ? now : null;
    task.wait = move.to === "waiting" ? describeWaits(book, task) : null;
  }
  switch (move.to) {
    case "done":
      for (const other of dependentsOf(book, task.id)) {
        other.blockers -= 1;
        if (other.status !== "pending" || other.blockers > 0) continue;
        moveTaskTo(tables, book, other, "ready");
        other.due_at = dueUnlessPaused(other.due_at, now);
      }
      goal.live_tasks -= 1;
      goal.done_since_plan += 1;
      if (
        goal.planning === "every-step" ||
        (goal.planning === "every-n" && goal.done_since_plan >= goal.planning_every) ||
        move.replan === true
      )
        goal.plan_wanted += 1;
      break;
    case "failed":
    case "abandoned":
      goal.live_tasks -= 1 + cancelDependents(tables, book, task.id);
      goal.plan_wanted += 1;
      break;
    case "split":
      splitTask(tables, book, task, write.tasks ?? []);
      break;
    case "waiting":
      appendEvents(book, [
        { type: "task.waiting", task: task.id, data: { key: task.key, on: describeWaits(book, task) } },
      ]);
      break;
    case "reflecting":
    case "ready":
    case "released":
      break;
  }
  if (goal.live_tasks === 0 && goal.plan_wanted === 0) goal.plan_wanted += 1;
}

const describeWaits = (book: GoalBook, task: ModelTask) =>
  openWaits(book, task.id, task.attempt)
    .toSorted((a, b) => a.seq - b.seq)
    .map((wait) => ({ id: wait.id, kind: wait.kind, name: wait.name, seq: wait.seq, deadline_at: wait.deadline_at }));

const dependentsOf = ({ tasks, needs }: GoalBook, id: string) => tasks.filter((task) => needs.get(task.id)?.has(id));

function cancelDependents(tables: Tables, book: GoalBook, dead: string): number {
  const doomed = new Set<string>();
  const spread = (id: string) => {
    for (const task of dependentsOf(book, id))
      if (!doomed.has(task.id)) {
        doomed.add(task.id);
        spread(task.id);
      }
  };
  spread(dead);
  let cancelled = 0;
  for (const task of book.tasks) {
    if (!doomed.has(task.id) || task.status !== "pending") continue;
    moveTaskTo(tables, book, task, "cancelled");
    task.reason = "dependency_failed";
    task.ended_at = tables.now();
    cancelled += 1;
    const data = { key: task.key, reason: "dependency_failed" };
    appendEvents(book, [{ type: "task.abandoned", task: task.id, data }]);
  }
  return cancelled;
}

function splitTask(tables: Tables, book: GoalBook, task: ModelTask, subtasks: readonly TaskRow[]): void {
  insertTasks(tables, book, subtasks);
  // Its subtasks stand in for it.
  for (const other of dependentsOf(book, task.id)) {
    const needs = book.needs.get(other.id)!;
    needs.delete(task.id);
    for (const subtask of subtasks) needs.add(subtask.id);
    other.blockers += subtasks.length - 1;
  }
  book.goal.live_tasks -= 1;
  book.goal.plan_wanted += 1;
}

/** What a dependency means now: the task itself, or what its splits became (W6). */
function resolveNeeds(book: GoalBook, tasks: readonly TaskRow[]): ReadonlyMap<string, ReadonlySet<string>> {
  const planned = new Set(tasks.map((task) => task.id as string));
  const resolve = (id: string): readonly string[] => {
    if (planned.has(id)) return [id];
    const task = book.tasks.find((each) => each.id === id);
    if (task === undefined) return [];
    if (task.status !== "split") return [id];
    return book.tasks.filter((each) => each.parent_id === id).flatMap((each) => resolve(each.id));
  };
  return new Map(tasks.map((task) => [task.id, new Set(task.depends_on.flatMap(resolve))]));
}

function firstDead(book: GoalBook, tasks: readonly TaskRow[]): string | undefined {
  const needed = [...resolveNeeds(book, tasks).values()].flatMap((ids) => [...ids]);
  const dead = book.tasks.find(
    (task) => needed.includes(task.id) && ["failed", "abandoned", "cancelled"].includes(task.status),
  );
  return dead?.key;
}

function insertTasks(tables: Tables, book: GoalBook, rows: readonly TaskRow[]): void {
  const { goal } = book;
  const now = tables.now();
  const resolved = resolveNeeds(book, rows);
  const inserted = rows.map((row, index): ModelTask => {
    let key = row.key;
    for (let tries = 2; book.tasks.some((task) => task.key === key); tries += 1)
      key = `${row.key.slice(0, 50)}+${tries}`;
    const task: ModelTask = {
      id: row.id,
      tenant_id: goal.tenant_id,
      goal_id: goal.id,
      retention: goal.retention,
      goal_day: goal.goal_day,
      key,
      number: goal.task_seq + index + 1,
      parent_id: row.parent,
      root_id: row.root,
      text: row.text,
      tools: row.tools,
      evidence: row.evidence,
      difficulty: row.difficulty,
      depth: row.depth,
      priority: goal.priority,
      status: "pending",
      attempt: 1,
      blockers: 0,
      front: row.front,
      hint: null,
      result: null,
      reason: null,
      wakes: 0,
      wait: null,
      models: null,
      fence: 0,
      lease_id: null,
      expired_claims: 0,
      steps_reserved: 0,
      tokens_reserved: 0,
      cost_reserved: 0,
      steps_needed: 0,
      tokens_needed: 0,
      cost_needed: 0,
      backoffs: 0,
      last_write: null,
      dispatch: 0,
      dispatched_at: null,
      job_id: null,
      due_at: now,
      created_at: now,
      started_at: null,
      ended_at: null,
    };
    book.tasks.push(task);
    tables.taskGoals.set(task.id, goal.id);
    return task;
  });
  goal.task_seq += rows.length;
  goal.live_tasks += rows.length;
  const created: NewEvent[] = [];
  for (const task of inserted) {
    const needs = resolved.get(task.id)!;
    book.needs.set(task.id, new Set(needs));
    const needed = book.tasks.filter((each) => needs.has(each.id));
    task.blockers = needed.filter((each) => each.status !== "done").length;
    const parent = book.tasks.find((each) => each.id === task.parent_id)?.key ?? null;
    const data = { key: task.key, text: task.text, parent, depends_on: needed.map((each) => each.key) };
    created.push({ type: "task.created", task: task.id, data });
  }
  for (const task of inserted) if (task.blockers === 0) moveTaskTo(tables, book, task, "ready");
  appendEvents(book, created);
}

function moveGoal(tables: Tables, book: GoalBook, write: Extract<Write, { task?: never }>): void {
  const { goal } = book;
  const now = tables.now();
  const { plan, end, release, ask } = write;
  goal.intake = write.intake ?? goal.intake;
  goal.guards = write.guards ?? goal.guards;
  if ((plan ?? end ?? release ?? ask) === undefined) return;
  goal.lease_id = null;
  goal.dispatched_at = null;
  goal.expired_claims = 0;
  goal.due_at = dueUnlessPaused(goal.due_at, now + (release?.due_in_ms ?? 0));
  goal.steps_reserved -= goal.plan_reserved;
  goal.plan_reserved = 0;
  if (ask !== undefined) askQuestion(tables, book, ask);
  else if (plan !== undefined) {
    if (plan.tasks.length > 0) insertTasks(tables, book, plan.tasks);
    moveGoalTo(goal, "running");
    goal.plan_round += 1;
    goal.done_since_plan = 0;
    goal.plan_wanted = Math.max(goal.plan_wanted - plan.read, 0);
    if (goal.live_tasks === 0 && goal.plan_wanted === 0) goal.plan_wanted = 1;
  } else if (end !== undefined) {
    endTasks(tables, book, "goal_ended");
    moveGoalTo(goal, end.to);
    goal.reason = end.reason ?? null;
    goal.detail = end.detail ?? null;
    goal.answer = end.answer ?? null;
    goal.citations = end.citations ?? null;
    goal.ended_at = now;
    goal.live_tasks = goal.plan_wanted = 0;
    goal.steps_reserved = goal.tokens_reserved = goal.cost_reserved = 0;
    goal.plan_round += 1;
    appendEvents(book, [{ type: `goal.${end.to}`, data: end as unknown as Record<string, unknown> }]);
  }
}

export function endTasks(tables: Tables, book: GoalBook, reason: string): void {
  for (const task of book.tasks.filter(isLive)) {
    moveTaskTo(tables, book, task, "cancelled");
    Object.assign(task, { reason, lease_id: null, dispatched_at: null, ended_at: tables.now() });
    task.steps_reserved = task.tokens_reserved = task.cost_reserved = 0;
    task.fence += 1;
  }
}
