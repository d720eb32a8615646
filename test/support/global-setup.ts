/**
 * Once for a whole run: real servers with a template database, or the reason why there are none (STYLE rule 17).
 * Files clone the template, which takes milliseconds where migrating takes a second.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import type { TestProject } from "vitest/node";
import { ensureServers } from "../../scripts/servers/dev-servers.mjs";

export type ProvidedServers =
  | {
      readonly kind: "available";
      readonly databaseUrl: string;
      readonly redisUrl: string;
      readonly template: string;
      readonly databasePrefix: string;
    }
  /** `broken`: they are there but could not be made ready, which is a failure and not a machine without servers. */
  | { readonly kind: "missing"; readonly why: string; readonly howTo: string; readonly broken: boolean };

declare module "vitest" {
  export interface ProvidedContext {
    readonly realServers: ProvidedServers;
    /** Where tests that can't run here say so, a line each. */
    readonly notRunFile: string;
  }
}

/** Databases whose names begin so belong to test runs; what a killed run left is dropped by the next. */
const databasePrefix = "outerloop_test_";

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), "outerloop-test-"));
  const notRunFile = join(folder, "not-run");
  const template = templateName();
  let servers: ProvidedServers;
  let release = async () => {};
  try {
    const ensured = await ensureServers({
      mode: "test",
      until: "released",
      prepare: async ({ databaseUrl, first }) => {
        if (first) await dropLeftovers(databaseUrl, template);
        await ensureTemplate(databaseUrl, template);
      },
    });
    if (ensured.kind === "available") {
      release = ensured.release;
      servers = {
        kind: "available",
        databaseUrl: ensured.databaseUrl,
        redisUrl: ensured.redisUrl,
        template,
        databasePrefix,
      };
    } else servers = { ...ensured, broken: false };
  } catch (error) {
    servers = { kind: "missing", why: String(error), howTo: "see the reason", broken: true };
  }
  project.provide("realServers", servers);
  project.provide("notRunFile", notRunFile);

  return async () => {
    if (existsSync(notRunFile)) printNotRun(readFileSync(notRunFile, "utf8"));
    rmSync(folder, { recursive: true, force: true });
    await release();
  };
}

/** What a clone starts with: all migrations. */
async function fillTemplate(url: string): Promise<void> {
  // Loaded only when there is something to build; and a fault in it fails the tests that need it, not the whole run.
  const { migrate, openDatabase } = await import("@outerloop/core");
  const database = await openDatabase({
    kind: "server",
    url,
    maxConnections: 1,
    applicationName: "outerloop-test-template",
  });
  try {
    await migrate(database.db);
  } finally {
    await database.close();
  }
}

// One per content of the migrations: another branch, or an edit, gets its own.
function templateName(): string {
  const migrations = new URL("../../migrations/", import.meta.url);
  const hash = createHash("sha256");
  for (const file of readdirSync(migrations).toSorted())
    hash.update(`\0${file}\0`).update(readFileSync(new URL(file, migrations)));
  return `${databasePrefix}template_${hash.digest("hex").slice(0, 12)}`;
}

async function ensureTemplate(adminUrl: string, template: string): Promise<void> {
  await withAdmin(adminUrl, async (admin) => {
    const found = await admin.query("SELECT 1 FROM pg_database WHERE datname = $1", [template]);
    if (found.rowCount !== 0) return;
    // Built under another name: one whose migrations failed or were interrupted is never cloned.
    const building = `${template}_building`;
    await admin.query(`DROP DATABASE IF EXISTS ${building} WITH (FORCE)`);
    await admin.query(`CREATE DATABASE ${building}`);
    const url = new URL(adminUrl);
    url.pathname = building;
    await fillTemplate(url.href);
    await admin.query(`ALTER DATABASE ${building} RENAME TO ${template}`);
  });
}

async function dropLeftovers(adminUrl: string, template: string): Promise<void> {
  await withAdmin(adminUrl, async (admin) => {
    const { rows } = await admin.query<{ datname: string }>(
      "SELECT datname FROM pg_database WHERE starts_with(datname, $1) AND datname <> $2",
      [databasePrefix, template],
    );
    for (const { datname } of rows) await admin.query(`DROP DATABASE ${datname} WITH (FORCE)`);
  });
}

async function withAdmin(url: string, work: (admin: pg.Client) => Promise<void>): Promise<void> {
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  try {
    await work(admin);
  } finally {
    await admin.end();
  }
}

function printNotRun(lines: string): void {
  const byReason = Map.groupBy(
    lines
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { what: string; why: string }),
    ({ why }) => why,
  );
  for (const [why, entries] of byReason)
    process.stdout.write(`not run: ${[...new Set(entries.map(({ what }) => what))].join("; ")}\n         ${why}\n`);
}
