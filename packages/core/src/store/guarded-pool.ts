/**
 * A pool as Kysely sees it, whose connection trouble is one of our own errors: `store_unavailable`, which may be tried
 * again. So no layer above has to know how a driver says that Postgres is away, and none mistakes it for a fault of its own.
 */
import type { PostgresPool, PostgresPoolClient } from "kysely";
import type pg from "pg";
import { OuterloopError } from "../domain/errors.ts";

export function guardPool(pool: pg.Pool): PostgresPool {
  return {
    options: pool.options,
    async connect() {
      const client = await guard(pool.connect());
      let broken: OuterloopError | undefined;
      const guarded = {
        query: async (text: string, values: unknown[]) => {
          // A rollback, say: it would wait behind a statement that nobody answers.
          if (broken !== undefined) throw broken;
          try {
            return await guard(client.query(text, values));
          } catch (thrown) {
            if (thrown instanceof OuterloopError) broken = thrown;
            throw thrown;
          }
        },
        // The driver learns of a lost connection a turn later than its query: the pool must not hand it out meanwhile.
        release: (destroy?: boolean) => client.release(broken ?? destroy),
      };
      return guarded as unknown as PostgresPoolClient;
    },
    end: () => pool.end(),
  };
}

async function guard<Result>(query: Promise<Result>): Promise<Result> {
  try {
    return await query;
  } catch (thrown) {
    if (!isConnectionError(thrown)) throw thrown;
    throw new OuterloopError(
      "store_unavailable",
      "Postgres cannot be reached or does not answer in time; nothing was changed or the outcome is unknown.",
      { retry: "backoff", cause: thrown },
    );
  }
}

const networkCodes = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
  "ENOTFOUND",
  "EHOSTUNREACH",
  "EAI_AGAIN",
]);

/**
 * Network errors, SQLSTATE classes 08 (connection), 53 (resources), 57P (shutdown), 57014 (a statement past its time), and
 * what pg says without a code.
 */
function isConnectionError(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false;
  const code = "code" in thrown ? String(thrown.code) : "";
  if (networkCodes.has(code) || /^(08|53|57P|57014)/.test(code)) return true;
  return /Connection terminated|Query read timeout|timeout exceeded when trying to connect|Client has encountered a connection error|Client was closed/.test(
    thrown.message,
  );
}
