/** Servers that belong to one scenario: killed, stopped, filled up and started again on the same port and the same data. */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import pg from "pg";
import { findPostgres, findRedis } from "../../../scripts/servers/find.mjs";
import { freePort } from "../../../scripts/servers/process.mjs";

export interface OwnServer {
  readonly url: string;
  readonly port: number;
  readonly folder: string;
  /** Of its first process, while it runs. */
  pid(): number;
  /** Ends it at once, as a crash does, and waits until it has gone. */
  kill(): Promise<void>;
  /** Starts it again where it was; resolves when it serves. */
  start(): Promise<void>;
  /** Stops it for good and deletes its data. */
  close(): Promise<void>;
}

const startTimeoutMs = 30_000;

/** @param folder where its data go, to be on a disk of its own; a new one by default */
export async function startOwnPostgres(
  settings: Readonly<Record<string, string>> = {},
  folder = mkdtempSync(join(tmpdir(), "outerloop-postgres-")),
): Promise<OwnServer> {
  const found = findPostgres();
  if (found === undefined) throw new Error("there is no PostgreSQL with pgvector on this machine");
  const owner = serverOwner();
  const data = join(folder, "data");
  if (owner.uid !== undefined) execFileSync("chown", ["postgres", folder]);
  chmodSync(folder, 0o700);
  execFileSync(
    join(found.bin, "initdb"),
    ["-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8"],
    {
      ...owner,
      cwd: "/",
      stdio: "pipe",
    },
  );
  const port = await freePort();
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  const all = {
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    port: String(port),
    max_connections: "200",
    // A killed server loses nothing that the system has; only a power failure would.
    fsync: "off",
    ...settings,
  };
  const args = ["-D", data, ...Object.entries(all).flatMap(([key, value]) => ["-c", `${key}=${value}`])];
  return own({
    url,
    port,
    folder,
    serves: () => answersSql(url),
    spawn: () => spawn(join(found.bin, "postgres"), args, { ...owner, cwd: "/", stdio: "ignore" }),
    // Immediate: no checkpoint, every backend at once; the next start recovers from the log.
    crash: (child) => void child.kill("SIGQUIT"),
  });
}

/** Postgres and PgBouncer refuse to run as root; the package of Postgres has made a user for it. */
function serverOwner(): { readonly uid?: number; readonly gid?: number } {
  if (process.getuid?.() !== 0) return {};
  return { uid: Number(execFileSync("id", ["-u", "postgres"])), gid: Number(execFileSync("id", ["-g", "postgres"])) };
}

async function answersSql(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 1000 });
  try {
    await client.connect();
    await client.query("SELECT 1");
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** In transaction mode before this Postgres. */
export async function startOwnPgBouncer(
  program: string,
  postgres: OwnServer,
  settings: Readonly<Record<string, string>> = {},
): Promise<OwnServer> {
  const folder = mkdtempSync(join(tmpdir(), "outerloop-pgbouncer-"));
  const port = await freePort();
  const { username } = new URL(postgres.url);
  const file = join(folder, "pgbouncer.ini");
  const users = join(folder, "users.txt");
  const all = {
    listen_addr: "127.0.0.1",
    listen_port: String(port),
    unix_socket_dir: "",
    auth_type: "trust",
    auth_file: users,
    admin_users: username,
    pool_mode: "transaction",
    max_client_conn: "500",
    ...settings,
  };
  writeFileSync(users, `"${username}" ""\n`);
  writeFileSync(
    file,
    [
      "[databases]",
      `* = host=127.0.0.1 port=${postgres.port}`,
      "[pgbouncer]",
      ...Object.entries(all).map(([key, value]) => `${key} = ${value}`),
    ].join("\n"),
  );
  const owner = serverOwner();
  if (owner.uid !== undefined) execFileSync("chown", ["-R", "postgres", folder]);
  const url = new URL(postgres.url);
  url.port = String(port);
  return own({
    url: url.href,
    port,
    folder,
    serves: () => answersSql(url.href),
    spawn: () => spawn(program, [file], { ...owner, cwd: "/", stdio: "ignore" }),
    crash: (child) => void child.kill("SIGKILL"),
  });
}

/** Fit for queues, in memory alone unless `settings`, as in its configuration file, say otherwise; with a password. */
export async function startOwnRedis(settings: Readonly<Record<string, string>> = {}): Promise<OwnServer> {
  return startRedisProgram({ "maxmemory-policy": "noeviction", appendonly: "no", save: '""', ...settings }, []);
}

/** @param lines of its configuration file that may repeat a word */
export async function startOwnSentinel(lines: readonly string[], password: string): Promise<OwnServer> {
  return startRedisProgram({ requirepass: password }, ["--sentinel"], lines);
}

async function startRedisProgram(
  settings: Readonly<Record<string, string>>,
  args: readonly string[],
  lines: readonly string[] = [],
): Promise<OwnServer> {
  const program = findRedis();
  if (program === undefined) throw new Error("there is no Valkey or Redis on this machine");
  const folder = mkdtempSync(join(tmpdir(), "outerloop-redis-"));
  const port = await freePort();
  const { requirepass = randomBytes(12).toString("hex"), ...rest } = settings;
  const url = `redis://:${requirepass}@127.0.0.1:${port}`;
  const all = { port: String(port), bind: "127.0.0.1", dir: folder, requirepass, ...rest };
  const file = join(folder, "server.conf");
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, [...Object.entries(all).map(([key, value]) => `${key} ${value}`), ...lines].join("\n"), {
    mode: 0o600,
  });
  const serves = async () => {
    const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 });
    client.on("error", () => undefined);
    try {
      await client.connect();
      return (await client.ping()) === "PONG";
    } catch {
      return false;
    } finally {
      client.disconnect();
    }
  };
  return own({
    url,
    port,
    folder,
    serves,
    spawn: () => spawn(program, [file, ...args], { cwd: "/", stdio: "ignore" }),
    crash: (child) => void child.kill("SIGKILL"),
  });
}

interface Parts {
  readonly url: string;
  readonly port: number;
  readonly folder: string;
  readonly serves: () => Promise<boolean>;
  readonly spawn: () => ChildProcess;
  readonly crash: (child: ChildProcess) => void;
}

async function own({ url, port, folder, serves, spawn: spawnOne, crash }: Parts): Promise<OwnServer> {
  let child: ChildProcess | undefined;
  const ended = (each: ChildProcess) =>
    new Promise<void>((resolve) =>
      each.exitCode !== null || each.signalCode !== null ? resolve() : each.once("exit", () => resolve()),
    );
  const server: OwnServer = {
    url,
    port,
    folder,
    pid() {
      if (child?.pid === undefined) throw new Error(`the server of ${folder} does not run`);
      return child.pid;
    },
    async kill() {
      if (child === undefined) return;
      crash(child);
      await ended(child);
      child = undefined;
    },
    async start() {
      child = spawnOne();
      for (const until = Date.now() + startTimeoutMs; Date.now() < until; await sleep(50)) {
        if (child.exitCode !== null) throw new Error(`the server of ${folder} ended with ${child.exitCode}`);
        if (await serves()) return;
      }
      throw new Error(`the server of ${folder} does not serve`);
    },
    async close() {
      await server.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}
