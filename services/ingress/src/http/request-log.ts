/** One line a request, and its id on every answer. Patterns and ids only: no query, no header, no body. */
import { randomUUID } from "node:crypto";
import type { Logger } from "@outerloop/core";
import type { MiddlewareHandler } from "hono";
import type { RequestState } from "../parts.ts";

/** Asked every few seconds by machines. */
const quietRoutes = new Set(["/healthz", "/readyz", "/metrics"]);

export function logRequests(log: Logger): MiddlewareHandler<RequestState> {
  return async (c, next) => {
    const startedAt = performance.now();
    const given = c.req.header("x-request-id");
    const requestId = given !== undefined && /^[\w-]{1,64}$/.test(given) ? given : randomUUID();
    c.set("requestId", requestId);
    c.set("route", "none");
    await next();
    c.header("x-request-id", requestId);
    const line = {
      event: "request",
      method: c.req.method,
      route: c.get("route"),
      status: c.res.status,
      durationMs: Math.round(performance.now() - startedAt),
      requestId,
    };
    if (quietRoutes.has(line.route)) log.debug(line);
    else log.info(line);
  };
}
