/** A goal's recording, read from its journal: any goal has one, also one that is under way or that nobody meant to record. */
import { sql } from "kysely";
import { OuterloopError } from "../domain/errors.ts";
import type { GoalId } from "../domain/ids.ts";
import type { Principal } from "../domain/principal.ts";
import { recordingVersion, type RecordedCall, type Recording } from "../domain/recording.ts";
import { rebuildRequest } from "../domain/request-refs.ts";
import { isHash, type ModelStep, type Step } from "../domain/step.ts";
import { loadTexts } from "./blobs.ts";
import { asPrincipal, type Db, type Trx } from "./database.ts";
import { restoreTexts } from "./kept-texts.ts";
import { toStep, type GoalRow, type StepRecord } from "./rows.ts";

/** 1 MB a call on average, of a goal of 64 calls; most goals have a hundredth of it. */
export const defaultMaxRecordingBytes = 64 * 1024 * 1024;

/**
 * All finished model calls of the goal so far, each with its whole request. Reads attempt by attempt, so that no more is in memory
 * than the limit and one attempt's journal.
 * @returns undefined where there is no such goal
 * @throws OuterloopError `too_large` as soon as it would be larger than `maxBytes`; `not_found` where a part was forgotten
 */
export async function recordGoal(
  db: Db,
  principal: Principal,
  goalId: GoalId,
  maxBytes: number = defaultMaxRecordingBytes,
): Promise<Recording | undefined> {
  return asPrincipal(db, principal, async (trx) => {
    const goal = await trx
      .selectFrom("goals")
      .selectAll()
      .where("id", "=", goalId)
      .where("tenant_id", "=", principal.tenantId)
      .executeTakeFirst();
    if (goal === undefined) return undefined;
    let bytes = 0;
    const count = (more: number) => {
      bytes += more;
      if (bytes > maxBytes)
        throw new OuterloopError(
          "too_large",
          `The recording of goal ${goalId} would be larger than ${maxBytes} bytes; set OUTERLOOP_MAX_RECORDING_BYTES to allow more.`,
        );
    };
    const attachments = await loadAttachments(trx, goal, count);
    const numbered: { readonly number: number; readonly call: RecordedCall }[] = [];
    for (const attempt of await listAttempts(trx, goal)) {
      const rows = await loadRows(trx, goal, attempt);
      for (const each of await callsOf(trx, goal, attempt.key, rows)) {
        count(Buffer.byteLength(JSON.stringify(each.call)));
        numbered.push(each);
      }
    }
    const { id, text, status, planning, planning_every } = goal;
    return {
      version: recordingVersion,
      goal: { id, text, status, planning: toPlanning(planning, planning_every), attachments },
      calls: numbered.toSorted((a, b) => a.number - b.number).map(({ call }) => call),
    };
  });
}

function toPlanning(planning: string, every: number): Recording["goal"]["planning"] {
  if (planning === "every-n") return { every_n: every };
  return planning === "every-step" ? planning : "adaptive";
}

interface Attempt {
  readonly subject_id: string;
  readonly attempt: number;
  /** The task's; null for the planner. */
  readonly key: string | null;
}

async function listAttempts(trx: Trx, goal: GoalRow): Promise<Attempt[]> {
  const { rows } = await sql<Attempt>`
    SELECT s.subject_id, s.attempt, t.key
    FROM (SELECT subject_id, attempt, min(number) AS number FROM steps WHERE goal_id = ${goal.id} AND retention = ${goal.retention}
      AND goal_day = ${goal.goal_day} AND kind = 'model' GROUP BY 1, 2) s
    LEFT JOIN tasks t ON t.id = s.subject_id ORDER BY s.number`.execute(trx);
  return rows;
}

async function loadRows(trx: Trx, goal: GoalRow, { subject_id, attempt }: Attempt): Promise<readonly StepRecord[]> {
  const rows = await trx
    .selectFrom("steps")
    .selectAll()
    .where("retention", "=", goal.retention)
    .where("goal_day", "=", goal.goal_day)
    .where("subject_id", "=", subject_id)
    .where("attempt", "=", attempt)
    .where("phase", "=", "result")
    .orderBy("seq")
    .execute();
  return restoreTexts(trx, rows);
}

async function callsOf(
  trx: Trx,
  goal: GoalRow,
  task: string | null,
  rows: readonly StepRecord[],
): Promise<{ readonly number: number; readonly call: RecordedCall }[]> {
  const steps = rows.map(toStep);
  const texts = await loadTexts(trx, goal, [...new Set(steps.flatMap(hashesOf))]);
  const load = (hash: string) => {
    const text = texts.get(hash);
    if (text !== undefined) return text;
    throw new OuterloopError(
      "not_found",
      `Part ${hash} of a request of goal ${goal.id} was forgotten, so it cannot be recorded.`,
    );
  };
  return steps.flatMap((step, index) => {
    if (step.kind !== "model") return [];
    const { stage, attempt, seq, requestHash, output, usage } = step;
    const call: RecordedCall = {
      stage,
      task,
      attempt,
      seq,
      request_hash: requestHash,
      request: rebuildRequest(step, steps, load),
      response: { message: output.message, stop: output.stop, usage, provider: output.provider, model: output.model },
    };
    return [{ number: rows[index]!.number, call }];
  });
}

function hashesOf(step: Step): readonly string[] {
  if (step.kind !== "model") return [];
  const { system, tools, added }: ModelStep["input"] = step.input;
  return [system, tools, ...added.flatMap((ref) => (ref.role === "user" ? ref.parts.filter(isHash) : []))];
}

/** The files that the goal was given, as they were then. */
async function loadAttachments(
  trx: Trx,
  goal: GoalRow,
  count: (bytes: number) => void,
): Promise<Recording["goal"]["attachments"]> {
  const given = sql`FROM artifacts WHERE goal_id = ${goal.id} AND retention = ${goal.retention} AND goal_day = ${goal.goal_day} AND origin = 'attached'`;
  const size = await sql<{
    bytes: number;
  }>`SELECT coalesce(sum(octet_length(bytes)), 0)::bigint AS bytes ${given}`.execute(trx);
  // In base64.
  count(Math.ceil((size.rows[0]!.bytes * 4) / 3));
  const { rows } = await sql<{ path: string; bytes: Uint8Array }>`SELECT path, bytes ${given} ORDER BY version`.execute(
    trx,
  );
  return rows.map(({ path, bytes }) => ({ path, base64: Buffer.from(bytes).toString("base64") }));
}
