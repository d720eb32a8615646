/** A process's lease (W3): one row, renewed; every claim names it, so a dead process is noticed by its row alone. */
import { sql } from "kysely";
import type { LeaseId } from "../domain/ids.ts";
import { journalFormat } from "../domain/step.ts";
import type { Db } from "./database.ts";

export interface LeaseHolder {
  readonly id: LeaseId;
  readonly service: string;
  readonly host: string;
  readonly pid: number;
}

const rememberMs = 300_000;

/**
 * Writes or renews: a process that was stopped for long takes its own lease up again; its claims are guarded by their fences.
 * @returns the newest form of the journal that all can read who hold a lease or held one lately: after an outage of Postgres all
 *   leases have run out, and who renews first is not alone
 */
export async function renewLease(db: Db, holder: LeaseHolder, leaseMs: number): Promise<number> {
  const { rows } = await sql<{ format: number }>`
    WITH renewed AS (
      INSERT INTO leases (id, service, host, pid, journal_format, expires_at)
      VALUES (${holder.id}, ${holder.service}, ${holder.host}, ${holder.pid}, ${journalFormat}, clock_timestamp() + make_interval(secs => ${leaseMs / 1000}))
      ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at)
    SELECT coalesce(least(min(journal_format), ${journalFormat}), ${journalFormat})::integer AS format
    FROM leases WHERE expires_at > clock_timestamp() - make_interval(secs => ${rememberMs / 1000})`.execute(db);
  return rows[0]!.format;
}

/** How long this lease stands yet, by the database's clock; 0 where it does not. */
export async function leaseLeftMs(db: Db, id: LeaseId): Promise<number> {
  const { rows } = await sql<{ ms: number }>`
    SELECT greatest(extract(epoch FROM expires_at - clock_timestamp()) * 1000, 0)::float8 AS ms FROM leases WHERE id = ${id}`.execute(
    db,
  );
  return rows[0]?.ms ?? 0;
}

export async function dropLease(db: Db, id: LeaseId): Promise<void> {
  await db.deleteFrom("leases").where("id", "=", id).execute();
}

/** The embedded database has one process at a time: whatever lease is there at its start belongs to a dead one. */
export async function dropAllLeases(db: Db): Promise<void> {
  await db.deleteFrom("leases").execute();
}

/** Rows of processes that are long dead, after everything they held was given up. */
export async function dropOldLeases(db: Db): Promise<void> {
  await sql`DELETE FROM leases WHERE expires_at < clock_timestamp() - interval '1 hour' AND NOT EXISTS (SELECT FROM tasks WHERE lease_id = leases.id)`.execute(
    db,
  );
}
