/**
 * The models of one process, with what keeps them up to date: new settings when the configuration file changes, what other
 * replicas found, tests that somebody asked for, and a view of its routes for operators.
 */
import type { Config } from "./config.ts";
import { reloadConfigFile, readConfigFile, watchConfigFile, type ConfigFile } from "./config-file.ts";
import { messageOf } from "./domain/errors.ts";
import type { LeaseId } from "./domain/ids.ts";
import type { Logger } from "./logging.ts";
import type { Metrics } from "./metrics.ts";
import { createModels, type Models } from "./models/routing/models.ts";
import { partTarget, type ModelSettings } from "./models/routing/settings.ts";
import { createTargets } from "./models/routing/targets.ts";
import type { Embedder, Provider } from "./models/provider.ts";
import type { Db } from "./store/database.ts";
import { createModelControl, dropOldModelRows } from "./store/model-control.ts";
import { finishModelTest, takeModelTest, writeModelView } from "./store/model-views.ts";

export interface ModelServiceParts {
  readonly config: Pick<Config, "configFile" | "readModels">;
  /** Those that it begins with. */
  readonly settings: ModelSettings;
  readonly service: string;
  readonly db: Db;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, "modelTries" | "modelHeld" | "modelReloads" | "tokens" | "costUsd">;
  readonly lease: LeaseId;
  readonly offline: Provider;
  readonly localEmbedder: Embedder;
  /** Works on one claim of another process, which does all upkeep. */
  readonly isChild: boolean;
}

export interface ModelService {
  readonly models: Models;
  close(): Promise<void>;
}

/** What one replica finds is known to all within twice this. */
const syncEveryMs = 1000;
/** Where no model leaves the process, only tests are looked for. */
const restEveryMs = 5000;
const viewEveryMs = 30_000;
const cleanEveryMs = 3_600_000;
/** Of all models of all routes. */
const testMs = 120_000;

/**
 * Before anything is opened.
 * @throws OuterloopError `config` where the settings cannot work
 */
export function readModelSettings(
  { configFile, readModels }: ModelServiceParts["config"],
  offline: Provider,
): ModelSettings {
  const settings = readModels(configFile === null ? {} : readConfigFile(configFile));
  createTargets(settings, { offline });
  return settings;
}

export async function startModelService(parts: ModelServiceParts): Promise<ModelService> {
  const { config, service, db, log, metrics, lease, isChild } = parts;
  const models = createModels(parts.settings, {
    offline: parts.offline,
    localEmbedder: parts.localEmbedder,
    control: createModelControl(db),
    onBreaker(target, state, reason) {
      if (state === "closed") metrics.modelHeld.remove({ model: labelOf(target) });
      else metrics.modelHeld.set({ model: labelOf(target) }, 1);
      const line = { event: `model_${state}`, model: target, reason };
      if (state === "closed") log.info(line);
      else log.warn(line);
    },
    onFailure: (stage, { model, why }) => metrics.modelTries.inc({ stage, model: labelOf(model), outcome: why }),
    onUsage(use, model, tokens, costMicroUsd) {
      const { provider, model: name = "" } = partTarget(model);
      const labels = { stage: use, provider, model: name };
      metrics.tokens.inc({ ...labels, type: "input" }, tokens);
      if (costMicroUsd !== null) metrics.costUsd.inc(labels, costMicroUsd / 1e6);
    },
    onFault: (thrown) => log.warn({ event: "model_control_failed", error: messageOf(thrown) }),
  });
  /** Goals may name any number of models. */
  function labelOf(model: string): string {
    return models.isRouted(model) ? model : "other";
  }
  const view = () => writeModelView(db, { lease, service, routes: models.describe(), settings: models.settings });
  const failed = (event: string) => (thrown: unknown) => log.warn({ event, error: messageOf(thrown) });

  const stopping = new AbortController();
  let isSyncing = false;
  let viewedAt = -Infinity;
  let cleanedAt = performance.now();
  async function turn(): Promise<void> {
    if (models.reachesOut) await models.sync();
    if (isChild) return;
    const test = await takeModelTest(db, testMs);
    if (test !== null) void runTest(test).catch(failed("model_test_failed"));
    const now = performance.now();
    if (now - viewedAt > viewEveryMs) {
      viewedAt = now;
      await view();
    }
    if (now - cleanedAt > cleanEveryMs) {
      cleanedAt = now;
      await dropOldModelRows(db);
    }
  }
  async function runTest(id: string): Promise<void> {
    const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(testMs)]);
    const results = await models.test(signal);
    // Another process makes it then.
    if (!stopping.signal.aborted) await finishModelTest(db, id, results);
  }
  const sync = () => {
    if (isSyncing) return;
    isSyncing = true;
    void turn()
      .catch(failed("model_sync_failed"))
      .finally(() => (isSyncing = false));
  };
  let timer = setInterval(sync, models.reachesOut ? syncEveryMs : restEveryMs);
  timer.unref();
  try {
    await turn();
  } catch (thrown) {
    clearInterval(timer);
    await models.close();
    throw thrown;
  }

  /** Settings that cannot work change nothing: what was there goes on. */
  async function reload(path: string): Promise<void> {
    if (stopping.signal.aborted) return;
    let changed: ConfigFile;
    try {
      changed = await reloadConfigFile(path);
      models.use(config.readModels(changed));
    } catch (thrown) {
      metrics.modelReloads.inc({ outcome: "refused" });
      log.error({ event: "config_refused", error: messageOf(thrown) });
      return;
    }
    metrics.modelReloads.inc({ outcome: "taken" });
    log.info({ event: "config_reloaded", routes: routesOf(models) });
    clearInterval(timer);
    timer = setInterval(sync, models.reachesOut ? syncEveryMs : restEveryMs);
    timer.unref();
    viewedAt = -Infinity;
    sync();
  }
  let reloading = Promise.resolve();
  const unwatch =
    config.configFile === null
      ? () => undefined
      : watchConfigFile(config.configFile, () => {
          reloading = reloading.then(() => reload(config.configFile!));
        });

  return {
    models,
    async close() {
      unwatch();
      stopping.abort();
      // A change that is being read sets the timer anew.
      await reloading;
      clearInterval(timer);
      await models.close();
    },
  };
}

function routesOf(models: Models): Record<string, string> {
  return Object.fromEntries(
    models.describe().map(({ use, models: route }) => [use, route.map((each) => each.name).join(", ")]),
  );
}
