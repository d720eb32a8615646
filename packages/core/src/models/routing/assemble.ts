/** From what a file and the environment say to `ModelSettings`. Makes no call; keys are read here and nowhere else. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";
import { messageOf, OuterloopError } from "../../domain/errors.ts";
import { routeStages } from "../../domain/model.ts";
import { providerKinds } from "../kinds.ts";
import type { Price, ProviderKind } from "../provider.ts";
import {
  defaultBreaker,
  defaultProviderTimeouts,
  defaultRetry,
  maxRouteEntries,
  partTarget,
  routedUses,
  type ModelSettings,
  type ModelsFile,
  type ProviderSettings,
  type RoutedUse,
  type RouteEntry,
} from "./settings.ts";

export interface ModelSources {
  readonly file?: ModelsFile | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where paths of key files begin. */
  readonly cwd: string;
  /** Of one call, unless a provider says otherwise. */
  readonly totalMs?: number | undefined;
  readonly windowMs?: number | undefined;
  readonly payload?: ModelSettings["payload"];
}

const defaultWindowMs = 60_000;
const maxKeyBytes = 64 * 1024;
const microUsd = 1_000_000;
/** Names that are not a provider's own. */
const reserved = new Set(["offline", "local", "replay"]);

/** Variables that name models, by what they route. OUTERLOOP_MODEL is for all stages. */
const variables = {
  intake: "OUTERLOOP_MODEL_INTAKE",
  plan: "OUTERLOOP_MODEL_PLAN",
  execute: "OUTERLOOP_MODEL_EXECUTE",
  hard: "OUTERLOOP_MODEL_HARD",
  reflect: "OUTERLOOP_MODEL_REFLECT",
  embed: "OUTERLOOP_MODEL_EMBED",
  transcribe: "OUTERLOOP_MODEL_TRANSCRIBE",
} as const satisfies Record<RoutedUse, string>;
export const modelVariables: readonly string[] = ["OUTERLOOP_MODEL", ...Object.values(variables)];

/** @throws OuterloopError `config`, saying where it is wrong and what to write */
export function assembleModels(sources: ModelSources): ModelSettings {
  const { file = {}, env } = sources;
  const providers = assembleProviders(sources);
  const { retry = {}, breaker = {} } = file;
  return {
    providers,
    routes: assembleRoutes(file, env),
    limits: Object.entries(file.limits ?? {}).map(([target, limit]) => ({
      target,
      requestsPerMinute: limit.requests_per_minute,
      tokensPerMinute: limit.tokens_per_minute,
      tenant: {
        requestsPerMinute: limit.tenant?.requests_per_minute,
        tokensPerMinute: limit.tenant?.tokens_per_minute,
      },
      concurrency: limit.concurrency,
    })),
    prices: assemblePrices(file),
    retry: {
      tries: retry.tries ?? defaultRetry.tries,
      firstWaitMs: retry.first_wait_ms ?? defaultRetry.firstWaitMs,
      capMs: retry.cap_ms ?? defaultRetry.capMs,
      longestHeldMs: retry.longest_held_ms ?? defaultRetry.longestHeldMs,
      budget: retry.budget ?? defaultRetry.budget,
    },
    breaker: {
      calls: breaker.calls ?? defaultBreaker.calls,
      minCalls: Math.min(breaker.min_calls ?? defaultBreaker.minCalls, breaker.calls ?? defaultBreaker.calls),
      failureShare: breaker.failure_share ?? defaultBreaker.failureShare,
      openMs: breaker.open_ms ?? defaultBreaker.openMs,
      maxOpenMs: breaker.max_open_ms ?? defaultBreaker.maxOpenMs,
      probeMs: breaker.probe_ms ?? defaultBreaker.probeMs,
    },
    windowMs: sources.windowMs ?? defaultWindowMs,
    overrides: file.overrides ?? "any",
    payload: sources.payload,
  };
}

