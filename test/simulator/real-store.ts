/**
 * Repeats on a real database what a simulation did to the model, at the same instants, and says where the two differ. The
 * database's clock is the simulation's: clock_timestamp() and now() are found in a schema that is searched first.
 */
import {
  answerQuestion,
  cancelGoal,
  createStore,
  decideApproval,
  OuterloopError,
  pauseGoal,
  resumeGoal,
  retryGoal,
  signalGoal,
  submitGoal,
  type Claimed,
  type CreateId,
  type Db,
  type GoalId,
  type Principal,
  type Store,
  type WaitId,
} from "@outerloop/core";
import { sql } from "kysely";
import type { GoalBook } from "./model/rows.ts";
import type { Tables } from "./model/tables.ts";
import type { Deed } from "./people.ts";
import type { Recorded } from "./simulation.ts";

/** A session whose clock is told: the database must have no other. */
export async function takeOverClock(db: Db): Promise<void> {
  await sql`CREATE SCHEMA simulated`.execute(db);
  for (const name of ["clock_timestamp", "now"])
    await sql`
      CREATE FUNCTION ${sql.raw(`simulated.${name}`)}() RETURNS timestamptz LANGUAGE sql STABLE AS $$
        SELECT current_setting('simulated.now')::timestamptz $$`.execute(db);
  await sql`GRANT USAGE ON SCHEMA simulated TO outerloop_api`.execute(db);
  const { rows } = await sql<{ table_name: string; column_name: string }>`
    SELECT table_name, column_name FROM information_schema.columns
    WHERE table_schema = 'public' AND column_default IN ('now()', 'clock_timestamp()')`.execute(db);
  for (const { table_name, column_name } of rows)
    await sql`ALTER TABLE ${sql.table(table_name)} ALTER ${sql.ref(column_name)} SET DEFAULT simulated.clock_timestamp()`.execute(
      db,
    );
  await sql`SET search_path = simulated, public, pg_catalog`.execute(db);
  for (const tenant of ["tenant1", "tenant2"])
    await sql`INSERT INTO tenants (id, name, created_at) VALUES (${tenant}, ${tenant}, '2026-01-01')`.execute(db);
}

/** Everything of a simulation that was done before is forgotten. */
export async function emptyStore(db: Db): Promise<void> {
  await sql`TRUNCATE goals, tasks, task_dependencies, waits, questions, signals, effects, steps, blobs, events, artifacts, memory_entries, leases, sessions, idempotency_keys CASCADE`.execute(
    db,
  );
}

export interface Difference {
  readonly what: string;
  readonly model: unknown;
  readonly real: unknown;
}

export function createFollower(db: Db) {
  const store = createStore(db);
  const told = new Map<string, { steps: number; events: number; artifacts: number }>();

  return {
    /** Does the same; returns the first thing that differs. */
    async follow(recorded: Recorded, tables: Tables): Promise<Difference | null> {
      const { at, call, touched } = recorded;
      await sql`SELECT set_config('simulated.now', ${new Date(at).toISOString()}, false)`.execute(db);
      if ("deed" in call) {
        const answer = await performReal(db, call.deed, tables);
        if (answer !== call.answer) return { what: `answer to ${call.deed.do}`, model: call.answer, real: answer };
      } else {
        if (unmodelled.has(call.name)) return null;
        const real = await callReal(store, call.name as keyof Store, await ownArgs(store, call.name, call.args));
        const difference = firstDifference(readReply(call.name, call.reply), readReply(call.name, real), call.name);
        if (difference !== null) return difference;
      }
      for (const id of touched) {
        const difference = await compareGoal(db, tables.books.get(id)!, told);
        if (difference !== null) return difference;
      }
      return null;
    },
  };
}

/** Meaning, and what only dates from the real clock. */
const unmodelled: ReadonlySet<string> = new Set(["nearestMemories", "newestMemories"]);

/** A goal's row says in which partition its texts and steps are, which is of the day on which it really was made. */
async function ownArgs(store: Store, name: string, args: readonly unknown[]): Promise<readonly unknown[]> {
  if (name !== "loadTexts" && name !== "listSucceeded") return args;
  const [goal, ...rest] = args as [{ readonly id: GoalId }, ...unknown[]];
  return [await store.loadGoal(goal.id), ...rest];
}

async function callReal(store: Store, name: keyof Store, args: readonly unknown[]): Promise<unknown> {
  try {
    return await (store[name] as (...given: readonly unknown[]) => Promise<unknown>)(...args);
  } catch (thrown) {
    return thrown as Error;
  }
}

