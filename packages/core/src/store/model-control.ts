/** What replicas know together of the models that they call, in Postgres and by its clock; see `models/routing/control.ts`. */
import { sql } from "kysely";
import { storable } from "../domain/json.ts";
import type { HeldTarget, ModelControl, Taken } from "../models/routing/control.ts";
import type { Db } from "./database.ts";

/** Targets that are looked at; far more than any settings name. */
const maxHeld = 1000;

interface HeldRow {
  readonly target: string;
  readonly state: HeldTarget["state"];
  readonly reason: string;
  readonly left_ms: number;
  readonly probing: boolean;
}

export function createModelControl(db: Db): ModelControl {
  const seconds = (ms: number) => sql`make_interval(secs => ${ms / 1000})`;
  return {
    async readHeld() {
      const { rows } = await sql<HeldRow>`
        SELECT target, state, reason, greatest(extract(epoch FROM held_until - clock_timestamp()) * 1000, 0)::float8 AS left_ms,
          coalesce(probe_until > clock_timestamp(), false) AS probing
        FROM model_breakers WHERE state = 'open' OR held_until > clock_timestamp() ORDER BY held_until DESC LIMIT ${maxHeld}`.execute(
        db,
      );
      return rows.map(({ left_ms, ...row }) => ({ ...row, leftMs: left_ms }));
    },

    async hold(target, state, reason, forMs) {
      await sql`
        INSERT INTO model_breakers AS b (target, state, reason, held_until)
          VALUES (${target}, ${state}, ${storable(reason)}, clock_timestamp() + ${seconds(forMs)})
          ON CONFLICT (target) DO UPDATE SET state = excluded.state, reason = excluded.reason, failed_probes = 0, probe_until = NULL,
            since = clock_timestamp(), held_until = excluded.held_until
          WHERE b.state = 'cooling' AND (excluded.state = 'open' OR excluded.held_until > b.held_until)`.execute(db);
    },

    async claimProbe(target, forMs) {
      const { numAffectedRows } = await sql`
        UPDATE model_breakers SET probe_until = clock_timestamp() + ${seconds(forMs)}
        WHERE target = ${target} AND state = 'open' AND held_until <= clock_timestamp()
          AND (probe_until IS NULL OR probe_until <= clock_timestamp())`.execute(db);
      return numAffectedRows === 1n;
    },

    async probeFailed(target, reason, openMs, maxOpenMs) {
      await sql`
        UPDATE model_breakers SET reason = ${storable(reason)}, failed_probes = failed_probes + 1, probe_until = NULL,
          held_until = clock_timestamp() + make_interval(secs => least(${openMs}::float8 * 2 ^ least(failed_probes + 1, 30), ${maxOpenMs}::float8) / 1000)
        WHERE target = ${target} AND state = 'open'`.execute(db);
    },

    async release(target) {
      await sql`DELETE FROM model_breakers WHERE target = ${target}`.execute(db);
    },

    async take({ tenantId, scopes, tokens, windowMs, waited }): Promise<Taken> {
      const { rows } = await sql<{ reply: { bucket: number } | { scope: string; wait_ms: number } }>`
        SELECT take_model_slots(${JSON.stringify(scopes)}::jsonb, ${tenantId}, ${tokens}::bigint, ${windowMs}::bigint, ${waited}) AS reply`.execute(
        db,
      );
      const reply = rows[0]!.reply;
      if ("scope" in reply) return { kind: "full", scope: reply.scope, waitMs: reply.wait_ms };
      const names = scopes.map((each) => each.scope);
      return { kind: "taken", ticket: { scopes: names, tenantId, bucket: reply.bucket, tokens, windowMs } };
    },

    async settle({ scopes, tenantId, bucket, tokens }, used) {
      if (used === tokens) return;
      await sql`
        UPDATE model_buckets SET tokens = greatest(tokens + ${used - tokens}::bigint, 0)
        WHERE scope = ANY(${sql.val(scopes)}::text[]) AND bucket = ${bucket} AND tenant_id = ${tenantId}`.execute(db);
    },
  };
}

/** Rows whose time is over; nobody else removes those of models that are called no more. */
export async function dropOldModelRows(db: Db): Promise<void> {
  // Nobody wants what was not probed for a day.
  await sql`
    DELETE FROM model_breakers WHERE held_until < clock_timestamp() - CASE state WHEN 'open' THEN interval '1 day' ELSE interval '0' END`.execute(
    db,
  );
  await sql`DELETE FROM model_views WHERE at < clock_timestamp() - interval '1 day'`.execute(db);
  await sql`DELETE FROM model_tests WHERE asked_at < clock_timestamp() - interval '1 day'`.execute(db);
  await sql`DELETE FROM model_queues WHERE waits_until < clock_timestamp() - interval '1 hour'`.execute(db);
}
