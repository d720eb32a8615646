/** From settings to the models that may be called: providers made, routes filled in and checked against what models can do. */
import { bulkhead, type BulkheadPolicy } from "cockatiel";
import { LRUCache } from "lru-cache";
import { OuterloopError } from "../../domain/errors.ts";
import { routeStages, type Caller, type ModelParams, type RouteStage, type Stage } from "../../domain/model.ts";
import { providerKinds } from "../kinds.ts";
import type { Capabilities, DefaultModels, Provider } from "../provider.ts";
import { readEntry } from "./assemble.ts";
import { findPrice, type PriceList } from "./prices.ts";
import { createRetryBudget, type RetryBudget } from "./retry-budget.ts";
import {
  isRouteStage,
  partTarget,
  routedUses,
  type ModelSettings,
  type RoutedUse,
  type RouteEntry,
  type TargetLimit,
} from "./settings.ts";

/** One model that may be called, with what bounds its calls. */
export interface Target {
  readonly provider: Provider;
  readonly use: TargetUse;
  /** `provider/model`; the model may be known to the server alone until it was asked. */
  readonly name: () => string;
  readonly model: (signal: AbortSignal) => Promise<string>;
  readonly params: ModelParams;
  readonly capabilities: Capabilities;
  readonly dimensions: number | undefined;
  /** By the model that answered, where the provider names another; undefined where no price is known. */
  readonly price: (answered?: string) => PriceList | undefined;
  readonly limits: readonly TargetLimit[];
  readonly gate: Gate;
}

/** What a model is asked for. */
export type TargetUse = "talk" | "embed" | "transcribe";

/** What all calls of one model in this process share. */
export interface Gate {
  /** Of the model's own limit and of its provider's, which all its models share. */
  readonly bulkheads: readonly BulkheadPolicy[];
  readonly retries: RetryBudget;
}

/** Those that were used last; goals may name any number of models. */
export interface Gates {
  readonly bulkheads: LRUCache<string, BulkheadPolicy>;
  readonly retries: LRUCache<string, RetryBudget>;
}

function createGates(): Gates {
  return { bulkheads: new LRUCache({ max: maxGates }), retries: new LRUCache({ max: maxGates }) };
}

export interface TargetParts {
  /** Serves where nothing is set up. */
  readonly offline: Provider;
  readonly fetch?: typeof fetch | undefined;
}

export interface Targets {
  readonly settings: ModelSettings;
  /** In order of preference. Throws `config` where a goal's own wish cannot be met. */
  route(stage: Stage, caller?: Pick<Caller, "overrides" | "hard">): readonly Target[];
  readonly embed: Target | null;
  readonly transcribe: readonly Target[];
  /** A model that embedded before the route was changed; null where its provider is set up no more. */
  embedding(name: string, dimensions: number): Target | null;
  /** Whether it stands in a route, rather than in a goal's wish alone. */
  isRouted(name: string): boolean;
  /** Of `provider/model` as routes name it: for probes. */
  find(name: string): Target | undefined;
  /** Every route, for people and tests. */
  readonly routes: readonly { readonly use: RoutedUse; readonly targets: readonly Target[] }[];
  readonly providers: ReadonlyMap<string, Provider>;
  readonly gates: Gates;
}

const offlineModel = "rules";
/** Names of the embedder of this process. */
const embedsHere = new Set(["local", "offline"]);
/** Targets that goals named, beside those of routes. */
const maxNamed = 200;
const maxGates = 1000;