async function performReal(db: Db, deed: Deed, tables: Tables): Promise<string> {
  const tenant = deed.do === "submit" ? deed.input.tenant : tables.books.get(deed.goal)!.goal.tenant_id;
  const principal = { kind: "key", tenantId: tenant, keyId: "k_simulator", role: "operator" } as unknown as Principal;
  const kind = await (async (): Promise<{ readonly kind: string }> => {
    switch (deed.do) {
      case "submit": {
        const { id, text, session, planning, budget, questionsWaitMs } = deed.input;
        const given = {
          text,
          session,
          budget,
          planning:
            planning.cadence === "every-n"
              ? { cadence: planning.cadence, every: planning.every }
              : { cadence: planning.cadence },
          priority: 0,
          labels: {},
          attachments: [],
          questionsWaitMs,
          idempotency: null,
        };
        return submitGoal(db, principal, given, (() => id) as unknown as CreateId);
      }
      case "cancel":
        return cancelGoal(db, principal, deed.goal as GoalId, null);
      case "pause":
        return pauseGoal(db, principal, deed.goal as GoalId);
      case "retry":
        return retryGoal(db, principal, deed.goal as GoalId);
      case "resume":
        return resumeGoal(db, principal, deed.goal as GoalId, deed.more);
      case "signal":
        return signalGoal(db, principal, deed.goal as GoalId, {
          ...deed.signal,
          task: deed.signal.task as never,
          by: "simulator",
        });
      case "answer":
        return answerQuestion(db, principal, deed.goal as GoalId, { ...deed.answer, by: "simulator" });
      case "decide":
        return decideApproval(db, principal, "simulator", deed.wait as WaitId, deed.decision);
    }
  })().catch((thrown: unknown) => {
    if (thrown instanceof OuterloopError && thrown.code === "invalid_input") return { kind: "too_small" };
    throw thrown;
  });
  return ["created", "retried", "decided"].includes(kind.kind) ? "moved" : kind.kind;
}

/** What of a reply is compared: the order of what has none, and texts that only people read, are taken out. */
function readReply(name: string, reply: unknown): unknown {
  if (reply instanceof Error) return { thrown: /lease .* has expired/.test(reply.message) ? "lease" : reply.message };
  switch (name) {
    case "commitWrites": {
      const { writes, jobs, events } = reply as {
        writes: { id: string; why?: string }[];
        jobs: { job: string }[];
        events: object;
      };
      return {
        // Of several dead dependencies any may be named.
        writes: writes
          .toSorted((a, b) => (a.id < b.id ? -1 : 1))
          .map((write) => ({ ...write, why: write.why?.replace(/depends on .*,/, "depends on …,") })),
        jobs: sorted(jobs),
        events,
      };
    }
    case "dispatchDue":
    case "findUnclaimedJobs":
      return sorted(reply as { job: string }[]);
    case "claimWork":
      return (reply as readonly Claimed[]).map(readClaimed);
    case "loadTwins":
      return [...(reply as Map<string, { status: string }>)].map(([key, { status }]) => [key, status]);
    case "tenantsWithDueWork":
    case "listSucceeded":
    case "listReachedOut":
    case "listNotes":
      return (reply as string[]).toSorted();
    case "listOwnClaims":
      return (reply as { id: string }[]).toSorted((a, b) => (a.id < b.id ? -1 : 1));
    case "listTasks":
      return (reply as { dependsOn: readonly string[] }[]).map((task) => ({
        ...task,
        dependsOn: task.dependsOn.toSorted(),
      }));
    default:
      return reply;
  }
}

/** Rows are compared as rows. */
function readClaimed(claimed: Claimed): unknown {
  switch (claimed.kind) {
    case "busy":
      return claimed;
    case "goal": {
      if (claimed.claim === undefined) return null;
      const { row: _row, tasks, ...claim } = claimed.claim;
      return { ...claim, tasks: tasks.map(({ row: _taskRow, ...task }) => task) };
    }
    case "tasks":
      return {
        ...claimed.claims,
        claimed: claimed.claims.claimed.map(({ goalRow: _goalRow, ...claim }) => claim),
      };
  }
}

const sorted = <Job extends { readonly job: string }>(jobs: readonly Job[]) =>
  jobs.toSorted((a, b) => (a.job < b.job ? -1 : a.job > b.job ? 1 : 0));

const leftOut = new Set(["goal_day", "retention", "labels", "created_by", "duration_ms", "at", "opaque", "tenant_id"]);

