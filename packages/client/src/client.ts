/** The typed client of Outerloop's HTTP API. It parses every answer by the schemas that the server writes from. */
import type { z } from "zod";
import {
  healthSchema,
  shownStepSchema,
  tenantBudgetSchema,
  tenantUsageSchema,
  type ShownStepResource,
  type TenantBudgetResource,
  type TenantLimitsRequest,
  type TenantUsageResource,
} from "@outerloop/core/domain";
import { createApprovals, type Approvals } from "./approvals.ts";
import { createGoals, type CallOptions, type Goals } from "./goals.ts";
import { createHttp, type HttpSettings } from "./http.ts";
import { createModelCalls, type ModelCalls } from "./models.ts";

export interface ClientSettings extends HttpSettings {
  /** A silent event stream is opened anew after this long: 60 s, longer than the server's heartbeat. */
  readonly idleTimeoutMs?: number;
}

/** Times that a safe request is sent: with the waits between about 4 s. */
const tries = 5;

export type Health = z.output<typeof healthSchema>;

export interface Client {
  readonly baseUrl: string;
  readonly goals: Goals;
  readonly approvals: Approvals;
  readonly steps: {
    /** @param id `subject.attempt.seq`, with the exact request rebuilt from the journal */
    get(id: string, options?: CallOptions): Promise<ShownStepResource>;
  };
  readonly models: ModelCalls;
  /** What model calls of the tenant's goals took and cost; the month up to today unless days are named. */
  usage(days?: { readonly from?: string; readonly to?: string }, options?: CallOptions): Promise<TenantUsageResource>;
  /** What all goals of the tenant may spend together. */
  readonly budget: {
    get(options?: CallOptions): Promise<TenantBudgetResource>;
    /** Replaces all limits; a period that is left out has none. Needs an admin's key. */
    set(limits: TenantLimitsRequest, options?: CallOptions): Promise<TenantBudgetResource>;
  };
  /** Whose server answers there. Needs no key. */
  health(options?: CallOptions & { readonly timeoutMs?: number }): Promise<Health>;
}

/** @throws on every call `ApiError` where the server says no, `ConnectionError` where it cannot be asked */
export function createClient(settings: ClientSettings): Client {
  const http = createHttp(settings);
  return {
    baseUrl: http.baseUrl,
    goals: createGoals(http, settings.idleTimeoutMs),
    approvals: createApprovals(http),
    steps: {
      get: (id, options = {}) =>
        http.json(shownStepSchema, { path: `/v1/steps/${encodeURIComponent(id)}`, ...options }),
    },
    models: createModelCalls(http),
    usage: (days = {}, options = {}) =>
      http.json(tenantUsageSchema, { path: "/v1/usage", query: { ...days }, tries, ...options }),
    budget: {
      get: (options = {}) => http.json(tenantBudgetSchema, { path: "/v1/budget", tries, ...options }),
      // Setting twice is setting once.
      set: (limits, options = {}) =>
        http.json(tenantBudgetSchema, { method: "PUT", path: "/v1/budget", body: limits, tries, ...options }),
    },
    health: (options = {}) => http.json(healthSchema, { path: "/healthz", ...options }),
  };
}