/** Those that the file names, and those that a variable of the environment selects; in the order in which they are preferred. */
function assembleProviders(sources: ModelSources): Record<string, ProviderSettings> {
  const { file = {}, env } = sources;
  const named = file.providers ?? {};
  for (const name of Object.keys(named))
    if (reserved.has(name)) throw badSetting(`models.providers.${name}`, `the name "${name}" is taken`);
  const selected = providerKinds.filter(
    ({ name, env: { key, baseUrl } }) => !(name in named) && (valueOf(env, key) ?? valueOf(env, baseUrl)) !== undefined,
  );
  return Object.fromEntries([
    ...Object.entries(named).map(([name, said]) => [name, assembleProvider(name, said, sources)] as const),
    ...selected.map(({ name }) => [name, assembleProvider(name, {}, sources)] as const),
  ]);
}

type SaidOfProvider = NonNullable<ModelsFile["providers"]>[string];

function assembleProvider(name: string, said: SaidOfProvider, { env, cwd, totalMs }: ModelSources): ProviderSettings {
  const { kind: kindName = name, base_url, key, timeouts = {}, ...options } = said;
  const where = `models.providers.${name}`;
  const kind = providerKinds.find((each) => each.name === kindName);
  if (kind === undefined)
    throw badSetting(where, `there is no kind of provider "${kindName}"; write kind: ${namesOfKinds().join(" | ")}`);
  // Variables are of the kind's own provider: another of its kind has another key.
  const isOwn = name === kind.name;
  const read = kind.options.safeParse({ ...(isOwn ? optionsOf(kind, env) : {}), ...options });
  if (!read.success) throw badSetting(where, z.prettifyError(read.error));
  const baseUrl = base_url ?? (isOwn ? valueOf(env, kind.env.baseUrl) : undefined);
  const apiKey = key === undefined ? (isOwn ? valueOf(env, kind.env.key) : undefined) : readKey(where, key, env, cwd);
  if (baseUrl !== undefined && !/^https?:/.test(URL.parse(baseUrl)?.protocol ?? ""))
    // The URL itself is not repeated: it may carry a password.
    throw badSetting(kind.env.baseUrl ?? where, "is not a URL; write it like http://localhost:11434/v1");
  if (apiKey === undefined && kind.needsKey(baseUrl)) throw badSetting(where, howToReach(kind, isOwn));
  return {
    kind: kind.name,
    baseUrl,
    apiKey,
    options: read.data,
    totalMs: timeouts.total_ms ?? totalMs ?? defaultProviderTimeouts.totalMs,
    firstTokenMs: timeouts.first_token_ms ?? defaultProviderTimeouts.firstTokenMs,
    betweenTokensMs: timeouts.between_tokens_ms ?? defaultProviderTimeouts.betweenTokensMs,
  };
}

function howToReach({ name, env }: ProviderKind, isOwn: boolean): string {
  const variable = isOwn && env.key !== undefined ? `set ${env.key}` : "write key: { env: VARIABLE }";
  const local = isOwn && env.baseUrl !== undefined ? `, or ${env.baseUrl} for a server that needs none` : "";
  return `a model of ${name} needs a key: ${variable}${local}`;
}

function readKey(
  where: string,
  key: NonNullable<SaidOfProvider["key"]>,
  env: ModelSources["env"],
  cwd: string,
): string {
  if ("env" in key) {
    const value = valueOf(env, key.env);
    if (value !== undefined) return value;
    throw badSetting(`${where}.key`, `the variable ${key.env} is not set`);
  }
  try {
    const text = readFileSync(resolve(cwd, key.file), "utf8").slice(0, maxKeyBytes).trim();
    if (text !== "") return text;
  } catch (thrown) {
    throw badSetting(`${where}.key`, `its file cannot be read: ${messageOf(thrown)}`);
  }
  throw badSetting(`${where}.key`, `the file ${key.file} is empty`);
}