async function compareGoal(
  db: Db,
  book: GoalBook,
  told: Map<string, { steps: number; events: number; artifacts: number }>,
): Promise<Difference | null> {
  const { goal } = book;
  const from = told.get(goal.id) ?? { steps: 0, events: 0, artifacts: 0 };
  const { rows } = await sql<{ book: Record<string, unknown> }>`
    SELECT jsonb_build_object(
      'goal', to_jsonb(g),
      'tasks', (SELECT jsonb_agg(to_jsonb(t) ORDER BY number) FROM tasks t WHERE goal_id = g.id),
      'needs', (SELECT jsonb_agg(task_id || ' ' || depends_on ORDER BY task_id COLLATE "C", depends_on COLLATE "C") FROM task_dependencies WHERE goal_id = g.id),
      'waits', (SELECT jsonb_agg(to_jsonb(w) ORDER BY id COLLATE "C") FROM waits w WHERE goal_id = g.id),
      'questions', (SELECT jsonb_agg(to_jsonb(q) ORDER BY id COLLATE "C") FROM questions q WHERE goal_id = g.id),
      'signals', (SELECT jsonb_agg(jsonb_build_object('number', number, 'name', name, 'task_id', task_id, 'payload', payload, 'key', key) ORDER BY number) FROM signals WHERE goal_id = g.id),
      'effects', (SELECT jsonb_agg(to_jsonb(e) - 'goal_id' ORDER BY key COLLATE "C") FROM effects e WHERE goal_id = g.id),
      'steps', (SELECT jsonb_agg(to_jsonb(s) ORDER BY number) FROM steps s WHERE goal_id = g.id AND number > ${from.steps}),
      'events', (SELECT jsonb_agg(jsonb_build_object('seq', seq, 'type', type, 'task_id', task_id, 'data', data) ORDER BY seq) FROM events WHERE goal_id = g.id AND seq > ${from.events}),
      'artifacts', (SELECT jsonb_agg(jsonb_build_object('version', version, 'path', path, 'mode', mode, 'origin', origin, 'hash', hash, 'task_id', task_id) ORDER BY version) FROM artifacts WHERE goal_id = g.id AND version > ${from.artifacts})
    ) AS book FROM goals g WHERE id = ${goal.id}`.execute(db);
  told.set(goal.id, { steps: book.steps.length, events: book.events.length, artifacts: book.artifacts.length });
  const byId = <Row extends { readonly id: string }>(list: readonly Row[]) =>
    list.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const needs = [...book.needs].flatMap(([task, all]) => [...all].map((need) => `${task} ${need}`)).toSorted();
  const model = {
    goal,
    tasks: orNull(book.tasks),
    needs: orNull(needs),
    waits: orNull(byId(book.waits)),
    questions: orNull(byId(book.questions)),
    signals: orNull(
      book.signals.map(({ number, name, task_id, payload, key }) => ({ number, name, task_id, payload, key })),
    ),
    effects: orNull([...book.effects.values()].toSorted((a, b) => (a.key < b.key ? -1 : 1))),
    steps: orNull(book.steps.slice(from.steps)),
    events: orNull(book.events.slice(from.events)),
    artifacts: orNull(book.artifacts.slice(from.artifacts).map(({ bytes: _b, at: _a, ...file }) => file)),
  };
  return firstDifference(model, rows[0]?.book, goal.id);
}

const orNull = <Item>(list: readonly Item[]) => (list.length === 0 ? null : list);

/** Where two values of JSON differ first; instants are compared as instants, however they are written. */
function firstDifference(model: unknown, real: unknown, what: string): Difference | null {
  const a = plain(model);
  const b = plain(real);
  if (a === b) return null;
  if (typeof a === "number" && typeof b === "number" && Math.abs(a - b) < 1e-6 * Math.max(1, Math.abs(a))) {
    // Of an instant a millisecond counts; of a price nothing does but rounding.
    return Number.isInteger(a) && Number.isInteger(b) ? { what, model: a, real: b } : null;
  }
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return { what, model: a, real: b };
  if (Array.isArray(a) !== Array.isArray(b)) return { what, model: a, real: b };
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    if (leftOut.has(key)) continue;
    const difference = firstDifference(
      (a as Record<string, unknown>)[key],
      (b as Record<string, unknown>)[key],
      `${what}.${key}`,
    );
    if (difference !== null) return difference;
  }
  return null;
}

/** The last instant that a Date holds: how the model hands out what never comes. */
const endOfTime = 8.64e15;

function plain(value: unknown): unknown {
  if (value === undefined || value === null) return null;
  if (value === Infinity || value === "infinity") return "infinity";
  if (value instanceof Map) return Object.fromEntries(value);
  if (Object.prototype.toString.call(value) === "[object Date]") {
    const at = (value as Date).getTime();
    return at === endOfTime ? "infinity" : at;
  }
  if (typeof value === "string" && /^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:?\d\d)$/.test(value)) return Date.parse(value);
  return value;
}