/** @throws OuterloopError `config` for settings that cannot work; makes no call */
export function createTargets(settings: ModelSettings, parts: TargetParts, before?: Targets): Targets {
  const providers = createProviders(settings, parts, before);
  // Calls under way and retries that were saved are counted on.
  const gates = before?.gates ?? createGates();
  const routed = new Map<string, Target>();
  const named = new LRUCache<string, Target>({ max: maxNamed });

  const gateOf = (name: string, limits: readonly TargetLimit[]): Gate => {
    const retries = gates.retries.get(`${name} ${settings.retry.budget}`) ?? createRetryBudget(settings.retry.budget);
    gates.retries.set(`${name} ${settings.retry.budget}`, retries);
    const bulkheads = limits.flatMap(({ target, concurrency }) => {
      if (concurrency === undefined) return [];
      const key = `${target} ${concurrency}`;
      // As many wait as are under way; who comes then goes elsewhere.
      const found = gates.bulkheads.get(key) ?? bulkhead(concurrency, concurrency);
      gates.bulkheads.set(key, found);
      return [found];
    });
    return { bulkheads, retries };
  };

  const lists = new Map<Provider, ListedModel>();
  const listedOf = (provider: Provider): ListedModel => {
    const list = lists.get(provider) ?? listedModel(provider);
    lists.set(provider, list);
    return list;
  };

  function create(use: RoutedUse, entry: RouteEntry, where: string): Target {
    const provider = providers.get(entry.provider);
    if (provider === undefined)
      throw new OuterloopError("config", `${where}: ${unknownProvider(entry.provider, providers)}`);
    const defaults = defaultsOf(entry.provider, settings);
    const fallback = modelOf(defaults, use);
    const model = entry.model ?? fallback;
    if (model === undefined && !(defaults.listed === true && isRouteStage(use)))
      throw new OuterloopError(
        "config",
        `${where}: ${entry.provider} has no model for it that is known here; write ${entry.provider}/MODEL`,
      );
    const capabilities = provider.capabilities(model ?? "");
    const lack = lackOf(use, capabilities);
    if (lack !== null) throw new OuterloopError("config", `${where}: ${entry.provider}/${model ?? ""} ${lack}`);
    const kind = settings.providers[entry.provider]?.kind ?? entry.provider;
    const listed = model === undefined ? listedOf(provider) : null;
    const name = () => `${entry.provider}/${model ?? listed?.known() ?? "(the server's first model)"}`;
    const limits = settings.limits.filter(
      ({ target }) => target === entry.provider || target === `${entry.provider}/${model}`,
    );
    const embeds = use === "embed" ? (entry.dimensions ?? dimensionsOf(kind, model ?? "")) : undefined;
    if (use === "embed" && embeds === undefined)
      throw new OuterloopError(
        "config",
        `${where}: how many dimensions does ${name()} return? Write ${name()}@1024, say`,
      );
    return {
      provider,
      use: isRouteStage(use) ? "talk" : use,
      name,
      model: listed === null ? async () => model! : listed.ask,
      params: entry.params,
      capabilities,
      dimensions: embeds,
      price: (answered) => {
        const asked = model ?? listed?.known() ?? "";
        return (
          (answered === undefined ? undefined : findPrice(entry.provider, kind, answered, settings.prices)) ??
          findPrice(entry.provider, kind, asked, settings.prices)
        );
      },
      limits,
      gate: gateOf(`${entry.provider}/${model ?? "*"}`, limits),
    };
  }

  const routes = routedUses.map((use) => {
    const entries = (settings.routes[use] ?? defaultEntries(use, settings, providers, parts.offline.name)).filter(
      ({ provider }) => use !== "embed" || !embedsHere.has(provider),
    );
    return { use, targets: entries.map((entry) => create(use, entry, `the route of ${use}`)) };
  });
  const byUse = new Map(routes.map(({ use, targets }) => [use, targets]));
  for (const { targets } of routes) for (const target of targets) routed.set(target.name(), target);
  const embedTargets = byUse.get("embed") ?? [];
  if (embedTargets.length > 1)
    throw new OuterloopError(
      "config",
      "the route of embed: vectors of different models cannot be compared; name one model",
    );

  /** What a goal or a task wishes; refused wishes are told, since another model was meant. */
  function wished(stage: RouteStage, names: readonly string[]): readonly Target[] {
    return names.map((name) => {
      const where = `the goal's model for ${stage}`;
      if (settings.overrides === "none")
        throw new OuterloopError("config", `${where}: this installation lets no goal name models`);
      const key = `${stage} ${name}`;
      const target = named.get(key) ?? create(stage, readEntry(name, where), where);
      if (settings.overrides === "routed" && !routed.has(target.name()))
        throw new OuterloopError("config", `${where}: ${name} is in no route of this installation`);
      named.set(key, target);
      return target;
    });
  }

  return {
    settings,
    route(stage, caller = {}) {
      // A task's wish before its goal's; among equals the one for hard tasks before the one for all.
      const stages: readonly RouteStage[] = stage === "execute" && caller.hard === true ? ["hard", "execute"] : [stage];
      for (const wishes of settings.overrides === "ignored" ? [] : (caller.overrides?.toReversed() ?? []))
        for (const each of stages) {
          const names = wishes[each];
          if (names !== undefined && names.length > 0) return wished(each, names);
        }
      return byUse.get(stages[0]!) ?? [];
    },
    embed: embedTargets[0] ?? null,
    transcribe: byUse.get("transcribe") ?? [],
    embedding(name, dimensions) {
      const key = `embed ${name} ${dimensions}`;
      const { provider, model } = partTarget(name);
      if (!providers.has(provider) || model === undefined) return null;
      try {
        const target = named.get(key) ?? create("embed", { provider, model, dimensions, params: {} }, name);
        named.set(key, target);
        return target;
      } catch {
        return null;
      }
    },
    find: (name) =>
      routed.get(name) ??
      // A server's first model has another name once it is known.
      [...routed.values(), ...named.values()].find((target) => target.name() === name),
    isRouted: (name) => [...routed.values()].some((target) => target.name() === name),
    routes,
    providers,
    gates,
  };
}

