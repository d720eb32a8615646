/** The schema of an installation: brought up to date by one command or by whoever starts first, and waited for by the others. */
import type { Config } from "./config.ts";
import { messageOf, OuterloopError } from "./domain/errors.ts";
import { migrateQueue } from "./queue/backend.ts";
import { openDatabase, type Database, type Db } from "./store/database.ts";
import { ensurePartitions, migrate, readSchemaState, requireApiRole } from "./store/migrate.ts";

/** Between looks at a schema that is waited for. */
const lookEveryMs = 1000;
/** How long a migration tries for a lock that somebody holds on. */
const lockedMs = 30 * 60_000;
/** SQLSTATE, appendix A of PostgreSQL's documentation. */
const lockNotAvailable = "55P03";

/**
 * Everything that a start would do to the database, and nothing else: tables, the queue's where it is in Postgres, partitions.
 * @returns what was done, a line each
 */
export async function upgradeSchema(config: Config): Promise<readonly string[]> {
  const database = await openServer(config, null);
  try {
    const done = await migratePatiently(database);
    await requireApiRole(database.db);
    if (config.redis === null) await migrateQueue(database);
    await ensurePartitions(database.db);
    return done;
  } finally {
    await database.close();
  }
}

/**
 * Changes nothing, and waits until the database has all migrations of this code. One that does not answer yet is waited for too.
 * @param told what it waits for, each time that this changes
 * @throws OuterloopError `config` after `timeoutMs`, with what is missing
 */
export async function awaitSchema(config: Config, timeoutMs: number, told: (what: string) => void): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  const database = await openServer(config, lookEveryMs * 5);
  try {
    for (let last = ""; ;) {
      const missing = await missingFrom(database.db).catch((thrown: unknown) => messageOf(thrown));
      if (missing === null) return;
      if (missing !== last) told((last = missing));
      if (performance.now() >= deadline)
        throw new OuterloopError("config", `Waited ${Math.round(timeoutMs / 1000)} s. ${missing}`);
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
    }
  } finally {
    await database.close();
  }
}

/** @throws OuterloopError `config` where migrations are missing that this process may not apply itself */
export async function requireSchema(db: Db): Promise<void> {
  const missing = await missingFrom(db);
  if (missing !== null) throw new OuterloopError("config", missing);
}

/** On a connection of its own, where a statement may take as long as it takes: an index is built in minutes. */
export async function migrateAll(database: Database): Promise<readonly string[]> {
  if (database.url === null) return migrate(database.db);
  const patient = await openDatabase({
    kind: "server",
    url: database.url,
    maxConnections: 1,
    applicationName: "outerloop-migrate",
    statementMs: null,
  });
  try {
    return await migratePatiently(patient);
  } finally {
    await patient.close();
  }
}

/**
 * A migration that waits for a table's lock, as behind a backup, makes everybody wait who comes after it: leases would run out and
 * all work stand still. So it waits for a moment only, and comes again.
 */
async function migratePatiently({ db }: Database): Promise<readonly string[]> {
  for (const until = performance.now() + lockedMs; ;) {
    try {
      return await migrate(db);
    } catch (thrown) {
      const cause = thrown instanceof OuterloopError ? thrown.cause : thrown;
      const isLocked = cause instanceof Error && "code" in cause && cause.code === lockNotAvailable;
      if (!isLocked || performance.now() > until) throw thrown;
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
    }
  }
}

async function missingFrom(db: Db): Promise<string | null> {
  const { missing } = await readSchemaState(db);
  if (missing.length === 0) return null;
  const names = missing.length > 1 ? `${missing[0]} to ${missing.at(-1)}` : missing[0];
  return `The database lacks ${missing.length === 1 ? "migration" : "migrations"} ${names}. Apply what is missing: outerloop migrate (or start with OUTERLOOP_MIGRATE=true).`;
}

async function openServer(config: Config, statementMs: number | null): Promise<Database> {
  if (config.databaseUrl === null)
    throw new OuterloopError(
      "config",
      "DATABASE_URL is not set. The embedded database migrates itself when it is opened.",
    );
  return openDatabase({
    kind: "server",
    url: config.databaseDirectUrl ?? config.databaseUrl,
    maxConnections: 1,
    applicationName: "outerloop-migrate",
    statementMs,
  });
}
