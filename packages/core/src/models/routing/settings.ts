/** What may be said about models, as plain data: a file's `models` and the environment's variables fill it, routing reads it. */
import { z } from "zod";
import type { ModelParams, RouteStage } from "../../domain/model.ts";
import { routeStages } from "../../domain/model.ts";
import type { PayloadLimits } from "../../domain/payload.ts";
import type { Price } from "../provider.ts";
import { defaultTimeouts } from "../adapters/shared/live-call.ts";

/** What a route may serve: the stages that ask models, and the two that do not talk. */
export const routedUses = [...routeStages, "embed", "transcribe"] as const;
export type RoutedUse = (typeof routedUses)[number];

/** One model of a route. */
export interface RouteEntry {
  readonly provider: string;
  /** Absent: the provider's default for the stage. */
  readonly model?: string;
  readonly params: ModelParams;
  /** Of its vectors, for `embed`. */
  readonly dimensions?: number;
}

export interface ProviderSettings {
  /** One of `providerKinds`. */
  readonly kind: string;
  readonly baseUrl?: string | undefined;
  readonly apiKey?: string | undefined;
  readonly options: Readonly<Record<string, unknown>>;
  readonly totalMs: number;
  readonly firstTokenMs: number;
  readonly betweenTokensMs: number;
}

/** Of all replicas together, in any 60 seconds. */
export interface RateLimit {
  readonly requestsPerMinute?: number | undefined;
  readonly tokensPerMinute?: number | undefined;
}

export interface TargetLimit extends RateLimit {
  /** `provider` or `provider/model`. */
  readonly target: string;
  /** Of one tenant. */
  readonly tenant: RateLimit;
  /** Calls under way at once in one process. */
  readonly concurrency?: number | undefined;
}

export interface RetrySettings {
  /** Requests made of one model for one step, the first included. */
  readonly tries: number;
  /** Upper bound of the first wait; it doubles with every try. */
  readonly firstWaitMs: number;
  readonly capMs: number;
  /** The longest wait that holds a slot; a longer one is the task's to schedule. */
  readonly longestHeldMs: number;
  /** Retries that a model gets, as a share of the calls made of it, so that retries never multiply an outage. */
  readonly budget: number;
}

export interface BreakerSettings {
  /** Of the last calls of one model in one process, how many are looked at. */
  readonly calls: number;
  /** Fewer than this many never open it. */
  readonly minCalls: number;
  /** It opens where more than this share of them failed. */
  readonly failureShare: number;
  /** From its opening to the first probe; doubled with every probe that fails. */
  readonly openMs: number;
  readonly maxOpenMs: number;
  /** Of one probe. */
  readonly probeMs: number;
}

/** What goals and tasks may say about their models. */
export const overrideRules = ["any", "routed", "none"] as const;

export interface ModelSettings {
  readonly providers: Readonly<Record<string, ProviderSettings>>;
  /** What was asked for; where a use is missing, the providers' defaults serve it. */
  readonly routes: Readonly<Partial<Record<RoutedUse, readonly RouteEntry[]>>>;
  readonly limits: readonly TargetLimit[];
  readonly prices: Readonly<Record<string, Price>>;
  readonly retry: RetrySettings;
  readonly breaker: BreakerSettings;
  /** Over which limits are counted: a minute, but for tests. */
  readonly windowMs: number;
  readonly overrides: (typeof overrideRules)[number] | "ignored";
  readonly payload?: Pick<PayloadLimits, "answerBytes" | "toolArgsBytes"> | undefined;
}

export const defaultRetry: RetrySettings = {
  tries: 3,
  firstWaitMs: 500,
  capMs: 8000,
  longestHeldMs: 15_000,
  budget: 0.3,
};
export const defaultBreaker: BreakerSettings = {
  calls: 20,
  minCalls: 5,
  failureShare: 0.5,
  openMs: 30_000,
  maxOpenMs: 300_000,
  probeMs: 10_000,
};

/** Of one route. */
export const maxRouteEntries = 8;
const maxProviders = 50;
const maxLimits = 500;

const ms = (most: number) => z.int().min(10).max(most);
const target = z.string().regex(/^[\w.-]{1,64}(\/.{1,200})?$/, "write PROVIDER or PROVIDER/MODEL");
const dollars = z.number().min(0).max(1_000_000);

