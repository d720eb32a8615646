/** A goal's beginning: the goal, its files and its first event in one transaction, safe to repeat by key. */
import { sql } from "kysely";
import type { Budget, Planning } from "../domain/goal.ts";
import { OuterloopError } from "../domain/errors.ts";
import type { CreateId, GoalId } from "../domain/ids.ts";
import type { RouteOverrides } from "../domain/model.ts";
import { nameOfPrincipal, type Principal } from "../domain/principal.ts";
import type { DueJob } from "./commit.ts";
import { asPrincipal, type Db, type Trx } from "./database.ts";
import { appendEvents } from "./events.ts";
import { createGatherer, type Answer } from "./gatherer.ts";
import { sha256 } from "./ids.ts";
import type { GoalRow } from "./rows.ts";

export interface NewAttachment {
  readonly path: string;
  readonly bytes: Uint8Array;
}

export interface NewGoal {
  readonly text: string;
  readonly session: string | null;
  readonly budget: Budget;
  readonly planning: Planning;
  readonly priority: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly attachments: readonly NewAttachment[];
  /** How long its submitter may be waited for; null where nobody is asked. */
  readonly questionsWaitMs: number | null;
  /** null where the routes serve. */
  readonly models?: RouteOverrides | null;
  readonly idempotency: { readonly key: string; readonly requestHash: string } | null;
}

export type Submitted =
  | { readonly kind: "created"; readonly goal: GoalRow; readonly job: DueJob }
  /** The same request with the same key came before: the same answer. */
  | { readonly kind: "repeated"; readonly goal: GoalRow }
  /** The key was used for another request. */
  | { readonly kind: "key_taken"; readonly goalId: GoalId };

/** Attachments are inserted in groups of about this many bytes: one statement each, never one huge message. */
const insertBytes = 4_000_000;

/** Goals of one statement, and the bytes of their texts. */
const maxBatch = 64;
const maxBatchBytes = 4_000_000;

export interface Submitter {
  /** As `submitGoal`. */
  submit(principal: Principal, input: NewGoal): Promise<Submitted>;
}

/** Goals that are posted at the same time are gathered (see `gatherer.ts`): the rate is not bound by commits. */
export function createSubmitter(db: Db, createId: CreateId): Submitter {
  interface Posted {
    readonly principal: Principal;
    readonly input: NewGoal;
  }
  const alone = ({ principal, input }: Posted) =>
    submitGoal(db, principal, input, createId).then(
      (reply) => ({ reply }),
      (thrown: unknown) => ({ thrown }),
    );
  const gatherer = createGatherer<Posted, Submitted>({
    maxItems: maxBatch,
    maxBytes: maxBatchBytes,
    bytesOf: ({ input }) => input.text.length,
    async send(posted) {
      const answers = new Map<Posted, Answer<Submitted>>();
      for (const [tenantId, group] of Map.groupBy(posted, (each) => each.principal.tenantId)) {
        try {
          const created = await submitTogether(db, tenantId, group, createId);
          for (const [index, each] of group.entries()) answers.set(each, { reply: created[index]! });
        } catch (thrown) {
          // Nobody knows whether they have begun: who posted may ask again, by the same key.
          const isUnknown = thrown instanceof OuterloopError && thrown.code === "store_unavailable";
          // Else what is wrong with one of them, or a key that was used before, is told to the one that it is of.
          for (const each of group) answers.set(each, isUnknown ? { thrown } : await alone(each));
        }
      }
      return posted.map((each) => answers.get(each)!);
    },
  });
  return {
    submit(principal, input) {
      const isPlain =
        principal.kind === "key" &&
        input.session === null &&
        input.attachments.length === 0 &&
        input.questionsWaitMs === null &&
        (input.models ?? null) === null;
      return isPlain ? gatherer.add({ principal, input }) : submitGoal(db, principal, input, createId);
    },
  };
}

async function submitTogether(
  db: Db,
  tenantId: string,
  group: readonly { readonly principal: Principal; readonly input: NewGoal }[],
  createId: CreateId,
): Promise<readonly Submitted[]> {
  const goals = group.map(({ principal, input }) => ({
    id: createId("goal"),
    text: input.text,
    planning: input.planning.cadence,
    planning_every: input.planning.cadence === "every-n" ? input.planning.every : 1,
    priority: input.priority,
    labels: input.labels,
    created_by: nameOfPrincipal(principal),
    steps: input.budget.steps,
    wall_ms: input.budget.wallMs,
    tokens: input.budget.tokens,
    micro_usd: input.budget.microUsd,
    key: input.idempotency?.key ?? null,
    request_hash: input.idempotency?.requestHash ?? null,
  }));
  const { rows } = await sql<GoalRow>`
    SELECT * FROM submit_goals(${tenantId}, ${JSON.stringify(goals)}::jsonb)`.execute(db);
  const byId = new Map(rows.map((row) => [row.id, row]));
  return goals.map(({ id }): Submitted => {
    const goal = byId.get(id);
    if (goal === undefined) throw new Error(`goal ${id} was not begun`);
    return { kind: "created", goal, job: planJob(id) };
  });
}

const planJob = (id: GoalId): DueJob => ({ queue: "plan", job: `${id}-p-1`, goal: id, tasks: [], front: false });

