/**
 * compose.yaml without an engine: Compose itself reads it, and what it would start runs here instead, each command with
 * its environment and its health check, where only the names of hosts and the ports are others.
 */
import { execFile, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Redis } from "ioredis";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { settingNames } from "../../packages/core/src/config.ts";
import { findPostgres, findRedis } from "../../scripts/servers/find.mjs";
import { freePort } from "../../scripts/servers/process.mjs";
import { dockerCompose, ensurePrograms, howToInstall } from "../../scripts/servers/programs.mjs";
import { startOwnPostgres, type OwnServer } from "../crash/support/own-servers.ts";
import { endProcesses, isReady, startProcess, watchProcess, type ServiceProcess } from "../support/processes.ts";
import { cloneDatabase, describeWithServers, notRun, realServers, redisDatabase } from "../support/servers.ts";
import { blocksOf } from "./prometheus/files.ts";
import { readCompose, type ComposeProject, type ComposeService } from "./support/image/compose.ts";
import { rootPath } from "./support/image/context.ts";
import { parseDockerfile } from "./support/image/dockerfile.ts";
import { besideHeap, heapOf } from "./support/k8s/checks/pods.ts";
import { expectGoalSucceeds } from "./support/image/goal.ts";

const run = promisify(execFile);
const docs = readFileSync(join(rootPath, "docs/containers.md"), "utf8");
const services = ["ingress", "planner", "executor", "reflector"] as const;
const ours = [...services, "migrate"] as const;
/** Executors that a machine may well be given. */
const executors = 8;

const compose = await ensurePrograms(dockerCompose);
if (compose === undefined) notRun("compose.yaml", howToInstall(dockerCompose));
else describe("compose.yaml", () => suite(compose["docker-compose"]));