/** A key stands in the environment or in a file, never in settings. */
const keySchema = z
  .union([z.strictObject({ env: z.string().min(1).max(200) }), z.strictObject({ file: z.string().min(1).max(4096) })], {
    error: "a key is not written here: say { env: VARIABLE } or { file: PATH }",
  })
  .optional();

const timeoutsSchema = z.strictObject({
  total_ms: ms(24 * 3_600_000).optional(),
  first_token_ms: ms(3_600_000).optional(),
  between_tokens_ms: ms(3_600_000).optional(),
});

/** What else stands there is of its kind, and read by the kind. */
const providerSchema = z.looseObject({
  kind: z.string().optional(),
  base_url: z.url({ protocol: /^https?$/ }).optional(),
  key: keySchema,
  timeouts: timeoutsSchema.optional(),
});

const entrySchema = z.union(
  [
    z.string().min(1).max(300),
    z.strictObject({
      model: z.string().min(1).max(300),
      effort: z.enum(["none", "low", "medium", "high"]).optional(),
      temperature: z.number().min(0).max(2).optional(),
      max_output_tokens: z.int().min(16).max(1_000_000).optional(),
      service_tier: z.string().min(1).max(50).optional(),
      dimensions: z.int().min(1).max(16_000).optional(),
    }),
  ],
  { error: "write provider/model, or { model: provider/model, effort: … }" },
);
const routeSchema = z.union([entrySchema, z.array(entrySchema).min(1).max(maxRouteEntries)]);

const rateSchema = {
  requests_per_minute: z.int().min(1).max(10_000_000).optional(),
  tokens_per_minute: z.int().min(1000).max(10_000_000_000).optional(),
};

/** The `models` of a configuration file. */
export const modelsFileSchema = z.strictObject({
  providers: z
    .record(z.string().regex(/^[\w.-]{1,64}$/, "a provider's name is letters, digits, `.`, `_`, `-`"), providerSchema)
    .refine((all) => Object.keys(all).length <= maxProviders, `at most ${maxProviders}`)
    .optional(),
  routes: z.partialRecord(z.enum(routedUses), routeSchema).optional(),
  limits: z
    .record(
      target,
      z.strictObject({
        ...rateSchema,
        tenant: z.strictObject(rateSchema).optional(),
        concurrency: z.int().min(1).max(100_000).optional(),
      }),
    )
    .refine((all) => Object.keys(all).length <= maxLimits, `at most ${maxLimits}`)
    .optional(),
  /** US dollars per million tokens. */
  prices: z
    .record(
      z.string().min(3).max(300),
      z.strictObject({
        input: dollars,
        output: dollars,
        cached_input: dollars.optional(),
        cache_write_factor: z.number().min(1).max(10).optional(),
      }),
    )
    .optional(),
  retry: z
    .strictObject({
      tries: z.int().min(1).max(10),
      first_wait_ms: ms(60_000),
      cap_ms: ms(300_000),
      longest_held_ms: ms(300_000),
      budget: z.number().min(0).max(10),
    })
    .partial()
    .optional(),
  breaker: z
    .strictObject({
      calls: z.int().min(1).max(10_000),
      min_calls: z.int().min(1).max(10_000),
      failure_share: z.number().gt(0).lt(1),
      open_ms: ms(3_600_000),
      max_open_ms: ms(24 * 3_600_000),
      probe_ms: ms(600_000),
    })
    .partial()
    .refine(({ calls, min_calls }) => (min_calls ?? 0) <= (calls ?? defaultBreaker.calls), {
      error: "more calls are asked for than are looked at",
      path: ["min_calls"],
    })
    .optional(),
  /** Whether goals may name models: any of a provider that is set up, those of routes, or none. */
  overrides: z.enum(overrideRules).optional(),
});
export type ModelsFile = z.output<typeof modelsFileSchema>;

export const defaultProviderTimeouts = {
  totalMs: defaultTimeouts.totalMs,
  firstTokenMs: defaultTimeouts.firstTokenMs,
  betweenTokensMs: defaultTimeouts.betweenTokensMs,
};

/** `provider/model` parted at the first slash: models of gateways have slashes of their own. */
export function partTarget(text: string): { readonly provider: string; readonly model?: string } {
  const slash = text.indexOf("/");
  return slash < 0 ? { provider: text } : { provider: text.slice(0, slash), model: text.slice(slash + 1) };
}

export function isRouteStage(use: RoutedUse): use is RouteStage {
  return use !== "embed" && use !== "transcribe";
}
