/** Applies `migrations/NNNN-verb-noun.{up,down}.sql` in order, each once, in one transaction, one process at a time. */
import { readdir, readFile } from "node:fs/promises";
import { sql, type Kysely } from "kysely";
import { Migrator, type Migration, type MigrationProvider } from "kysely/migration";
import { messageOf, OuterloopError } from "../domain/errors.ts";
import type { Db } from "./database.ts";

const migrationsFolder = new URL("../../../../migrations/", import.meta.url);

class SqlFiles implements MigrationProvider {
  async getMigrations(): Promise<Record<string, Migration>> {
    const files = await readdir(migrationsFolder);
    const names = files.filter((file) => file.endsWith(".up.sql")).map((file) => file.slice(0, -".up.sql".length));
    return Object.fromEntries(
      names.toSorted().map((name) => [name, { up: run(`${name}.up.sql`), down: run(`${name}.down.sql`) }]),
    );
  }
}

function run(file: string) {
  return async (db: Kysely<never>) => {
    await sql.raw(await readFile(new URL(file, migrationsFolder), "utf8")).execute(db);
  };
}

/** How a database stands to the migrations that this code has. */
export interface SchemaState {
  /** This code has them and the database lacks them. */
  readonly missing: readonly string[];
  /** The database has them and this code does not: newer code works beside this. */
  readonly unknown: readonly string[];
}

/** Reads only, also where nothing was ever migrated. */
export async function readSchemaState(db: Db): Promise<SchemaState> {
  const known = Object.keys(await new SqlFiles().getMigrations());
  const { rows: tables } = await sql<{ name: string | null }>`
    SELECT to_regclass('kysely_migration')::text AS name`.execute(db);
  const { rows } =
    tables[0]?.name == null
      ? { rows: [] }
      : await sql<{ name: string }>`SELECT name FROM kysely_migration ORDER BY name`.execute(db);
  const applied = new Set(rows.map((row) => row.name));
  return {
    missing: known.filter((name) => !applied.has(name)),
    unknown: [...applied].filter((name) => !known.includes(name)),
  };
}

/**
 * Where newer code has migrated further than this one knows, there is nothing to do: migrations expand first, so that both
 * can work side by side while one takes the other's place.
 * @param target a migration's name to go forward or back to; the newest without it
 * @returns what was done
 */
export async function migrate(db: Db, target?: string): Promise<readonly string[]> {
  if (target === undefined && (await isAhead(db))) return [];
  const migrator = new Migrator({ db, provider: new SqlFiles() });
  const { error, results } = target === undefined ? await migrator.migrateToLatest() : await migrator.migrateTo(target);
  if (error !== undefined) {
    // Newer code may have come while this one waited for its turn.
    if (target === undefined && (await isAhead(db))) return [];
    const failed = results?.find((result) => result.status === "Error")?.migrationName;
    throw new OuterloopError("store_unavailable", `Migration ${failed ?? "set-up"} failed: ${messageOf(error)}`, {
      cause: error,
    });
  }
  return (results ?? []).map(
    (result) => `${result.direction === "Up" ? "applied" : "reverted"} ${result.migrationName}`,
  );
}

async function isAhead(db: Db): Promise<boolean> {
  const { missing, unknown } = await readSchemaState(db);
  return missing.length === 0 && unknown.length > 0;
}

/**
 * Roles are the server's, so a restored database may be without its own; and whoever owns the database may not be allowed to make one.
 * @throws OuterloopError `config` with what an administrator must do, where this role cannot do it itself
 */
export async function requireApiRole(db: Db): Promise<void> {
  const assume = () => db.transaction().execute((trx) => sql`SET LOCAL ROLE outerloop_api`.execute(trx));
  try {
    await assume();
  } catch {
    try {
      await sql`GRANT outerloop_api TO CURRENT_USER`.execute(db);
      await assume();
    } catch (cause) {
      throw new OuterloopError(
        "config",
        `The role of DATABASE_URL may not act as outerloop_api, by which people reach data. As an administrator of the server: CREATE ROLE outerloop_api NOLOGIN (if it is missing); GRANT outerloop_api TO the role of DATABASE_URL. (${messageOf(cause)})`,
        { cause },
      );
    }
  }
}

/** Days for which history partitions stand ready: a process that is not restarted makes more in time. */
const partitionDaysAhead = 3;

/** Makes the partitions of yesterday (clocks differ), today and the days to come. Safe to repeat. */
export async function ensurePartitions(db: Db): Promise<void> {
  await sql`
    SELECT ensure_history_partition(r, current_date + d)
    FROM unnest(ARRAY['standard']) r, generate_series(-1, ${partitionDaysAhead}::integer) d`.execute(db);
}
