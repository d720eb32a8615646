/** The database is dumped under load, lost, and restored elsewhere by the commands of docs/operate.md: goals in flight go on and end. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import { afterEach, expect, test } from "vitest";
import { findPostgres } from "../../scripts/servers/find.mjs";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { describeWithServers, redisDatabase } from "../support/servers.ts";
import { check } from "./support/check.ts";
import { startOwnPostgres, type OwnServer } from "./support/own-servers.ts";
import { startSink, type Sink } from "./support/sink.ts";
import { recordFigures, sized } from "./support/size.ts";
import { startWorkload, type Workload } from "./support/workload.ts";

const run = promisify(execFile);
const goals = sized(12, 200);
const calls = ["append", "post", "read", "append", "post"] as const;

describeWithServers("a backup", () => {
  let lost: OwnServer;
  let restored: OwnServer;
  let sink: Sink;
  let workload: Workload;
  let deployment: Deployment;
  let folder: string;
  afterEach(async () => {
    await deployment?.stop();
    await endProcesses();
    await workload?.close();
    await sink?.close();
    await restored?.close();
    await lost?.close();
    await rm(folder, { recursive: true, force: true });
  }, 60_000);

  test("is taken under load, restored on another server, and all goals that it has end, each effect once", async () => {
    folder = await mkdtemp(join(tmpdir(), "outerloop-backup-"));
    const [backUp, restore] = commandsOf("## Backups", "sh");
    const [prepare] = commandsOf("## The database", "sql");
    lost = await startOwnPostgres();
    const lostUrl = await prepareOn(lost, prepare!);
    sink = await startSink();
    workload = await startWorkload({ sink, calls, thinkMs: 150 });
    const redisUrl = await redisDatabase();
    const env = { ...workload.env, REDIS_URL: redisUrl };
    deployment = await deploy({ size: "redis", executors: 2, env: { ...env, DATABASE_URL: lostUrl } });
    // In the middle: some steps are done and some are not.
    const middle = Promise.withResolvers<void>();
    sink.onDelivery(() => {
      if (sink.deliveries.length >= goals) middle.resolve();
    });
    await workload.post(deployment, goals);
    await middle.promise;
    await shell(backUp!, { DATABASE_URL: lostUrl });
    const inFlight = await unfinished(lostUrl);
    await endProcesses();
    await lost.close();

    restored = await startOwnPostgres();
    const restoredUrl = await prepareOn(restored, prepare!);
    await shell(restore!, { NEW_DATABASE_URL: restoredUrl });
    // Redis has jobs and finished jobs of the time after the dump; nobody empties it.
    deployment = await deploy({ size: "redis", executors: 2, env: { ...env, DATABASE_URL: restoredUrl } });
    const checked = await check(deployment, { workload, sink, withinMs: 90_000 });
    recordFigures("backup, loss, restore", { inFlight, ...checked });
    expect(inFlight).toBeGreaterThan(0);
    expect(checked.broken).toEqual([]);
    expect(checked.goals).toBe(goals);
  }, 240_000);

  /** As an administrator would, for an owner who is no superuser and may make no roles. */
  async function prepareOn(server: OwnServer, script: string): Promise<string> {
    await writeFile(join(folder, "prepare.sql"), script);
    await shell('psql --quiet --set=ON_ERROR_STOP=1 --file=prepare.sql "$ADMIN_URL"', { ADMIN_URL: server.url });
    const url = new URL(server.url);
    [url.username, url.pathname] = ["outerloop", "outerloop"];
    return url.href;
  }

  async function shell(script: string, env: Readonly<Record<string, string>>): Promise<void> {
    const path = [findPostgres()!.bin, process.env["PATH"]].join(":");
    await run("sh", ["-ec", script], { cwd: folder, env: { ...env, PATH: path } });
  }
});

async function unfinished(url: string): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ n: number }>(
      "SELECT count(*)::integer AS n FROM goals WHERE ended_at IS NULL",
    );
    return rows[0]!.n;
  } finally {
    await client.end();
  }
}

/** The blocks of commands in a section of docs/operate.md. */
function commandsOf(heading: string, language: string): readonly string[] {
  const text = readFileSync(new URL("../../docs/operate.md", import.meta.url), "utf8");
  const [, section = ""] = text.split(`${heading}\n`);
  return [...section.split(/^## /m)[0]!.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, "gs"))].map(
    ([, block]) => block!,
  );
}