/** Writes the goal, its files and its first event in one transaction. Nothing of it exists if any of it fails. */
export async function submitGoal(db: Db, principal: Principal, input: NewGoal, createId: CreateId): Promise<Submitted> {
  const id = createId("goal");
  return asPrincipal(db, principal, async (trx) => {
    if (input.session !== null) {
      await trx
        .insertInto("sessions")
        .values({ tenant_id: principal.tenantId, id: input.session })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    }
    const goal = await trx
      .insertInto("goals")
      .values({
        id,
        tenant_id: principal.tenantId,
        session_id: input.session,
        retention: "standard",
        goal_day: sql`current_date`,
        text: input.text,
        planning: input.planning.cadence,
        planning_every: input.planning.cadence === "every-n" ? input.planning.every : 1,
        priority: input.priority,
        labels: JSON.stringify(input.labels),
        created_by: nameOfPrincipal(principal),
        budget_steps: input.budget.steps,
        budget_wall_ms: input.budget.wallMs,
        budget_tokens: input.budget.tokens,
        budget_micro_usd: input.budget.microUsd,
        deadline_at: sql`clock_timestamp() + make_interval(secs => ${input.budget.wallMs / 1000})`,
        wall_warn_at: sql`clock_timestamp() + make_interval(secs => ${(input.budget.wallMs / 1000) * 0.8})`,
        questions_wait_ms: input.questionsWaitMs,
        models: input.models ? JSON.stringify(input.models) : null,
        file_seq: input.attachments.length,
        dispatch: 1,
        dispatched_at: sql`clock_timestamp()`,
        job_id: `${id}-p-1`,
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    if (input.idempotency !== null) {
      // A concurrent request with the same key waits here for the first to commit, and then sees its row.
      const claimed = await trx
        .insertInto("idempotency_keys")
        .values({
          tenant_id: principal.tenantId,
          key: input.idempotency.key,
          request_hash: input.idempotency.requestHash,
          goal_id: id,
        })
        .onConflict((conflict) => conflict.doNothing())
        .returning("goal_id")
        .executeTakeFirst();
      if (claimed === undefined) throw new KeyTaken();
    }
    await insertAttachments(trx, goal, input.attachments);
    const taken = input.attachments.length === 0 ? await takeFilesOfSession(trx, goal) : 0;
    await appendEvents(trx, id, [
      {
        type: "goal.created",
        data: {
          text: input.text,
          session: input.session,
          attachments: input.attachments.length + taken,
          ...(taken > 0 && { attachments_from: "session" }),
        },
      },
    ]);
    return {
      kind: "created",
      goal: { ...goal, event_seq: 1 },
      job: planJob(id),
    } as const;
  }).catch((thrown: unknown) => {
    if (thrown instanceof KeyTaken && input.idempotency !== null) return repeated(db, principal, input.idempotency);
    throw thrown;
  });
}

/** Rolls the new goal back; the first one answers. */
class KeyTaken extends Error {}

async function repeated(
  db: Db,
  principal: Principal,
  idempotency: { readonly key: string; readonly requestHash: string },
): Promise<Submitted> {
  return asPrincipal(db, principal, async (trx) => {
    const used = await trx
      .selectFrom("idempotency_keys")
      .selectAll()
      .where("tenant_id", "=", principal.tenantId)
      .where("key", "=", idempotency.key)
      .executeTakeFirstOrThrow();
    if (used.request_hash !== idempotency.requestHash) return { kind: "key_taken", goalId: used.goal_id as GoalId };
    const goal = await trx.selectFrom("goals").selectAll().where("id", "=", used.goal_id).executeTakeFirstOrThrow();
    return { kind: "repeated", goal };
  });
}

async function insertAttachments(trx: Trx, goal: GoalRow, attachments: readonly NewAttachment[]): Promise<void> {
  let rows: {
    retention: string;
    goal_day: string;
    tenant_id: string;
    goal_id: string;
    version: number;
    path: string;
    mode: string;
    origin: string;
    bytes: Uint8Array;
    hash: string;
  }[] = [];
  let bytes = 0;
  for (const [index, file] of attachments.entries()) {
    rows.push({
      retention: goal.retention,
      goal_day: goal.goal_day,
      tenant_id: goal.tenant_id,
      goal_id: goal.id,
      version: index + 1,
      path: file.path,
      mode: "write",
      origin: "attached",
      bytes: file.bytes,
      hash: sha256(file.bytes),
    });
    bytes += file.bytes.length;
    if (bytes < insertBytes && rows.length < 200 && index < attachments.length - 1) continue;
    await trx.insertInto("artifacts").values(rows).execute();
    rows = [];
    bytes = 0;
  }
}

/** A goal that goes on with a session works on the session's files, unless it brings its own. Returns how many. */
async function takeFilesOfSession(trx: Trx, goal: GoalRow): Promise<number> {
  if (goal.session_id === null) return 0;
  const { rows } = await sql<{ n: number }>`
    WITH source AS (
      SELECT g.id FROM goals g
      WHERE g.tenant_id = ${goal.tenant_id} AND g.session_id = ${goal.session_id} AND g.id <> ${goal.id}
        AND EXISTS (SELECT FROM artifacts a WHERE a.goal_id = g.id AND a.origin = 'attached')
      ORDER BY g.created_at DESC LIMIT 1
    ), copied AS (
      INSERT INTO artifacts (retention, goal_day, tenant_id, goal_id, version, path, mode, origin, bytes, hash)
      SELECT ${goal.retention}, ${goal.goal_day}::date, ${goal.tenant_id}, ${goal.id}, row_number() OVER (ORDER BY a.version),
        a.path, 'write', 'attached', a.bytes, a.hash
      FROM artifacts a JOIN source s ON a.goal_id = s.id WHERE a.origin = 'attached'
      RETURNING 1
    )
    SELECT count(*)::integer AS n FROM copied`.execute(trx);
  const taken = rows[0]?.n ?? 0;
  if (taken > 0) await trx.updateTable("goals").set({ file_seq: taken }).where("id", "=", goal.id).execute();
  return taken;
}
