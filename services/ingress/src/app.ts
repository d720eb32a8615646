/**
 * The HTTP side of Outerloop as one Hono app: the API, event streams, and what operators look at. It validates and
 * authenticates, writes through the store, and answers; it calls no model and runs no task.
 */
import { eventsAfter, messageOf } from "@outerloop/core";
import { Hono } from "hono";
import { secureHeaders } from "hono/secure-headers";
import { createAccess } from "./access/access.ts";
import { approvalRoutes } from "./approvals/approval-routes.ts";
import { budgetRoutes } from "./budget/budget-routes.ts";
import { createEventPages } from "./events/event-pages.ts";
import { eventRoutes } from "./events/event-routes.ts";
import { createWatchers } from "./events/watchers.ts";
import { artifactRoutes } from "./goals/artifact-routes.ts";
import { goalRoutes } from "./goals/goal-routes.ts";
import { recordingRoutes } from "./goals/recording-routes.ts";
import { steerRoutes } from "./goals/steer-routes.ts";
import { stepRoutes } from "./goals/step-routes.ts";
import { describeApi } from "./http/openapi.ts";
import { problemOf, Refusal } from "./http/problem.ts";
import { logRequests } from "./http/request-log.ts";
import { json, mountRoutes, refuseOtherMethods } from "./http/route.ts";
import { modelRoutes } from "./models/model-routes.ts";
import { mountHealth } from "./operators/health-routes.ts";
import { mountMetrics } from "./operators/metrics-route.ts";
import { mountQueueBoard } from "./operators/queue-board.ts";
import { mountHome } from "./pages/home.ts";
import { mountLogin } from "./pages/login.ts";
import {
  defaultEventCacheBytes,
  defaultMaxWatchers,
  type IngressOptions,
  type IngressParts,
  type RequestState,
} from "./parts.ts";
import { mountWebhooks, webhookRoute } from "./webhooks/webhook-route.ts";

export interface IngressApp {
  readonly fetch: Hono<RequestState>["fetch"];
  readonly request: Hono<RequestState>["request"];
  /** Ends event streams and says so at `/readyz`; requests are still answered. */
  stop(): void;
}

/** Below what proxies cut idle connections at. */
const heartbeatMs = 15_000;
const retryMs = 2000;
/** What a message of the bus that got lost may cost a watcher. */
const pollMs = 2000;
/** And one who comes just then. */
const freshMs = 1000;

export function createApp(parts: IngressParts, options: IngressOptions): IngressApp {
  const { db, bus, log } = parts;
  const access = createAccess(db, options.sessionSecret, Date.now);
  const watchers = createWatchers(db, bus, log, { max: options.maxWatchers ?? defaultMaxWatchers, pollMs });
  const pages = createEventPages(bus, (goalId, after, limit) => eventsAfter(db, goalId, after, limit), {
    maxBytes: options.eventCacheBytes ?? defaultEventCacheBytes,
    freshMs,
    clock: Date.now,
  });
  let stopping = false;

  const app = new Hono<RequestState>();
  app.use(logRequests(log));
  // With no-referrer, browsers would send `Origin: null` with our own forms.
  app.use(secureHeaders({ xFrameOptions: "DENY", referrerPolicy: "same-origin", strictTransportSecurity: false }));
  app.notFound((c) =>
    problemOf(
      new Refusal("not_found", "There is nothing at this address; /openapi.json lists what there is."),
      c.get("requestId"),
      parts.redactor,
    ),
  );
  app.onError((thrown, c) => {
    const requestId = c.get("requestId");
    const response = problemOf(thrown, requestId, parts.redactor);
    const failure = {
      event: "request_failed",
      requestId,
      route: c.get("route"),
      error: messageOf(thrown),
      ...(thrown.cause === undefined ? {} : { cause: messageOf(thrown.cause) }),
    };
    // An outage is nobody's bug, and one of them fails many requests.
    if (response.status === 503) log.warn(failure);
    else if (response.status >= 500) log.error({ ...failure, stack: thrown.stack });
    return response;
  });

  const routes = [
    ...goalRoutes(parts, options),
    ...steerRoutes(parts),
    ...approvalRoutes(parts, options),
    ...stepRoutes(parts),
    ...recordingRoutes(parts, options),
    ...artifactRoutes(parts),
    ...budgetRoutes(parts),
    ...modelRoutes(parts),
    ...eventRoutes(parts, access, watchers, pages, { heartbeatMs, retryMs }),
  ];
  mountRoutes(app, access, routes);
  const webhooks = webhookRoute(parts, options, Date.now);
  mountWebhooks(app, webhooks);
  const description = describeApi([...routes, webhooks]);
  app.get("/openapi.json", (c) => {
    c.set("route", "/openapi.json");
    return json(description);
  });
  refuseOtherMethods(app, "/openapi.json", ["GET"]);
  mountHealth(app, parts, options, () => stopping);
  mountMetrics(app, parts, access, options);
  mountQueueBoard(app, parts.queue, access);
  mountLogin(app, access);
  mountHome(app, parts);

  return {
    fetch: app.fetch,
    request: app.request,
    stop() {
      stopping = true;
      watchers.stop();
      pages.stop();
    },
  };
}
