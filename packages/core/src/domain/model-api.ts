/** The HTTP API's resources about models: what goals say about them, routes and their state, what calls cost (DESIGN §8). */
import { z } from "zod";
import { routeStages } from "./model.ts";
import { storableText } from "./storable-text.ts";

const instant = z.iso.datetime();

/** Of one stage of a goal or a task. */
export const maxWishes = 8;

const modelName = storableText
  .max(300)
  .regex(/^[\w.-]{1,64}\/[^\s\p{Cc}]\P{Cc}*$/u, "must be provider/model, for instance openai/gpt-6.1-sol");

/** Models by stage, in order of preference. One alone may stand without a list. */
export const modelWishesSchema = z.partialRecord(
  z.enum(routeStages),
  z
    .union([modelName, z.array(modelName).min(1).max(maxWishes)])
    .transform((names) => (Array.isArray(names) ? names : [names])),
);
export type ModelWishesRequest = z.input<typeof modelWishesSchema>;

/** `PUT /v1/goals/:id/models`: all that is said for the goal, or for one of its tasks. `{}` goes back to the routes. */
export const rerouteSchema = z.strictObject({
  models: modelWishesSchema,
  /** An id or a key such as t3. */
  task: storableText.min(1).max(64).optional(),
});
export type RerouteRequest = z.input<typeof rerouteSchema>;

const rateSchema = z.object({
  requests_per_minute: z.number().nullable(),
  tokens_per_minute: z.number().nullable(),
});

/** `GET /v1/models`. */
export const modelsResourceSchema = z.object({
  /** One for each way in which processes that live route; more than one where their settings differ. */
  views: z.array(
    z.object({
      services: z.array(z.string()),
      processes: z.int(),
      routes: z.array(
        z.object({
          use: z.string(),
          models: z.array(
            z.object({
              name: z.string(),
              /** Dollars a million tokens; null where no price is known. */
              price: z.object({ input: z.number(), output: z.number(), version: z.string() }).nullable(),
            }),
          ),
        }),
      ),
      limits: z.array(
        rateSchema.extend({ target: z.string(), tenant: rateSchema, concurrency: z.number().nullable() }),
      ),
      overrides: z.string(),
    }),
  ),
  /** Models that are not called for now, and until when. */
  held: z.array(
    z.object({
      model: z.string(),
      state: z.enum(["open", "half_open", "cooling"]),
      reason: z.string(),
      since: instant,
      left_ms: z.int(),
      failed_probes: z.int(),
    }),
  ),
  /** Of limits, in the last minute. */
  used: z.array(z.object({ target: z.string(), requests: z.int(), tokens: z.int(), tenants_waiting: z.int() })),
});
export type ModelsResource = z.output<typeof modelsResourceSchema>;

/** `POST /v1/models/release`. */
export const releaseModelSchema = z.strictObject({ model: storableText.min(1).max(300) });

/** `POST /v1/models/tests`, `GET /v1/models/tests/:id`. */
export const modelTestSchema = z.object({
  id: z.string(),
  asked_at: instant,
  /** null until it is done. */
  results: z
    .array(
      z.object({
        name: z.string(),
        uses: z.array(z.string()),
        ok: z.boolean(),
        ms: z.int(),
        detail: z.string(),
      }),
    )
    .nullable(),
});
export type ModelTestResource = z.output<typeof modelTestSchema>;

const usageDay = z.iso.date().refine((day) => !day.startsWith("0000"), "there was no such year");

const amounts = {
  calls: z.int(),
  input_tokens: z.int(),
  cached_input_tokens: z.int(),
  output_tokens: z.int(),
  reasoning_tokens: z.int(),
  /** Of calls whose price is known. */
  usd: z.number(),
  unpriced_calls: z.int(),
  /** Medians; of first tokens for one goal alone. */
  ms: z.int(),
  first_token_ms: z.int().nullable(),
};

/** `GET /v1/goals/:id/usage`: model calls of a goal, by task. */
export const goalUsageSchema = z.object({
  total: z.object(amounts),
  /** `task` is null for its planner's. */
  rows: z.array(z.object({ task: z.string().nullable(), stage: z.string(), model: z.string(), ...amounts })),
});
export type GoalUsageResource = z.output<typeof goalUsageSchema>;

/** `GET /v1/usage`: model calls of the tenant's goals that were created in these days (UTC). */
export const tenantUsageSchema = z.object({
  from: z.iso.date(),
  to: z.iso.date(),
  total: z.object(amounts),
  rows: z.array(z.object({ model: z.string(), stage: z.string(), ...amounts })),
});
export type TenantUsageResource = z.output<typeof tenantUsageSchema>;
export type UsageAmounts = GoalUsageResource["total"];

/** Of one question about usage: days of years that Postgres knows too. */
export const usageQuerySchema = z.strictObject({ from: usageDay.optional(), to: usageDay.optional() });
/** Days of one question. */
export const maxUsageDays = 92;
