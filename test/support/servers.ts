/**
 * Real PostgreSQL and Valkey/Redis for tests: a database of its own per file or test, cloned from a migrated template,
 * so that files run in parallel and share nothing. Where the machine has no servers, what needs them is told as not
 * run, or fails with OUTERLOOP_TEST_REQUIRE=all.
 */
import { randomBytes } from "node:crypto";
import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import pg from "pg";
import { afterAll, describe, inject, test } from "vitest";
import type {} from "./global-setup.ts";

export type RealServers =
  | { readonly kind: "available"; readonly databaseUrl: string; readonly redisUrl: string }
  | { readonly kind: "missing"; readonly why: string };

export interface ClonedDatabase {
  readonly name: string;
  readonly url: string;
  /** Throws if somebody is still connected: a pool that nobody closed. Safe to repeat. */
  drop(): Promise<void>;
}

/**
 * The servers themselves, as their superuser.
 * @public
 */
export function realServers(): RealServers {
  return inject("realServers");
}

/** Registers a suite that needs both servers. Databases that it clones are dropped after it. */
export function describeWithServers(title: string, body: () => void): void {
  const servers = inject("realServers");
  if (servers.kind === "missing") {
    if (servers.broken) test(`${title}: the servers are ready`, () => Promise.reject(new Error(servers.why)));
    else notRun(title, `${servers.why}; ${servers.howTo}`);
    return;
  }
  describe(title, () => {
    // Registered first, so it runs after the suite's own hooks have closed what they opened.
    afterAll(async () => {
      for (const clone of clones) await clone.drop();
    }, 60_000);
    body();
  });
}

/**
 * Records that tests can't run here, and why; a failure where everything is required to run.
 * @param excused what no set-up can bring, such as the history of a checkout that came without it: told, and no failure
 */
export function notRun(what: string, why: string, excused = false): void {
  if (process.env.OUTERLOOP_TEST_REQUIRE === "all" && !excused) {
    test(what, () => Promise.reject(new Error(`not run: ${why}`)));
    return;
  }
  test.skip(`${what} (not run)`);
  appendFileSync(inject("notRunFile"), `${JSON.stringify({ what, why })}\n`);
}

const clones = new Set<ClonedDatabase>();

/** A new database with all migrations applied, and nothing in it. */
export async function cloneDatabase(): Promise<ClonedDatabase> {
  const servers = available();
  const name = `${servers.databasePrefix}${process.pid}_${randomBytes(6).toString("hex")}`;
  await asAdmin(servers.databaseUrl, (admin) => admin.query(`CREATE DATABASE ${name} TEMPLATE ${servers.template}`));
  const url = new URL(servers.databaseUrl);
  url.pathname = name;
  const clone: ClonedDatabase = {
    name,
    url: url.href,
    drop: async () => {
      if (!clones.delete(clone)) return;
      await asAdmin(servers.databaseUrl, async (admin) => {
        const left = await connectionsLeft(admin, name);
        await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
        if (left.length > 0)
          throw new Error(`${left.length} connections were left open, by ${left.join(", ")}: a pool was not closed`);
      });
    },
  };
  clones.add(clone);
  return clone;
}

/** Redis databases are numbered; the count of them is set where the server is started (scripts/servers/redis.mjs). */
const redisDatabases = 1024;

/** The URL of an empty numbered database that no other test of this run uses; FLUSHDB is yours, FLUSHALL is not. */
export async function redisDatabase(): Promise<string> {
  const url = new URL(available().redisUrl);
  const counter = new Redis(url.href);
  try {
    const taken = await counter.incr("outerloop-test:databases");
    url.pathname = String(1 + (taken % (redisDatabases - 1)));
    await counter.select(Number(url.pathname.slice(1)));
    await counter.flushdb();
    return url.href;
  } finally {
    counter.disconnect();
  }
}

function available() {
  const servers = inject("realServers");
  if (servers.kind === "missing") throw new Error(`${servers.why}: call this inside describeWithServers`);
  return servers;
}

// A client that has closed is counted until its server process has ended, so look more than once.
async function connectionsLeft(admin: pg.Client, name: string): Promise<readonly string[]> {
  for (let look = 1; ; look++) {
    const { rows } = await admin.query<{ who: string }>(
      "SELECT application_name AS who FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'",
      [name],
    );
    if (rows.length === 0 || look === 20) return rows.map(({ who }) => who || "(no application name)");
    await sleep(50);
  }
}

async function asAdmin<T>(url: string, work: (admin: pg.Client) => Promise<T>): Promise<T> {
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.end();
  }
}
