/** Opens the database of either size; nothing above this module knows which one it is (DESIGN §4). */
import { mkdir } from "node:fs/promises";
import { Kysely, PostgresDialect, sql, type Transaction } from "kysely";
import pg from "pg";
import type { Principal } from "../domain/principal.ts";
import { EmbeddedPool } from "./embedded-pool.ts";
import { guardPool } from "./guarded-pool.ts";
import type { Schema } from "./schema.ts";

export type Db = Kysely<Schema>;
export type Trx = Transaction<Schema>;

export type DatabaseOptions =
  | { readonly kind: "embedded"; readonly folder: string | null }
  | {
      readonly kind: "server";
      readonly url: string;
      /**
       * Past a pooler that lends connections by the transaction (PgBouncer): the same database, for what needs a connection of
       * its own. Where this is set, statements through the pooler carry no time limit of their own: it refuses such a setting.
       */
      readonly directUrl?: string | null;
      readonly maxConnections: number;
      readonly applicationName: string;
      /** How long one statement may take; null for no end, as a migration needs it. */
      readonly statementMs?: number | null;
    };

export interface Database {
  readonly kind: "embedded" | "server";
  readonly db: Db;
  /** A `pg.Pool` or what looks like one. */
  readonly pool: pg.Pool;
  /** Whose connections are no pooler's: for LISTEN and for migrations. The same as `pool` where there is no pooler. */
  readonly sessions: pg.Pool;
  /** Of such connections, for another pool; null where there is only this one. */
  readonly url: string | null;
  close(): Promise<void>;
}

/** Longer than a commit waits for a lock (10 s). A statement that takes more has lost its plan, or its connection. */
const defaultStatementMs = 15_000;
/** Postgres ends a late statement itself; where even that is not heard, nobody is at the other end of the connection. */
const silenceMs = 2000;

/** Of a connection whose statements have no limit: less than a lease, since everybody else waits behind it. */
const patientLockMs = 3000;
/** One to listen, one for what is done once at the start. */
const sessionConnections = 2;

/** Numbers stay numbers (all our bigints are below 2^53) and a date stays the day it is, whatever the time zone. */
const int8 = 20;
const date = 1082;

export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  switch (options.kind) {
    case "embedded":
      return openEmbedded(options.folder);
    case "server":
      return openServer(options);
  }
}

async function openEmbedded(folder: string | null): Promise<Database> {
  // Loaded only here: a cluster's processes never pay for the WASM build.
  const [{ PGlite }, { vector }] = await Promise.all([
    import("@electric-sql/pglite"),
    import("@electric-sql/pglite-pgvector"),
  ]);
  if (folder !== null) await mkdir(folder, { recursive: true });
  const pglite = await PGlite.create({
    ...(folder === null ? {} : { dataDir: folder }),
    extensions: { vector },
    parsers: { [int8]: Number, [date]: (value) => value },
  });
  const pool = new EmbeddedPool(pglite) as unknown as pg.Pool;
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: guardPool(pool) }) });
  return {
    kind: "embedded",
    db,
    pool,
    sessions: pool,
    url: null,
    close: async () => {
      await db.destroy();
      await pglite.close();
    },
  };
}

async function openServer(options: Extract<DatabaseOptions, { kind: "server" }>): Promise<Database> {
  const { url, maxConnections } = options;
  const statementMs = options.statementMs === undefined ? defaultStatementMs : options.statementMs;
  const directUrl = options.directUrl ?? null;
  const settings = {
    application_name: options.applicationName,
    connectionTimeoutMillis: 10_000,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    ...(statementMs !== null && { query_timeout: statementMs + silenceMs }),
    types: { getTypeParser },
  };
  // A number of 0 would not be sent, and the role may have a limit of its own.
  const limits =
    statementMs === null
      ? { options: `-c statement_timeout=0 -c lock_timeout=${patientLockMs}` }
      : { statement_timeout: statementMs };
  const pool = createPool({
    ...settings,
    ...(directUrl === null && limits),
    connectionString: url,
    max: maxConnections,
  });
  const sessions =
    directUrl === null
      ? pool
      : createPool({ ...settings, ...limits, connectionString: directUrl, max: sessionConnections });
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: guardPool(pool) }) });
  return {
    kind: "server",
    db,
    pool,
    sessions,
    url: directUrl ?? url,
    close: async () => {
      await db.destroy();
      if (sessions !== pool) await sessions.end();
    },
  };
}

function createPool(settings: pg.PoolConfig): pg.Pool {
  const pool = new pg.Pool(settings);
  // An idle connection that the server ends is replaced by the next query; without a listener it would end the process.
  pool.on("error", () => undefined);
  // And so would one that breaks while a query has it: the query fails by itself.
  pool.on("connect", (client) => void client.on("error", () => undefined));
  return pool;
}

const getTypeParser = ((oid: number, format?: "text" | "binary") =>
  oid === int8
    ? Number
    : oid === date
      ? (value: string) => value
      : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser;

/**
 * Runs as the role by which people reach data: every row it sees is its tenant's. A worker's principal runs as the owner
 * and names the tenant in its guards.
 */
export function asPrincipal<Result>(
  db: Db,
  principal: Principal,
  work: (trx: Trx) => Promise<Result>,
): Promise<Result> {
  return db.transaction().execute(async (trx) => {
    if (principal.kind !== "worker") {
      await sql`SELECT set_config('outerloop.tenant', ${principal.tenantId}, true), set_config('role', 'outerloop_api', true)`.execute(
        trx,
      );
    }
    return work(trx);
  });
}

/** Throws where Postgres does not answer. */
export async function pingDatabase(db: Db): Promise<void> {
  await sql`SELECT 1`.execute(db);
}
