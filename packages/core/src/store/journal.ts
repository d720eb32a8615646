/** The journal as people read it: what happened, in order, and the exact request of any step. */
import { rebuildRequest } from "../domain/request-refs.ts";
import { OuterloopError } from "../domain/errors.ts";
import { canonicalJson } from "../domain/json.ts";
import type { GoalId } from "../domain/ids.ts";
import type { ModelRequest } from "../domain/model.ts";
import type { Principal } from "../domain/principal.ts";
import { isHash, type ModelStep, type Step } from "../domain/step.ts";
import { loadTexts } from "./blobs.ts";
import { loadSteps } from "./claims.ts";
import { asPrincipal, type Db } from "./database.ts";
import { sha256 } from "./ids.ts";
import { restoreTexts } from "./kept-texts.ts";
import { toStep, type StepRecord } from "./rows.ts";

export interface StepFilter {
  readonly goalId: GoalId;
  readonly limit: number;
  /** Steps after this number. */
  readonly after: number;
}

export async function listSteps(db: Db, principal: Principal, filter: StepFilter): Promise<StepRecord[]> {
  return asPrincipal(db, principal, async (trx) => {
    const rows = await trx
      .selectFrom("steps")
      .selectAll()
      .where("goal_id", "=", filter.goalId)
      .where("tenant_id", "=", principal.tenantId)
      .where("number", ">", filter.after)
      .orderBy("number")
      .limit(filter.limit)
      .execute();
    return restoreTexts(trx, rows);
  });
}

/** A step's id says where it is: `subject.attempt.seq`. */
export function stepId(row: Pick<StepRecord, "subject_id" | "attempt" | "seq">): string {
  return `${row.subject_id}.${row.attempt}.${row.seq}`;
}

/** The newest finished step of a task's or a planner's attempt. Served by the primary key of the day's partition. */
export async function lastStep(db: Db, goalId: GoalId, subjectId: string, attempt: number): Promise<Step | null> {
  const row = await db
    .selectFrom("steps as s")
    .innerJoin("goals as g", (join) =>
      join.onRef("g.retention", "=", "s.retention").onRef("g.goal_day", "=", "s.goal_day"),
    )
    .selectAll("s")
    .where("g.id", "=", goalId)
    .where("s.subject_id", "=", subjectId)
    .where("s.attempt", "=", attempt)
    .where("s.phase", "=", "result")
    .orderBy("s.seq", "desc")
    .limit(1)
    .executeTakeFirst();
  return row === undefined ? null : toStep(row);
}

export interface ShownStep {
  readonly row: StepRecord;
  /** Only model steps have a request. */
  readonly request: { readonly body: ModelRequest; readonly hash: string; readonly recordedHash: string } | null;
}

/** One step, with its model request rebuilt from the journal. */
export async function getStep(db: Db, principal: Principal, id: string): Promise<ShownStep | undefined> {
  const [, subject, attempt, seq] = /^([gt]_[0-9a-z]+)\.(\d{1,6})\.(\d{1,6})$/.exec(id) ?? [];
  if (subject === undefined)
    throw new OuterloopError("not_found", `"${id}" is not a step's id: they look like t_….1.3`);
  return asPrincipal(db, principal, async (trx) => {
    const goalId = subject.startsWith("g_")
      ? subject
      : (await trx.selectFrom("tasks").select("goal_id").where("id", "=", subject).executeTakeFirst())?.goal_id;
    const goal =
      goalId === undefined
        ? undefined
        : await trx
            .selectFrom("goals")
            .selectAll()
            .where("id", "=", goalId)
            .where("tenant_id", "=", principal.tenantId)
            .executeTakeFirst();
    if (goal === undefined) return undefined;
    const kept = await trx
      .selectFrom("steps")
      .selectAll()
      .where("retention", "=", goal.retention)
      .where("goal_day", "=", goal.goal_day)
      .where("subject_id", "=", subject)
      .where("attempt", "=", Number(attempt))
      .where("seq", "=", Number(seq))
      .orderBy("phase", "desc")
      .executeTakeFirst();
    if (kept === undefined) return undefined;
    const row = (await restoreTexts(trx, [kept]))[0]!;
    if (row.kind !== "model") return { row, request: null };
    const steps = await loadSteps(trx, goal, subject, row.attempt);
    const step = toStep(row) as ModelStep;
    const hashes = steps.flatMap((each) =>
      each.kind === "model"
        ? [
            each.input.system,
            each.input.tools,
            ...each.input.added.flatMap((ref) => (ref.role === "user" ? ref.parts : [])).filter(isHash),
          ]
        : [],
    );
    const texts = await loadTexts(trx, goal, [...new Set(hashes)]);
    const body = rebuildRequest(step, steps, (hash) => {
      const text = texts.get(hash);
      if (text === undefined)
        throw new OuterloopError(
          "not_found",
          `Part ${hash} of step ${id} was forgotten, so its request cannot be rebuilt.`,
        );
      return text;
    });
    return { row, request: { body, hash: sha256(canonicalJson(body)), recordedHash: step.requestHash } };
  });
}
