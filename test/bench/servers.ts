/**
 * The servers that are measured, and nobody else's: PostgreSQL with its durable defaults (fsync and synchronous_commit on)
 * and Valkey with its append-only file, on new data.
 */
import { randomBytes } from "node:crypto";
import { Redis } from "ioredis";
import pg from "pg";
import { findPostgres, findRedis } from "../../scripts/servers/find.mjs";
import { startOwnPostgres, startOwnRedis, type OwnServer } from "../crash/support/own-servers.ts";

export interface BenchServers {
  readonly postgres: OwnServer;
  readonly valkey: OwnServer;
  readonly versions: { readonly postgres: string; readonly valkey: string };
  /** A new, empty database; its URL. */
  createDatabase(): Promise<string>;
  dropDatabase(url: string): Promise<void>;
  /** Leaves nothing behind of what was measured before: no jobs, no pages still to be written. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

const postgresSettings = { fsync: "on", synchronous_commit: "on", shared_preload_libraries: "pg_stat_statements" };
const valkeySettings = { appendonly: "yes" };

export async function startServers(): Promise<BenchServers> {
  if (findPostgres() === undefined || findRedis() === undefined)
    throw new Error("PostgreSQL with pgvector and Valkey are not on this machine: node scripts/servers.mjs install");
  const postgres = await startOwnPostgres(postgresSettings);
  try {
    await trackStatements(postgres.url, "none");
    const valkey = await startOwnRedis(valkeySettings);
    return {
      postgres,
      valkey,
      versions: { postgres: await versionOfPostgres(postgres.url), valkey: await versionOfValkey(valkey.url) },
      async createDatabase() {
        const name = `${databasePrefix}${randomBytes(4).toString("hex")}`;
        await withClient(postgres.url, (client) => client.query(`CREATE DATABASE ${name}`));
        const url = new URL(postgres.url);
        url.pathname = name;
        return url.href;
      },
      dropDatabase: (url) =>
        withClient(postgres.url, async (client) => {
          await client.query(`DROP DATABASE ${databaseName(url)} WITH (FORCE)`);
        }),
      async settle() {
        await withRedis(valkey.url, (client) => client.flushall());
        await withClient(postgres.url, (client) => client.query("CHECKPOINT"));
      },
      close: async () => void (await Promise.all([postgres.close(), valkey.close()])),
    };
  } catch (thrown) {
    await postgres.close();
    throw thrown;
  }
}

/**
 * The counter of statements is loaded but off, and on only where statements are counted: it costs what is measured. Not set on
 * the command line, which would overrule this.
 */
export async function trackStatements(adminUrl: string, which: "all" | "none"): Promise<void> {
  await withClient(adminUrl, async (client) => {
    await client.query(`ALTER SYSTEM SET pg_stat_statements.track = '${which}'`);
    await client.query("SELECT pg_reload_conf()");
  });
}

export async function withClient<Result>(url: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client({ connectionString: url, application_name: "outerloop-bench" });
  // A connection that breaks fails its query; without a listener it would end the bench before it has cleaned up.
  client.on("error", () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

async function versionOfPostgres(url: string): Promise<string> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ server_version: string }>("SHOW server_version");
    return rows[0]?.server_version.split(" ")[0] ?? "?";
  });
}

function versionOfValkey(url: string): Promise<string> {
  return withRedis(url, async (client) => {
    const info = await client.info("server");
    return (/valkey_version:(\S+)/.exec(info) ?? /redis_version:(\S+)/.exec(info))?.[1] ?? "?";
  });
}

export async function withRedis<Result>(url: string, work: (client: Redis) => Promise<Result>): Promise<Result> {
  const client = new Redis(url);
  client.on("error", () => undefined);
  try {
    return await work(client);
  } finally {
    client.disconnect();
  }
}

const databasePrefix = "bench_";

export function databaseName(url: string): string {
  return new URL(url).pathname.slice(1);
}