function suite(command: string): void {
  let project: ComposeProject;
  beforeAll(async () => {
    project = await readCompose(command);
  });

  test("only ingress publishes a port, to this machine alone, and the stores reach nothing outside", async () => {
    const published = (read: ComposeProject) =>
      Object.entries(read.services).flatMap(([name, { ports }]) => ports.map((port) => ({ name, ...port })));
    const port = { name: "ingress", host_ip: "127.0.0.1", target: 4000, published: "4000" };
    expect(published(project)).toMatchObject([port]);
    const open = await readCompose(command, { OUTERLOOP_PUBLISH: "0.0.0.0:80" });
    expect(published(open)).toMatchObject([{ ...port, host_ip: "0.0.0.0", published: "80" }]);
    for (const name of ["postgres", "valkey", "migrate"]) {
      expect(project.services).toHaveProperty(name);
      for (const network of Object.keys(project.services[name]!.networks))
        expect(project.networks[network]).toEqual({ internal: true });
    }
  });

  test.each(ours)("%s runs without rights, without a disk and within limits", (name) => {
    const service = project.services[name]!;
    expect(service).toMatchObject({
      image: "outerloop:local",
      read_only: true,
      cap_drop: ["ALL"],
      security_opt: ["no-new-privileges:true"],
      init: true,
      deploy: { resources: { limits: { cpus: 1, pids: 256 } } },
    });
    expect(service.tmpfs).toEqual([expect.stringMatching(/^\/tmp:size=/)]);
    expect(service.volumes.map(({ type, target }) => [type, target])).toEqual(
      name === "ingress" ? [["volume", "/data"]] : [],
    );
    expect(service.container_name).toBeUndefined();
    // One builds for all.
    expect(service.build?.dockerfile).toBe(name === "migrate" ? "infra/image/Dockerfile" : undefined);
  });

  test.each(services)("%s starts after the migration, and has time to drain and room for isolated runs", (name) => {
    const { depends_on, stop_grace_period, restart, environment, deploy, command, tmpfs } = project.services[name]!;
    expect(restart).toBe("unless-stopped");
    expect(depends_on).toMatchObject({
      migrate: { condition: "service_completed_successfully" },
      postgres: { condition: "service_healthy" },
      valkey: { condition: "service_healthy" },
    });
    expect(secondsOf(stop_grace_period!)).toBeGreaterThanOrEqual(Number(environment["OUTERLOOP_DRAIN_MS"]) / 1000 + 10);
    const { memory } = deploy.resources.limits;
    const children = Number(environment["OUTERLOOP_ISOLATED_RUNS"]) * Number(environment["OUTERLOOP_ISOLATED_HEAP_MB"]);
    // Files in /tmp are memory too.
    const files = tmpfs.reduce((sum, each) => sum + Number(/size=(\d+)m$/.exec(each)?.[1]), 0);
    const heap = heapOf(command, memory);
    expect(heap).toBeDefined();
    expect(heap! + (children + files) * 2 ** 20 + besideHeap).toBeLessThanOrEqual(memory);
    expect(environment).not.toHaveProperty("NODE_OPTIONS");
  });

  test("what a service is given is in the configuration, and keys reach the services that need them", async () => {
    const known = new Set(settingNames);
    expect(known).toContain("DATABASE_URL");
    for (const name of ours)
      expect(Object.keys(project.services[name]!.environment).filter((variable) => !known.has(variable))).toEqual([]);

    const keys = { OPENAI_API_KEY: "sk-1", ANTHROPIC_API_KEY: "sk-2", OUTERLOOP_API_KEY: "ol_3" };
    const given = await readCompose(command, keys);
    const who = (key: keyof typeof keys) =>
      Object.keys(given.services).filter((name) => given.services[name]!.environment[key] === keys[key]);
    // Ingress calls no model.
    const workers = services.filter((name) => name !== "ingress").toSorted();
    expect(who("OPENAI_API_KEY").toSorted()).toEqual(workers);
    expect(who("ANTHROPIC_API_KEY").toSorted()).toEqual(workers);
    expect(who("OUTERLOOP_API_KEY")).toEqual(["ingress"]);
  });

  test("one password is the database's and that of everybody who connects", async () => {
    const { services: given } = await readCompose(command, { POSTGRES_PASSWORD: "abc123" });
    const { POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB } = given["postgres"]!.environment;
    expect(POSTGRES_PASSWORD).toBe("abc123");
    for (const name of ours)
      expect(given[name]!.environment["DATABASE_URL"]).toBe(
        `postgres://${POSTGRES_USER}:${POSTGRES_PASSWORD}@postgres:5432/${POSTGRES_DB}`,
      );
  });

  test("docs/containers.md speaks of services that there are, and migrates before it replaces them", () => {
    const named = [...docs.matchAll(/docker compose (?:exec(?: -T)?|run --rm|logs -f|restart) ([a-z]+)/g)];
    expect(named.length).toBeGreaterThan(8);
    for (const [command, name] of named) expect(Object.keys(project.services), command).toContain(name);
    const upgrades = docs.match(/docker compose (?:build|pull) &&.*/g) ?? [];
    expect(upgrades).toHaveLength(2);
    for (const upgrade of upgrades)
      expect(upgrade).toMatch(/&& docker compose run --rm migrate && docker compose up -d --wait/);
    const [, prune] = /docker compose run --rm migrate node (.* prune) --older-than 90d/.exec(docs)!;
    const { stdout } = spawnSync(process.execPath, [...prune!.split(" "), "--help"], {
      cwd: rootPath,
      encoding: "utf8",
    });
    expect(stdout).toContain("--older-than");
  });

  describeWithServers("with real servers", () => {
    afterAll(() => endProcesses());

    test("Postgres has a connection for everybody, and settings that exist and cost no durability", async () => {
      const args = project.services["postgres"]!.command;
      const settings = new Map(
        args.filter((arg) => arg.includes("=")).map((arg) => arg.split("=", 2) as [string, string]),
      );
      expect(args).toEqual(["postgres", ...[...settings].flatMap(([name, value]) => ["-c", `${name}=${value}`])]);
      for (const name of ["fsync", "synchronous_commit", "full_page_writes"]) expect(settings.has(name)).toBe(false);
      const client = new pg.Client({ connectionString: available().databaseUrl });
      await client.connect();
      try {
        const { rows } = await client.query<{ name: string }>(
          "SELECT name FROM pg_settings WHERE name = ANY($1) ORDER BY name",
          [[...settings.keys()]],
        );
        expect(rows.map(({ name }) => name)).toEqual([...settings.keys()].toSorted());
      } finally {
        await client.end();
      }
      const perProcess = Number(project.services["executor"]!.environment["OUTERLOOP_DB_CONNECTIONS"]) + 4;
      expect((services.length - 1 + executors) * perProcess).toBeLessThan(Number(settings.get("max_connections")));
    });

    test("Valkey starts as it is told, keeps a log on disk and drops nothing", async () => {
      const { command: args, healthcheck, deploy } = project.services["valkey"]!;
      const folder = mkdtempSync(join(tmpdir(), "outerloop-compose-valkey-"));
      const port = await freePort();
      const child = spawn(findRedis()!, [...args.slice(1), "--port", String(port), "--dir", folder], {
        stdio: ["ignore", "pipe", "pipe"],
      });
      const server = watchProcess("valkey", child);
      const client = new Redis({ port, maxRetriesPerRequest: null });
      client.on("error", () => undefined); // until it listens
      try {
        expect(await client.ping()).toBe("PONG");
        const setting = async (name: string) => ((await client.config("GET", name)) as readonly string[])[1];
        expect(await setting("appendonly")).toBe("yes");
        expect(await setting("appendfsync")).toBe("everysec");
        expect(await setting("maxmemory-policy")).toBe("noeviction");
        expect(Number(await setting("maxmemory"))).toBeLessThanOrEqual(deploy.resources.limits.memory / 2);
        expect(healthcheck!.test).toEqual(["CMD", "valkey-cli", "ping"]);
      } finally {
        client.disconnect();
        server.kill("SIGTERM");
        await server.exited;
        rmSync(folder, { recursive: true, force: true });
      }
    });

    test("docs/containers.md's way back from a dump is one, on the same server and on a new one", async () => {
      const folder = mkdtempSync(join(tmpdir(), "outerloop-compose-dump-"));
      // What is said to Postgres is done; the containers around it are not here.
      const docker = `#!/bin/sh\n[ "$1 $2 $3 $4" = "compose exec -T postgres" ] || exit 0\nshift 4\nexec "$@"\n`;
      writeFileSync(join(folder, "docker"), docker, { mode: 0o755 });
      const [backUp, restore] = blocksOf(docs.split("### Back up and restore\n")[1]!, "sh");
      const servers = await Promise.all([startOwnPostgres(), startOwnPostgres()]);
      const shell = (script: string, { port }: OwnServer) =>
        run("sh", ["-ec", script], {
          cwd: folder,
          env: {
            PATH: [folder, findPostgres()!.bin, process.env["PATH"]].join(":"),
            PGHOST: "127.0.0.1",
            PGPORT: String(port),
          },
        });
      const urlOf = ({ port }: OwnServer) => `postgres://outerloop@127.0.0.1:${port}/outerloop`;
      const migrate = async (server: OwnServer, ...args: string[]) => {
        const env = { DATABASE_URL: urlOf(server) };
        const process = startProcess("migrate", "packages/cli/src/main.ts", env, ["migrate", ...args]);
        expect(await process.exited, process.text()).toBe(0);
      };
      try {
        // As the image sets a new volume up.
        for (const server of servers)
          await shell("createuser -U postgres --superuser outerloop; createdb -U outerloop outerloop", server);
        const [lost] = servers;
        await migrate(lost!);
        await shell(`psql -U outerloop -c "INSERT INTO tenants (id, name) VALUES ('kept', 'kept')"`, lost!);
        await shell(backUp!, lost!);
        await shell(`psql -U outerloop -c "DELETE FROM tenants WHERE id = 'kept'"`, lost!);
        for (const server of servers) {
          await shell(restore!, server);
          await migrate(server, "--wait", "--timeout", "1s");
          const { stdout } = await shell(`psql -U outerloop -Atc "SELECT id FROM tenants WHERE id = 'kept'"`, server);
          expect(stdout.trim()).toBe("kept");
        }
      } finally {
        await Promise.all(servers.map((server) => server.close()));
        rmSync(folder, { recursive: true, force: true });
      }
    }, 60_000);

    test("migrate, then all services with two executors: all become healthy, a goal succeeds, all drain", async () => {
      const data = mkdtempSync(join(tmpdir(), "outerloop-compose-data-"));
      const stores = { DATABASE_URL: (await cloneDatabase()).url, REDIS_URL: await redisDatabase() };
      const start = async (name: (typeof ours)[number], as: string = name) => {
        const service = project.services[name]!;
        const env = environmentOf(service, { ...stores, OUTERLOOP_DATA_DIR: data, PROBE: await freePort() });
        const [program, main, ...args] = service.command;
        expect(program).toBe("node");
        return { as, service, env, process: startProcess(as, main!, env, args) };
      };
      try {
        const { process: migration } = await start("migrate");
        expect(await migration.exited).toBe(0);

        const started = await Promise.all([
          ...services.map((name) => start(name)),
          // --scale executor=2
          start("executor", "executor-2"),
        ]);
        const [front] = await Promise.all(started.map(({ process }) => process.until(isReady, "it was ready")));
        for (const { as, service, env } of started) {
          const { code, output } = await runHealthcheck(service, env);
          expect({ as, code, output }).toMatchObject({ code: 0, output: expect.stringContaining("/readyz: 200") });
        }
        const url = `http://127.0.0.1:${new URL(String(front!["url"])).port}`;
        await expectGoalSucceeds(url, readFileSync(join(data, "api-key"), "utf8").trim());
        expect(await stop(started.map(({ process }) => process))).toEqual([0, 0, 0, 0, 0]);
      } finally {
        rmSync(data, { recursive: true, force: true });
      }
    }, 90_000);
  });
}

