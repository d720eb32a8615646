import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { configFileSchema, type ConfigFile } from "./config-file.ts";
import type { LeaseId } from "./domain/ids.ts";
import { createLocalEmbedder } from "./memory/local-embedder.ts";
import { createLogger, type Logger } from "./logging.ts";
import { createMetrics } from "./metrics.ts";
import { readModelSettings, startModelService, type ModelService, type ModelServiceParts } from "./model-service.ts";
import { createOfflineProvider } from "./models/offline/index.ts";
import { assembleModels } from "./models/routing/assemble.ts";
import { startScriptedServer, type Script, type ScriptedServer } from "./models/testing/scripted-server.ts";
import { openDatabase, type Database } from "./store/database.ts";
import { createId } from "./store/ids.ts";
import { renewLease } from "./store/leases.ts";
import { migrate } from "./store/migrate.ts";
import { askModelTest, findModelTest, readModelState } from "./store/model-views.ts";

let database: Database;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "outerloop-models-"));
  database = await openDatabase({ kind: "embedded", folder: null });
  await migrate(database.db);
});
afterAll(async () => {
  await database.close();
  await rm(folder, { recursive: true, force: true });
});

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});
async function serve(script: Script = async () => ({ text: "ok" })): Promise<ScriptedServer> {
  const server = await startScriptedServer(script);
  cleanups.push(() => server.close());
  return server;
}

interface Started extends ModelService {
  readonly lease: LeaseId;
  readonly events: Record<string, unknown>[];
  readonly metrics: ModelServiceParts["metrics"];
  heard(event: string): Promise<Record<string, unknown>>;
}

async function start(file: string | null, parts: Partial<ModelServiceParts> = {}): Promise<Started> {
  const { db } = database;
  const lease = createId("lease");
  await renewLease(db, { id: lease, service: "test", host: "test", pid: 1 }, 60_000);
  const events: Record<string, unknown>[] = [];
  const keep = (line: unknown) => void events.push(line as Record<string, unknown>);
  const quiet = createLogger("test", "silent");
  const log = { ...quiet, info: keep, warn: keep, error: keep } as unknown as Logger;
  const metrics = createMetrics();
  const config = {
    configFile: file,
    readModels: ({ models }: ConfigFile) => assembleModels({ env: {}, file: models, cwd: folder }),
  };
  const service = await startModelService({
    config,
    settings: readModelSettings(parts.config ?? config, createOfflineProvider()),
    service: "test",
    db,
    log,
    metrics,
    lease,
    offline: createOfflineProvider(),
    localEmbedder: createLocalEmbedder(),
    isChild: false,
    ...parts,
  });
  cleanups.push(async () => {
    await service.close();
    await db.deleteFrom("leases").where("id", "=", lease).execute();
  });
  return {
    ...service,
    lease,
    events,
    metrics,
    heard: (event) =>
      vi.waitFor(
        () => {
          const found = events.find((line) => line["event"] === event);
          if (found === undefined) throw new Error(`no ${event} among ${JSON.stringify(events)}`);
          return found;
        },
        { timeout: 10_000, interval: 20 },
      ),
  };
}

let files = 0;
async function write(text: string): Promise<string> {
  const path = join(folder, `models-${(files += 1)}.yaml`);
  await writeFile(path, text);
  return path;
}
/** In one step, as whoever mounts it does. */
async function rewrite(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}
const settingsOf = (server: ScriptedServer, model: string) =>
  JSON.stringify({
    models: {
      providers: { openai: { base_url: server.openAiBaseUrl, api: "chat" } },
      routes: Object.fromEntries(["intake", "plan", "execute", "reflect", "hard"].map((use) => [use, model])),
    },
  });
const planners = ({ models }: ModelService) =>
  models
    .describe()
    .find(({ use }) => use === "plan")
    ?.models.map(({ name }) => name);
const routesShown = async () =>
  (await readModelState(database.db)).views.map(({ services, routes }) => ({
    services,
    plan: routes.find(({ use }) => use === "plan")?.models.map(({ name }) => name),
  }));

describe("the models of a process", () => {
  test("without a file are offline, and people see their routes at once", async () => {
    const service = await start(null);
    expect(service.models.offline).toBe(true);
    expect(await routesShown()).toEqual([{ services: ["test"], plan: ["offline/rules"] }]);
  });

  test("of a child of another process are nobody's to see", async () => {
    await start(null, { isChild: true });
    expect(await routesShown()).toEqual([]);
  });

  test("do not start with settings that cannot work", async () => {
    await expect(start(await write("models: { routes: { plan: nobody/a } }"))).rejects.toMatchObject({
      code: "config",
      message: expect.stringContaining('no provider is called "nobody"') as string,
    });
    await expect(start(join(folder, "none.yaml"))).rejects.toMatchObject({ code: "config" });
  });

  test("follow their file while it can work; one that cannot changes nothing", async () => {
    const server = await serve();
    const file = await write(settingsOf(server, "openai/first"));
    const service = await start(file);
    expect(planners(service)).toEqual(["openai/first"]);

    await rewrite(file, "models: { routes: { plan: nobody/a } }");
    expect((await service.heard("config_refused"))["error"]).toContain('no provider is called "nobody"');
    expect(planners(service)).toEqual(["openai/first"]);
    expect(await routesShown()).toMatchObject([{ plan: ["openai/first"] }]);

    await rewrite(file, settingsOf(server, "openai/second"));
    expect(await service.heard("config_reloaded")).toMatchObject({ routes: { plan: "openai/second" } });
    expect(planners(service)).toEqual(["openai/second"]);
    await vi.waitFor(async () => expect(await routesShown()).toMatchObject([{ plan: ["openai/second"] }]));
    const { values } = await (service.metrics as ReturnType<typeof createMetrics>).modelReloads.get();
    expect(Object.fromEntries(values.map(({ labels, value }) => [labels.outcome, value]))).toEqual({
      refused: 1,
      taken: 1,
    });
  });

  test("are tested by one of those who could, for whoever asked", async () => {
    const server = await serve(async ({ model }) =>
      model === "away" ? { error: { status: 404, message: "no such model" } } : { text: "ok" },
    );
    const settings = configFileSchema.parse({
      models: {
        providers: { openai: { base_url: server.openAiBaseUrl, api: "chat" } },
        routes: { plan: ["openai/here", "openai/away"], execute: "openai/here" },
      },
    });
    const file = await write(JSON.stringify(settings));
    await Promise.all([start(file), start(file)]);
    const id = createId("modelTest");
    await askModelTest(database.db, id, "");
    const result = await vi.waitFor(
      async () => {
        const found = (await findModelTest(database.db, id))?.result;
        if (found === null || found === undefined) throw new Error("it is not done");
        return found;
      },
      { timeout: 15_000, interval: 50 },
    );
    expect(result.find(({ name }) => name === "openai/here")).toMatchObject({ ok: true, detail: "ok" });
    expect(result.find(({ name }) => name === "openai/away")).toMatchObject({
      ok: false,
      uses: ["plan"],
      detail: expect.stringContaining("no such model") as string,
    });
    expect(server.seen.filter(({ model }) => model === "here")).toHaveLength(1);
  });
});
