/**
 * The routed models that the rest of the house calls: which model serves which stage, and everything that stands between a
 * stage and a provider. Settings may change while calls are under way: those go on as they began.
 */
import { messageOf, ModelError, OuterloopError } from "../../domain/errors.ts";
import { storable } from "../../domain/json.ts";
import type { Caller, FailedTry, Model, ModelRequest, Stage } from "../../domain/model.ts";
import type { PriceCall } from "../../domain/budget.ts";
import { boundAnswer, defaultPayloadLimits } from "../../domain/payload.ts";
import type { Embedder, EmbedResponse, Provider, TranscribeRequest, TranscribeResponse } from "../provider.ts";
import { createBreakers, type Breakers } from "./breakers.ts";
import { alongRoute, callRoute, nobody, type CallParts } from "./call.ts";
import type { HeldTarget, ModelControl } from "./control.ts";
import { costOf, mostCostOf } from "./prices.ts";
import { isRouteStage, type ModelSettings, type RoutedUse } from "./settings.ts";
import { createTargets, type Target, type Targets } from "./targets.ts";

/** What routing is handed. */
export interface ModelParts {
  readonly offline: Provider;
  readonly localEmbedder: Embedder;
  readonly control: ModelControl;
  /** For tests. */
  readonly fetch?: typeof fetch | undefined;
  readonly random?: () => number;
  /** A breaker opened or closed; a request failed; the store did not take what was told. */
  readonly onBreaker?: (target: string, state: "open" | "cooling" | "closed", reason: string) => void;
  readonly onFailure?: (stage: string, failure: FailedTry) => void;
  readonly onFault?: (thrown: unknown) => void;
  /** What a call took that is of no goal's budget. */
  readonly onUsage?: (use: "embed" | "transcribe", model: string, tokens: number, costMicroUsd: number | null) => void;
}

/** A route for people to read. */
export interface RouteView {
  readonly use: RoutedUse;
  readonly models: readonly {
    readonly name: string;
    /** Micro-dollars a million tokens; null where no price is known. */
    readonly price: { readonly input: number; readonly output: number; readonly version: string } | null;
  }[];
}

export interface TestedModel {
  readonly name: string;
  /** Of which routes it is. */
  readonly uses: readonly RoutedUse[];
  readonly ok: boolean;
  readonly ms: number;
  /** Why it does not serve; what it answered with, by its provider's name. */
  readonly detail: string;
}