/** That of the image, and over it that of the service; what has no value is not set where nobody set it. */
function environmentOf(
  { environment }: ComposeService,
  here: {
    readonly DATABASE_URL: string;
    readonly REDIS_URL: string;
    readonly OUTERLOOP_DATA_DIR: string;
    readonly PROBE: number;
  },
): Record<string, string> {
  const image = parseDockerfile()
    .stages.at(-1)!
    .steps.filter(({ keyword }) => keyword === "ENV")
    .flatMap(({ properties }) => properties.map(([name, value]) => [name, value ?? ""]));
  const env = Object.fromEntries([
    ...image,
    ...Object.entries(environment).filter(([, value]) => value !== null),
  ]) as Record<string, string>;
  const { PROBE, ...others } = here;
  // Only what it has of its own: a service that is told of no queue must not get one here.
  for (const [name, value] of Object.entries(others)) if (env[name] !== undefined) env[name] = value;
  return { ...env, PORT: "0", OUTERLOOP_PROBE_PORT: String(PROBE) };
}

function runHealthcheck(
  { healthcheck }: ComposeService,
  env: Readonly<Record<string, string>>,
): Promise<{ readonly code: number; readonly output: string }> {
  const [form, program, ...args] = healthcheck!.test;
  expect([form, program]).toEqual(["CMD", "node"]);
  return new Promise((resolve) =>
    execFile(process.execPath, args, { cwd: rootPath, env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: stdout + stderr }),
    ),
  );
}

async function stop(processes: readonly ServiceProcess[]): Promise<readonly (number | NodeJS.Signals)[]> {
  for (const each of processes) each.kill("SIGTERM");
  return Promise.all(processes.map(({ exited }) => exited));
}

function available(): { readonly databaseUrl: string } {
  const servers = realServers();
  if (servers.kind === "missing") throw new Error(servers.why);
  return servers;
}

/** Go's way to write a duration, as Compose prints it: 1m30s. */
function secondsOf(duration: string): number {
  const [, minutes = "0", seconds = "0"] = /^(?:(\d+)m)?(?:(\d+)s)?$/.exec(duration) ?? [];
  return Number(minutes) * 60 + Number(seconds);
}