function createProviders(settings: ModelSettings, parts: TargetParts, before?: Targets): Map<string, Provider> {
  const providers = new Map<string, Provider>();
  for (const [name, said] of Object.entries(settings.providers)) {
    const kept = before?.providers.get(name);
    // What has not changed keeps its connections.
    if (kept !== undefined && JSON.stringify(before?.settings.providers[name]) === JSON.stringify(said)) {
      providers.set(name, kept);
      continue;
    }
    const kind = providerKinds.find((each) => each.name === said.kind);
    if (kind === undefined)
      throw new OuterloopError("config", `models.providers.${name}: there is no kind "${said.kind}"`);
    const { totalMs, firstTokenMs, betweenTokensMs } = said;
    providers.set(
      name,
      kind.create({
        name,
        apiKey: said.apiKey,
        baseURL: said.baseUrl,
        fetch: parts.fetch,
        options: said.options,
        timeouts: { totalMs, firstTokenMs, betweenTokensMs },
      }),
    );
  }
  providers.set(parts.offline.name, parts.offline);
  return providers;
}

/** Every provider that is set up, in order: the next serves where the one before does not. */
function defaultEntries(
  use: RoutedUse,
  settings: ModelSettings,
  providers: ReadonlyMap<string, Provider>,
  offline: string,
): readonly RouteEntry[] {
  // Vectors of different models are not compared, so one embeds; and where stages stay in this process, texts do too.
  if (use === "embed" && isOfflineByChoice(settings)) return [];
  const entries = Object.keys(settings.providers).flatMap((provider): RouteEntry[] => {
    const defaults = defaultsOf(provider, settings);
    const model = modelOf(defaults, use);
    if (model !== undefined && lackOf(use, providers.get(provider)!.capabilities(model)) === null)
      return [{ provider, model, params: {} }];
    return defaults.listed === true && isRouteStage(use) ? [{ provider, params: {} }] : [];
  });
  if (!isRouteStage(use)) return entries.slice(0, 1);
  if (use === "hard" && settings.routes.execute !== undefined) return settings.routes.execute;
  return entries.length > 0 ? entries : [{ provider: offline, model: offlineModel, params: {} }];
}

function isOfflineByChoice({ routes }: ModelSettings): boolean {
  const said = routeStages.flatMap((stage) => routes[stage] ?? []);
  return said.length > 0 && said.every((entry) => entry.provider === "offline");
}

function defaultsOf(provider: string, settings: ModelSettings): DefaultModels {
  const said = settings.providers[provider];
  if (said === undefined)
    return {
      intake: offlineModel,
      plan: offlineModel,
      execute: offlineModel,
      hard: offlineModel,
      reflect: offlineModel,
    };
  const kind = providerKinds.find((each) => each.name === said.kind);
  return kind?.defaults({ name: provider, baseURL: said.baseUrl, options: said.options }) ?? {};
}

function modelOf(defaults: DefaultModels, use: RoutedUse): string | undefined {
  return defaults[use] ?? (use === "hard" ? defaults.plan : undefined);
}

function dimensionsOf(kindName: string, model: string): number | undefined {
  return providerKinds.find((each) => each.name === kindName)?.dimensions?.[model];
}

/** What a model would need for its route and has not, for people; null where it has all. */
export function lackOf(use: RoutedUse, capabilities: Capabilities): string | null {
  switch (use) {
    case "intake":
    case "plan":
    case "reflect":
      return capabilities.structured === "none" ? "cannot answer in a given shape, which this stage needs" : null;
    case "execute":
    case "hard":
      return capabilities.tools ? null : "cannot call tools, which this stage needs";
    case "embed":
      return capabilities.embeddings ? null : "has no embeddings";
    case "transcribe":
      return capabilities.transcription ? null : "has no transcription";
  }
}

function unknownProvider(name: string, providers: ReadonlyMap<string, Provider>): string {
  const kind = providerKinds.find((each) => each.name === name);
  const fix =
    kind?.env.key === undefined
      ? `there are ${[...providers.keys()].join(", ")}`
      : `set ${[kind.env.key, kind.env.baseUrl].filter((each) => each !== undefined).join(" or ")}`;
  return `no provider is called "${name}": ${fix}`;
}

interface ListedModel {
  readonly ask: (signal: AbortSignal) => Promise<string>;
  readonly known: () => string | undefined;
}

/** Asked at the first call, since the server may start after us; kept once it answered. */
function listedModel(provider: Provider): ListedModel {
  let known: string | undefined;
  return {
    known: () => known,
    async ask(signal) {
      known ??= (await provider.listModels?.(signal))?.[0];
      if (known !== undefined) return known;
      throw new OuterloopError(
        "config",
        `${provider.name}: the server lists no model; load one, or name it: ${provider.name}/MODEL`,
      );
    },
  };
}

/** Whether any of these bounds anything. */
export function isLimited({ requestsPerMinute, tokensPerMinute, tenant }: TargetLimit): boolean {
  return [requestsPerMinute, tokensPerMinute, tenant.requestsPerMinute, tenant.tokensPerMinute].some(
    (limit) => limit !== undefined,
  );
}