export interface Models {
  readonly model: Model;
  /** Who embeds now. What was handed out stays what it is when settings change. */
  embedder(): Embedder;
  /** Of a model that stored vectors name; null where it cannot be reached any more. */
  embedderOf(name: string, dimensions: number): Embedder | null;
  /** Text of speech. Throws ModelError, `unsupported` where no model transcribes. */
  transcribe(
    request: TranscribeRequest,
    options: { readonly signal: AbortSignal; readonly tenantId: string },
  ): Promise<{ readonly text: string; readonly model: string; readonly costMicroUsd: number | null }>;
  /** What a call of a stage costs at most, whichever model of its route serves. */
  price(stage: Stage, caller?: Pick<Caller, "overrides" | "hard">): PriceCall;
  /** How many models may serve a stage. */
  countModels(stage: Stage, caller?: Pick<Caller, "overrides" | "hard">): number;
  /** Whether any provider outside is set up: for a route, or for goals to name. */
  readonly reachesOut: boolean;
  /** Whether a model stands in a route, rather than in a goal's wish alone. */
  isRouted(name: string): boolean;
  /** True where no stage leaves this process. */
  readonly offline: boolean;
  describe(): readonly RouteView[];
  /** Models that are held back, as known here. */
  held(): readonly HeldTarget[];
  /** The settings that calls begin with now. */
  readonly settings: ModelSettings;
  /** Asks every model of every route for a word (or a vector). Costs a few tokens each. */
  test(signal: AbortSignal): Promise<readonly TestedModel[]>;
  /** New settings for calls that begin from now on. Throws `config`, and then all stays as it was. */
  use(settings: ModelSettings): void;
  /** Learns what other replicas found. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** What stages know of it; the simulator stands in for that alone. */
export type StageModels = Pick<Models, "model" | "embedder" | "embedderOf" | "price" | "countModels">;

const probeRequest: ModelRequest = {
  stage: "execute",
  system: "",
  messages: [{ role: "user", parts: ["Answer with the word: ok"] }],
  tools: [],
  maxOutputTokens: 64,
};
/** Of a model's word, and of why it gave none. */
const maxShownChars = 80;
const maxDetailChars = 500;
/** Tests under way at once. */
const maxTests = 4;

/** @throws OuterloopError `config` for settings that cannot work; makes no call */
export function createModels(settings: ModelSettings, parts: ModelParts): Models {
  const { control, localEmbedder, onBreaker, onFailure, onFault, onUsage } = parts;
  let targets = createTargets(settings, parts);
  const breakers: Breakers = createBreakers({
    control,
    settings: () => targets.settings.breaker,
    probeOf: (name) => {
      const target = targets.find(name);
      return target === undefined ? null : (signal) => probe(target, signal);
    },
    changed: (target, state, reason) => onBreaker?.(target, state, reason),
    failed: (thrown) => onFault?.(thrown),
  });
  const callParts = (): CallParts => ({
    settings: targets.settings,
    breakers,
    control,
    random: parts.random ?? Math.random,
    failed: (stage, failure) => onFailure?.(stage, failure),
  });

  const embedderOf = (target: Target): Embedder => {
    const { dimensions = 0 } = target;
    return {
      name: target.name(),
      dimensions,
      async embed(texts, signal) {
        const tokens = () => texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
        const { reply } = await alongRoute<EmbedResponse>(
          callParts(),
          [target],
          {
            stage: "embed",
            tenantId: nobody,
            tokens,
            waited: false,
            priced: false,
            signal,
            began: () => false,
            used: (each) => each.inputTokens,
          },
          (each, model) => each.provider.embed!(model, { texts, dimensions }, signal),
        );
        onUsage?.("embed", target.name(), reply.inputTokens, costOfTokens(target, reply.inputTokens, 0));
        return reply.vectors;
      },
    };
  };
  /** A wish that cannot be met is told by the call that is made for it. */
  const routeOf = (stage: Stage, caller?: Pick<Caller, "overrides" | "hard">): readonly Target[] => {
    try {
      return targets.route(stage, caller);
    } catch {
      return [];
    }
  };
  /** Settings replaced it: calls under way may end first. */
  const retired = new Set<Provider>();
  function retire(provider: Provider, longestCallMs: number): void {
    if (provider.close === undefined) return;
    retired.add(provider);
    const timer = setTimeout(() => {
      retired.delete(provider);
      provider.close?.().catch((thrown: unknown) => onFault?.(thrown));
    }, longestCallMs);
    timer.unref();
  }

  return {
    async model(request, options) {
      const { target, response, firstTokenMs, tries } = await callRoute(
        callParts(),
        targets.route(request.stage, options.caller),
        request,
        options,
      );
      const { cacheWriteTokens, ...answer } = response;
      const price = target.price(answer.model);
      const costMicroUsd = price === undefined ? null : costOf(price.price, answer.usage, cacheWriteTokens);
      const provider = target.provider.name;
      const bound = boundAnswer(answer.message, targets.settings.payload ?? defaultPayloadLimits);
      if (!bound.ok)
        throw new ModelError("too_large", `${provider}/${answer.model}: ${bound.why}`, tries, {
          billed: { tokens: answer.usage.inputTokens + answer.usage.outputTokens, costMicroUsd },
        });
      return {
        ...answer,
        message: bound.message,
        provider,
        asked: target.name(),
        isRouted: targets.isRouted(target.name()),
        costMicroUsd,
        priceVersion: price?.version ?? null,
        firstTokenMs,
        tries,
      };
    },
    embedder: () => (targets.embed === null ? localEmbedder : embedderOf(targets.embed)),
    embedderOf(name, dimensions) {
      if (name === localEmbedder.name) return localEmbedder;
      const target = targets.embedding(name, dimensions);
      return target === null ? null : embedderOf(target);
    },
    async transcribe(request, { signal, tenantId }) {
      if (targets.transcribe.length === 0)
        throw new OuterloopError("unsupported", "no model transcribes speech: name one in OUTERLOOP_MODEL_TRANSCRIBE");
      const { target, reply } = await alongRoute<TranscribeResponse>(
        callParts(),
        targets.transcribe,
        {
          stage: "transcribe",
          tenantId,
          tokens: () => request.audio.length,
          waited: false,
          priced: false,
          signal,
          began: () => false,
          used: (each) => each.inputTokens + each.outputTokens,
        },
        (each, model) => each.provider.transcribe!(model, request, signal),
      );
      const { inputTokens, outputTokens } = reply;
      const costMicroUsd = inputTokens === 0 ? null : costOfTokens(target, inputTokens, outputTokens);
      onUsage?.("transcribe", target.name(), inputTokens + outputTokens, costMicroUsd);
      return { text: reply.text, model: target.name(), costMicroUsd };
    },
    price(stage, caller) {
      const route = routeOf(stage, caller);
      return (inputTokens, outputTokens) => {
        const prices = route.flatMap((target) => target.price()?.price ?? []);
        // Models without a price are not asked where money is limited; where none has one, nobody may be.
        return prices.length === 0
          ? null
          : Math.max(...prices.map((price) => mostCostOf(price, inputTokens, outputTokens)));
      };
    },
    countModels: (stage, caller) => routeOf(stage, caller).length,
    get reachesOut() {
      return targets.providers.size > 1;
    },
    isRouted: (name) => targets.isRouted(name),
    get offline() {
      return targets.routes.every(({ use, targets: route }) =>
        route.every(({ provider }) => !isRouteStage(use) || provider.name === parts.offline.name),
      );
    },
    describe: () => [
      ...targets.routes
        .filter(({ use }) => use !== "embed")
        .map(({ use, targets: route }) => ({ use, models: route.map(viewOf) })),
      {
        use: "embed" as const,
        models: [
          targets.embed === null
            ? { name: localEmbedder.name, price: { input: 0, output: 0, version: "free" } }
            : viewOf(targets.embed),
        ],
      },
    ],
    held: () => breakers.held(),
    get settings() {
      return targets.settings;
    },
    async test(signal) {
      const uses = usesOf(targets);
      const names = [...uses.keys()];
      const results: TestedModel[] = [];
      const testNext = async (): Promise<void> => {
        for (let name = names.shift(); name !== undefined; name = names.shift())
          results.push(await testOne(targets, name, uses.get(name)!, signal));
      };
      await Promise.all(Array.from({ length: maxTests }, testNext));
      const order = [...uses.keys()];
      return results.toSorted((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
    },
    use(next) {
      const before = targets;
      targets = createTargets(next, parts, before);
      for (const [name, provider] of before.providers)
        if (targets.providers.get(name) !== provider) retire(provider, before.settings.providers[name]?.totalMs ?? 0);
    },
    sync: () => breakers.sync(),
    async close() {
      breakers.stop();
      await Promise.allSettled([...targets.providers.values(), ...retired].map(async (provider) => provider.close?.()));
    },
  };
}

function costOfTokens(target: Target, inputTokens: number, outputTokens: number): number | null {
  const price = target.price();
  const usage = { inputTokens, cachedInputTokens: 0, outputTokens, reasoningTokens: 0 };
  return price === undefined ? null : costOf(price.price, usage);
}

function viewOf(target: Target): RouteView["models"][number] {
  const found = target.price();
  return {
    name: target.name(),
    price:
      found === undefined ? null : { input: found.price.input, output: found.price.output, version: found.version },
  };
}

/** @returns what came of it, for people */
async function probe(
  { provider, use, model: modelOf, dimensions = 0, params }: Target,
  signal: AbortSignal,
): Promise<string> {
  const model = await modelOf(signal);
  switch (use) {
    case "embed":
      await provider.embed!(model, { texts: ["ok"], dimensions }, signal);
      return `${dimensions} dimensions`;
    case "transcribe":
      await provider.transcribe!(model, { audio: silence(), mediaType: "audio/wav" }, signal);
      return "a second of silence was taken";
    case "talk": {
      const { message } = await provider.generate(model, probeRequest, { signal, params });
      return storable(message.text).trim().slice(0, maxShownChars).toWellFormed();
    }
  }
}

function usesOf(targets: Targets): Map<string, RoutedUse[]> {
  const uses = new Map<string, RoutedUse[]>();
  for (const { use, targets: route } of targets.routes)
    for (const target of route) uses.set(target.name(), [...(uses.get(target.name()) ?? []), use]);
  return uses;
}

/** A second of silence: enough for a provider that transcribes to answer. */
function silence(): Uint8Array {
  const samples = 8000;
  const wav = Buffer.alloc(44 + samples);
  wav.write("RIFF", 0);
  wav.writeUInt32LE(36 + samples, 4);
  wav.write("WAVEfmt ", 8);
  wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(1, 20);
  wav.writeUInt16LE(1, 22);
  wav.writeUInt32LE(samples, 24);
  wav.writeUInt32LE(samples, 28);
  wav.writeUInt16LE(1, 32);
  wav.writeUInt16LE(8, 34);
  wav.write("data", 36);
  wav.writeUInt32LE(samples, 40);
  wav.fill(128, 44);
  return wav;
}

async function testOne(
  targets: Targets,
  name: string,
  uses: readonly RoutedUse[],
  signal: AbortSignal,
): Promise<TestedModel> {
  const begunAt = performance.now();
  const ended = (ok: boolean, detail: string): TestedModel => ({
    name,
    uses,
    ok,
    ms: Math.round(performance.now() - begunAt),
    detail,
  });
  const target = targets.find(name);
  if (target === undefined) return ended(false, "it is in no route any more");
  try {
    return ended(true, await probe(target, signal));
  } catch (thrown) {
    return ended(false, storable(messageOf(thrown)).slice(0, maxDetailChars).toWellFormed());
  }
}
