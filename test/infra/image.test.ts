/**
 * The image, built and started without an engine: its Dockerfile is carried out in folders and its command runs in
 * them, alone with its processes, on a root that cannot be written. Where that root's Debian and Node come from, and
 * what that can't show, is told in support/image/debian.ts.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { chown, mkdtemp, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePort } from "../../scripts/servers/process.mjs";
import { isAlive } from "../../scripts/setup/alive.mjs";
import { endProcesses, isReady, type ServiceProcess } from "../support/processes.ts";
import { cloneDatabase, describeWithServers, notRun, redisDatabase } from "../support/servers.ts";
import { runInside, startInside, type Enter } from "./support/image/container.ts";
import { isSent, rootPath } from "./support/image/context.ts";
import { cachePath, whyNoContainers } from "./support/image/debian.ts";
import { parseDockerfile } from "./support/image/dockerfile.ts";
import { expectGoalSucceeds } from "./support/image/goal.ts";
import { replay, type Image } from "./support/image/replay.ts";

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}
const manifest = (path: string) => JSON.parse(readFileSync(join(rootPath, path), "utf8")) as Manifest;

describe("what goes into the image", () => {
  test("its Node is the one that everything is tested on", () => {
    const versions = Object.values(manifest("package.json").optionalDependencies ?? {});
    expect(new Set([...versions, parseDockerfile().args.get("NODE_VERSION")]).size).toBe(1);
  });

  test.each([
    [".env", false],
    [".npmrc", false],
    [".git/config", false],
    [".outerloop/api-key", false],
    ["node_modules/pg/package.json", false],
    ["packages/core/node_modules/pg/package.json", false],
    ["packages/core/.env", false],
    ["packages/core/src/.env.local", false],
    ["packages/core/src/config.test.ts", false],
    ["packages/client/src/testing/index.ts", false],
    ["test/support/servers.ts", false],
    ["docs/operate.md", false],
    ["scripts/start.mjs", false],
    ["notes.txt", false],
    ["packages/core/notes.txt", false],
    ["package.json", true],
    ["pnpm-lock.yaml", true],
    ["migrations/0016-measure-load.up.sql", true],
    ["infra/image/health.mjs", true],
    ...members().flatMap((member) => [
      [`${member}/package.json`, true] as const,
      [`${member}/src/index.ts`, true] as const,
    ]),
  ] as const)("a build is sent %s: %s", (path, sent) => {
    expect(isSent(path)).toBe(sent);
  });
});

const obstacle = whyNoContainers();
if (obstacle !== undefined) notRun("the image", obstacle);
else describeWithServers("the image", suite);

function suite(): void {
  /** Passed to whatever runs during the build, as a registry's token would be. */
  const secret = `secret-${process.pid}-${Date.now()}`;
  let folder: string;
  let image: Image;
  let data: string;
  /** What the last stage adds to its base. */
  const layer = (path = "") => join(image.layers.folders[0]!, path);

  beforeAll(async () => {
    mkdirSync(cachePath, { recursive: true });
    // What runs that were killed left behind.
    for (const name of readdirSync(cachePath))
      if (name.startsWith("build-") && !isAlive(Number(name.split("-")[1])))
        rmSync(join(cachePath, name), { recursive: true, force: true });
    folder = mkdtempSync(join(cachePath, `build-${process.pid}-`));
    image = await replay({
      folder,
      buildArgs: { VERSION: "1.2.3", REVISION: "abc" },
      hostEnv: { ...registryOfThisMachine(), NPM_TOKEN: secret },
      hostCertificates: process.env["NODE_EXTRA_CA_CERTS"] ?? null,
    });
    data = await volumeOf(image, folder);
  }, 240_000);
  afterAll(async () => {
    await endProcesses();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  test("it says what it is, and starts node itself as a user with a number", () => {
    expect(image).toMatchObject({
      user: expect.stringMatching(/^[1-9]\d*:[1-9]\d*$/),
      entrypoint: [],
      command: ["node", "services/embedded/src/main.ts"],
      ports: [4000, 9464],
      env: { NODE_ENV: "production", HOST: "0.0.0.0", OUTERLOOP_DATA_DIR: "/data", OUTERLOOP_PROBE_PORT: "9464" },
      labels: {
        "org.opencontainers.image.version": "1.2.3",
        "org.opencontainers.image.revision": "abc",
        "org.opencontainers.image.licenses": "MIT",
        "org.opencontainers.image.description": manifest("package.json").description,
      },
    });
    expect(defaultOf("VERSION")).toBe(manifest("package.json").version);
  });

  test("it holds what production needs and nothing else", async () => {
    expect((await readdir(layer())).toSorted()).toEqual(["app", "data", "usr"]);
    expect((await readdir(layer("app"))).toSorted()).toEqual([
      "LICENSE",
      "infra",
      "migrations",
      "node_modules",
      "package.json",
      "packages",
      "pnpm-lock.yaml",
      "pnpm-workspace.yaml",
      "services",
    ]);
    const own = execFileSync("find", [layer(), "-name", "node_modules", "-prune", "-o", "!", "-type", "d", "-print"], {
      encoding: "utf8",
    });
    expect(own).toMatch(/\/app\/services\/ingress\/src\/main\.ts$/m);
    expect(own).not.toMatch(/\/(\.[^/\n]*|testing\/.*|[^/\n]*\.(test|cases)\.ts|api-key)$/m);
    // All may read what only root may write.
    const odd = ["!", "-type", "l", "(", "-perm", "/022", "-o", "!", "-perm", "-004", ")"];
    expect(execFileSync("find", [layer("app"), layer("usr"), ...odd], { encoding: "utf8" })).toBe("");
  });

  test("no development dependency and no second Node is in it", async () => {
    const names = (await readdir(layer("app/node_modules/.pnpm"))).map((name) =>
      name.replace("+", "/").replace(/(?<=.)@.*$/, ""),
    );
    const manifests = ["package.json", ...members().map((member) => `${member}/package.json`), "test/package.json"].map(
      manifest,
    );
    const production = new Set(manifests.flatMap(({ dependencies = {} }) => Object.keys(dependencies)));
    const development = manifests
      .flatMap(({ devDependencies = {}, optionalDependencies = {} }) =>
        Object.keys({ ...devDependencies, ...optionalDependencies }),
      )
      .filter((name) => !production.has(name));
    expect(development).toContain("vitest");
    // What a package of production needs itself is there for it.
    const folders = (await readdir(layer("app/node_modules/.pnpm"))).filter((name) => name !== "node_modules");
    const neededBy = (name: string) =>
      folders.some(
        (folder) =>
          !folder.startsWith(`${name.replace("/", "+")}@`) &&
          existsSync(layer(`app/node_modules/.pnpm/${folder}/node_modules/${name}`)),
      );
    expect(development.filter((name) => names.includes(name) && !neededBy(name))).toEqual([]);
    const missing = [...production].filter((name) => !name.startsWith("@outerloop/") && !names.includes(name));
    expect(missing).toEqual([]);
  });

  test("what the build was given to reach a registry is not in it", () => {
    const found = (text: string) => {
      try {
        return execFileSync("grep", ["-rlF", text, layer()], { encoding: "utf8" }).trim().split("\n");
      } catch {
        return []; // grep's way to say that there is none
      }
    };
    expect(found("@outerloop/core")).not.toEqual([]);
    expect(found(secret)).toEqual([]);
  });

  test("it adds at most 100 MB to Node's image", () => {
    const bytes = Number(execFileSync("du", ["-sb", layer()], { encoding: "utf8" }).split("\t")[0]);
    process.stdout.write(`The image adds ${Math.round(bytes / 1e6)} MB to Node's.\n`);
    expect(bytes).toBeLessThan(100e6);
  });

  test("its command migrates, its services become healthy, do a goal and end with 0 on SIGTERM", async () => {
    const servers = { DATABASE_URL: (await cloneDatabase()).url, REDIS_URL: await redisDatabase() };
    const inside = (env: Readonly<Record<string, string>>): Enter => ({
      ...insideOf(image, data),
      env: { ...image.env, ...servers, ...env },
    });
    // By the command on PATH, which an operator would use.
    const migrated = await runInside(["outerloop", "migrate"], inside({}));
    expect(migrated).toMatchObject({ code: 0 });

    const services = await Promise.all(
      ["ingress", "planner", "executor", "reflector"].map(async (name) => {
        const env = { OUTERLOOP_MIGRATE: "false", PORT: "0", OUTERLOOP_PROBE_PORT: String(await freePort()) };
        return { env, process: startInside(name, ["node", `services/${name}/src/main.ts`], inside(env)) };
      }),
    );
    const [front] = await Promise.all(services.map(({ process }) => process.until(isReady, "it was ready")));
    for (const { env } of services)
      expect(await runInside(image.healthcheck!.command, inside(env))).toMatchObject({ code: 0 });
    const nobody = inside({ PORT: String(await freePort()), OUTERLOOP_PROBE_PORT: String(await freePort()) });
    expect(await runInside(image.healthcheck!.command, nobody)).toMatchObject({ code: 1 });

    const url = `http://127.0.0.1:${new URL(String(front!["url"])).port}`;
    await expectGoalSucceeds(url, (await readFile(join(data, "api-key"), "utf8")).trim());
    const listed = await runInside(["outerloop", "list"], inside({ OUTERLOOP_URL: url }));
    expect(listed).toMatchObject({ code: 0, output: expect.stringContaining("single binary") });

    expect(await stop(services.map(({ process }) => process))).toEqual([0, 0, 0, 0]);
  }, 120_000);

  test("without a command and a database it does everything in one process, and writes to /data only", async () => {
    const volume = await volumeOf(image, folder);
    const where = insideOf(image, volume);
    const env = { ...image.env, PORT: String(await freePort()), OUTERLOOP_PROBE_PORT: String(await freePort()) };
    const all = startInside("embedded", image.command, { ...where, env });
    await all.until(isReady, "it was ready");
    expect(await runInside(image.healthcheck!.command, { ...where, env })).toMatchObject({ code: 0 });
    const key = (await readFile(join(volume, "api-key"), "utf8")).trim();
    await expectGoalSucceeds(`http://127.0.0.1:${env.PORT}`, key);
    expect(await stop([all])).toEqual([0]);
    // Not by whose they are alone: even root can't.
    const root = { ...where, user: "0:0", env };
    for (const path of ["/app", "/home/node", "/etc"])
      expect((await runInside(["touch", `${path}/x`], root)).output).toContain("Read-only file system");
  }, 120_000);
}

function defaultOf(name: string): string | null | undefined {
  const steps = parseDockerfile()
    .stages.at(-1)!
    .steps.filter(({ keyword }) => keyword === "ARG");
  return steps.flatMap(({ properties }) => properties).find(([arg]) => arg === name)?.[1];
}

/** As a runtime starts it: no root, nothing to be written but /tmp and the volume. */
function insideOf(image: Image, volume: string): Enter {
  const { layers, user, workdir, env } = image;
  return { layers, user, workdir, env, binds: { "/data": volume }, readOnly: true };
}

/** A new volume takes owner and mode from the folder that it is mounted over. */
async function volumeOf(image: Image, folder: string): Promise<string> {
  const volume = await mkdtemp(join(folder, "volume-"));
  const { uid, gid } = statSync(join(image.layers.folders[0]!, "data"));
  await chown(volume, uid, gid);
  return volume;
}

async function stop(processes: readonly ServiceProcess[]): Promise<readonly (number | NodeJS.Signals)[]> {
  for (const process of processes) process.kill("SIGTERM");
  return Promise.all(processes.map(({ exited }) => exited));
}

function members(): readonly string[] {
  return execFileSync("sh", ["-c", "ls -d packages/* services/*"], { cwd: rootPath, encoding: "utf8" })
    .trim()
    .split("\n");
}

/** Where this machine gets its packages, which npm and pnpm read from their environment. */
function registryOfThisMachine(): Readonly<Record<string, string>> {
  const registry = execFileSync("npm", ["config", "get", "registry"], {
    encoding: "utf8",
    cwd: "/",
    stdio: "pipe",
  }).trim();
  const proxies = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"];
  return {
    npm_config_registry: registry,
    ...Object.fromEntries(proxies.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : []))),
  };
}
