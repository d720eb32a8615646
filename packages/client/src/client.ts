/** The typed client of Outerloop's HTTP API. It parses every answer by the schemas that the server writes from. */
import type { z } from "zod";
import { healthSchema, shownStepSchema, type ShownStepResource } from "@outerloop/core/domain";
import { createApprovals, type Approvals } from "./approvals.ts";
import { createGoals, type CallOptions, type Goals } from "./goals.ts";
import { createHttp, type HttpSettings } from "./http.ts";

export interface ClientSettings extends HttpSettings {
  /** A silent event stream is opened anew after this long: 60 s, longer than the server's heartbeat. */
  readonly idleTimeoutMs?: number;
}

export type Health = z.output<typeof healthSchema>;

export interface Client {
  readonly baseUrl: string;
  readonly goals: Goals;
  readonly approvals: Approvals;
  readonly steps: {
    /** @param id `subject.attempt.seq`, with the exact request rebuilt from the journal */
    get(id: string, options?: CallOptions): Promise<ShownStepResource>;
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
    health: (options = {}) => http.json(healthSchema, { path: "/healthz", ...options }),
  };
}
