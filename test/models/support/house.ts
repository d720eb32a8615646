/** A deployment whose models stand in a configuration file that the test may change, and what its goals came to. */
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient, type Client } from "@outerloop/client";
import type { FailedTry } from "@outerloop/core";
import pg from "pg";
import { expect } from "vitest";
import type { ConfigFile } from "../../../packages/core/src/config-file.ts";
import { deploy, type Deployment } from "../../support/deployments.ts";
import { endProcesses, type LogLine, type ServiceProcess } from "../../support/processes.ts";

export type ModelsSaid = NonNullable<ConfigFile["models"]>;

export interface EndedGoal {
  readonly id: string;
  readonly status: string;
  readonly reason: string | null;
  readonly detail: string | null;
  /** From its acceptance to its end, by the database's clock. */
  readonly tookMs: number;
}

/** A failed try as the journal tells it, with where it stands: `step`, or the type of an event. */
export interface ToldTry extends FailedTry {
  readonly from: string;
}

export interface House {
  readonly deployment: Deployment;
  readonly client: Client;
  /** Of the configuration. */
  readonly path: string;
  readonly folder: string;
  rows<Row extends pg.QueryResultRow>(query: string, values?: readonly unknown[]): Promise<readonly Row[]>;
  /** Posts so many goals at once. @returns their ids */
  post(count: number, client?: Client): Promise<readonly string[]>;
  /** Waits for the ends of these goals. */
  ended(ids: readonly string[], withinMs?: number): Promise<readonly EndedGoal[]>;
  /** Every failed try of all goals. */
  tries(): Promise<readonly ToldTry[]>;
  /** A client of another tenant. */
  tenant(name: string): Promise<Client>;
  /** Those whose service it is: `executor` for all its replicas. */
  processes(service?: string): readonly ServiceProcess[];
  stop(): Promise<void>;
}

export interface HouseOptions {
  readonly models: ModelsSaid;
  readonly executors?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Puts the configuration where the processes look for it. @returns the path */
  readonly place?: (folder: string, text: string) => string;
}

export function configText(models: ModelsSaid): string {
  return JSON.stringify({ models } satisfies ConfigFile);
}

/** As editors and `kubectl` do it: the file is there, old or new, at every moment. */
export function writeByRename(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

export async function startHouse({ models, executors = 1, env = {}, place }: HouseOptions): Promise<House> {
  const folder = mkdtempSync(join(tmpdir(), "outerloop-models-"));
  const path = (place ?? placePlainly)(folder, configText(models));
  const deployment = await deploy({
    size: "redis",
    executors,
    env: {
      OUTERLOOP_CONFIG: path,
      OUTERLOOP_PROBE_PORT: "0",
      OUTERLOOP_BACKOFF_BASE_MS: "100",
      OUTERLOOP_BACKOFF_CAP_MS: "1000",
      ...env,
    },
  });
  const pool = new pg.Pool({ connectionString: deployment.databaseUrl, max: 2 });
  const rows: House["rows"] = async <Row extends pg.QueryResultRow>(query: string, values: readonly unknown[] = []) =>
    (await pool.query<Row>(query, [...values])).rows;
  let posted = 0;

  const ended: House["ended"] = async (ids, withinMs = 60_000) => {
    const read = () =>
      rows<EndedGoal>(
        `SELECT id, status, reason, detail, extract(epoch FROM ended_at - created_at)::float8 * 1000 AS "tookMs"
          FROM goals WHERE ended_at IS NOT NULL AND id = ANY($1)`,
        [ids],
      );
    const open = async () => {
      const ends = new Set((await read()).map((goal) => goal.id));
      return ids.filter((id) => !ends.has(id));
    };
    await expect.poll(open, { timeout: withinMs, interval: 50, message: "all goals have ended" }).toEqual([]);
    return read();
  };

  return {
    deployment,
    client: deployment.client,
    path,
    folder,
    rows,
    ended,
    post: (count, client = deployment.client) =>
      Promise.all(
        Array.from({ length: count }, async () => {
          posted += 1;
          return (await client.goals.create({ text: `append a line, goal number ${posted}` })).id;
        }),
      ),
    async tries() {
      const told = await rows<{ from: string; tries: readonly FailedTry[] }>(
        `SELECT 'step' AS from, output -> 'tries' AS tries FROM steps WHERE phase = 'result' AND output ? 'tries'
          UNION ALL SELECT type, data -> 'tries' FROM events WHERE type <> 'step.model' AND data ? 'tries'`,
      );
      return told.flatMap(({ from, tries }) => tries.map((each) => ({ ...each, from })));
    },
    async tenant(name) {
      const key = `ol_${randomBytes(24).toString("base64url")}`;
      await rows("INSERT INTO tenants (id, name) VALUES ($1, $1)", [name]);
      await rows("INSERT INTO api_keys (id, tenant_id, name, role, hash) VALUES ($1, $2, $1, 'operator', $3)", [
        `k_${name}`,
        name,
        createHash("sha256").update(key).digest(),
      ]);
      return createClient({ baseUrl: deployment.url, apiKey: key });
    },
    processes: (service = "") =>
      [...deployment.processes]
        .filter(([name]) => name !== "ingress" && name.startsWith(service))
        .map(([, each]) => each),
    async stop() {
      await pool.end();
      await deployment.stop();
      await endProcesses();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function placePlainly(folder: string, text: string): string {
  const path = join(folder, "outerloop.yaml");
  writeFileSync(path, text);
  return path;
}

/** When a line was written, in milliseconds of the day's clock. */
export function timeOf(line: LogLine): number {
  return Number(line["time"]);
}
