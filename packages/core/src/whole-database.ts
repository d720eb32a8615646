/**
 * What is done to a whole database, on a connection of its own without a time limit: brought up to date by one command or by whoever
 * starts first, waited for by the others, and rid of what ended long ago.
 */
import type { Config } from "./config.ts";
import { messageOf, OuterloopError } from "./domain/errors.ts";
import { migrateQueue } from "./queue/backend.ts";
import { openDatabase, pingDatabase, type Database, type Db } from "./store/database.ts";
import { ensurePartitions, migrate, readSchemaState, requireApiRole } from "./store/migrate.ts";
import { prune, type Pruned } from "./store/prune.ts";

/** Between looks at a schema that is waited for. */
const lookEveryMs = 1000;
/** How long a migration tries for a lock that somebody holds on. */
const lockedMs = 30 * 60_000;
/** How long a server that does not answer is waited for. */
const serverMs = 60_000;
/** SQLSTATE, appendix A of PostgreSQL's documentation. */
const lockNotAvailable = "55P03";

/**
 * Everything that a start would do to the database, and nothing else: tables, the queue's where it is in Postgres, partitions.
 * @param told what it waits for
 * @returns what was done, a line each
 */
export async function upgradeSchema(
  config: Config,
  told: (what: string) => void = () => undefined,
): Promise<readonly string[]> {
  const database = await openServer(config, null);
  try {
    await awaitServer(database.db, told);
    const done = await whileLocked(() => migrate(database.db));
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
    return await whileLocked(() => migrate(patient.db));
  } finally {
    await patient.close();
  }
}

/** @param olderThanMs since the end of a goal */
export async function pruneDatabase(config: Config, olderThanMs: number): Promise<Pruned> {
  const database = await openServer(config, null);
  try {
    await requireSchema(database.db);
    return await prune(database.db, olderThanMs, whileLocked);
  } finally {
    await database.close();
  }
}

/**
 * Who waits for a table's lock, as behind a backup, makes everybody wait who comes after: leases would run out and all work stand
 * still. So such a connection waits for a moment only, and here it comes again.
 */
async function whileLocked<Result>(work: () => Promise<Result>): Promise<Result> {
  for (const until = performance.now() + lockedMs; ;) {
    try {
      return await work();
    } catch (thrown) {
      const cause = thrown instanceof OuterloopError ? thrown.cause : thrown;
      const isLocked = cause instanceof Error && "code" in cause && cause.code === lockNotAvailable;
      if (!isLocked || performance.now() > until) throw thrown;
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
    }
  }
}

/** A database that is started beside this may come up a moment later. */
async function awaitServer(db: Db, told: (what: string) => void): Promise<void> {
  for (let until: number | undefined; ;) {
    try {
      return await pingDatabase(db);
    } catch (thrown) {
      if (!(thrown instanceof OuterloopError)) throw thrown;
      if (until === undefined) told(`Postgres does not answer; trying for ${serverMs / 1000} s.`);
      until ??= performance.now() + serverMs;
      if (performance.now() > until) throw thrown;
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
      "DATABASE_URL is not set: this is for a PostgreSQL. An embedded database is migrated when it is opened, and not pruned.",
    );
  return openDatabase({
    kind: "server",
    url: config.databaseDirectUrl ?? config.databaseUrl,
    maxConnections: 1,
    applicationName: "outerloop-migrate",
    statementMs,
  });
}
