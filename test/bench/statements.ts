/**
 * What PostgreSQL was asked, by its own count (pg_stat_statements). It costs what is measured, so it is on only while
 * statements are counted, never in a run whose time is taken.
 */
import { databaseName, trackStatements, withClient, type BenchServers } from "./servers.ts";

export interface CountedStatement {
  readonly query: string;
  /** Sent by a process, so a round trip; false for one that a function of the database ran. */
  readonly isTopLevel: boolean;
  readonly calls: number;
  readonly totalMs: number;
}

/** The statements on one database while `work` ran, costliest first, those of functions too. */
export async function countStatements<Result>(
  servers: BenchServers,
  databaseUrl: string,
  work: () => Promise<Result>,
): Promise<{ readonly result: Result; readonly statements: readonly CountedStatement[] }> {
  return withClient(servers.postgres.url, async (client) => {
    await client.query("CREATE EXTENSION IF NOT EXISTS pg_stat_statements");
    await trackStatements(servers.postgres.url, "all");
    await client.query("SELECT pg_stat_statements_reset()");
    try {
      const result = await work();
      const { rows } = await client.query<{ query: string; toplevel: boolean; calls: string; ms: number }>(
        `SELECT s.query, s.toplevel, s.calls, s.total_exec_time AS ms
         FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
         WHERE d.datname = $1 ORDER BY s.total_exec_time DESC`,
        [databaseName(databaseUrl)],
      );
      return {
        result,
        statements: rows.map((row) => ({
          query: row.query.replaceAll(/\s+/g, " ").trim(),
          isTopLevel: row.toplevel,
          calls: Number(row.calls),
          totalMs: row.ms,
        })),
      };
    } finally {
      await trackStatements(servers.postgres.url, "none");
    }
  });
}

export function roundTrips(statements: readonly CountedStatement[]): number {
  return statements.filter((each) => each.isTopLevel).reduce((sum, each) => sum + each.calls, 0);
}