function optionsOf(kind: ProviderKind, env: ModelSources["env"]): Record<string, string> {
  const pairs = Object.entries(kind.env.options ?? {}).map(([option, variable]) => [option, valueOf(env, variable)]);
  return Object.fromEntries(pairs.filter(([, value]) => value !== undefined));
}

/** A stage's own variable, else the general one, else what the file says. */
function assembleRoutes(file: ModelsFile, env: ModelSources["env"]): ModelSettings["routes"] {
  const general = valueOf(env, "OUTERLOOP_MODEL");
  const routes: Partial<Record<RoutedUse, readonly RouteEntry[]>> = {};
  for (const use of routedUses) {
    const own = valueOf(env, variables[use]);
    const inFile = file.routes?.[use];
    // A general model, and one for all executing, is for the hard tasks too.
    const isGeneral = (routeStages as readonly string[]).includes(use);
    const executes = use === "hard" ? valueOf(env, variables.execute) : undefined;
    if (own !== undefined) routes[use] = readList(own, variables[use]);
    else if (executes !== undefined) routes[use] = readList(executes, variables.execute);
    else if (general !== undefined && isGeneral) routes[use] = readList(general, "OUTERLOOP_MODEL");
    else if (inFile !== undefined) {
      const entries = Array.isArray(inFile) ? inFile : [inFile];
      routes[use] = entries.map((entry) => readEntry(entry, `models.routes.${use}`));
    }
  }
  return routes;
}

/** `provider/model, provider/model`, in order of preference. */
function readList(text: string, variable: string): readonly RouteEntry[] {
  const names = text.split(",").map((name) => name.trim());
  if (names.length > maxRouteEntries) throw badSetting(variable, `names more than ${maxRouteEntries} models`);
  return names.map((name) => readEntry(name, variable));
}

type SaidOfEntry = Exclude<NonNullable<NonNullable<ModelsFile["routes"]>[RoutedUse]>, readonly unknown[]>;

/** @param where what the user would have to change */
export function readEntry(said: SaidOfEntry, where: string): RouteEntry {
  const { model: text, ...params } = typeof said === "string" ? { model: said } : said;
  // Vectors say their length where nobody knows it: provider/model@768.
  const [, name = "", length] = /^(.*?)(?:@(\d{1,5}))?$/.exec(text) ?? [];
  const { provider, model } = partTarget(length === undefined ? text : name);
  if (model === "" || provider === "" || !/^[\w.-]+$/.test(provider))
    throw badSetting(where, `"${text}" is no model; write provider/model, for instance openai/gpt-6.1-sol`);
  const dimensions = "dimensions" in params ? params.dimensions : length === undefined ? undefined : Number(length);
  return {
    provider,
    ...(model !== undefined && { model }),
    ...(dimensions !== undefined && { dimensions }),
    params: {
      ...("effort" in params && params.effort !== undefined && { effort: params.effort }),
      ...("temperature" in params && params.temperature !== undefined && { temperature: params.temperature }),
      ...("max_output_tokens" in params &&
        params.max_output_tokens !== undefined && { maxOutputTokens: params.max_output_tokens }),
      ...("service_tier" in params && params.service_tier !== undefined && { serviceTier: params.service_tier }),
    },
  };
}

function assemblePrices(file: ModelsFile): Record<string, Price> {
  const prices = Object.entries(file.prices ?? {}).map(([target, said]): [string, Price] => [
    target,
    {
      input: said.input * microUsd,
      cachedInput: (said.cached_input ?? said.input) * microUsd,
      output: said.output * microUsd,
      cacheWriteFactor: said.cache_write_factor ?? 1,
    },
  ]);
  return Object.fromEntries(prices);
}

function valueOf(env: ModelSources["env"], variable: string | undefined): string | undefined {
  return variable === undefined ? undefined : env[variable]?.trim() || undefined;
}

export function namesOfKinds(): readonly string[] {
  return providerKinds.map((kind) => kind.name);
}

function badSetting(where: string, what: string): OuterloopError {
  return new OuterloopError("config", `${where}: ${what}`);
}
