/** `/`: what this is and where everything else is. */
import type { Hono } from "hono";
import { refuseOtherMethods } from "../http/route.ts";
import type { IngressParts, RequestState } from "../parts.ts";
import { version } from "../version.ts";
import { page } from "./page.ts";

export function mountHome(app: Hono<RequestState>, { queue, database }: IngressParts): void {
  app.get("/", (c) => {
    c.set("route", "/");
    return page(
      "Outerloop",
      `<h1>Outerloop ${version}</h1>
<p>A runtime for autonomous agents. Post a goal to <code>/v1/goals</code> and watch it at <code>/v1/goals/ID/events</code>.</p>
<ul>
<li><a href="/queues">Queues</a> (Bull Board; needs a key)</li>
<li><a href="/metrics">Metrics</a> (needs a key)</li>
<li><a href="/openapi.json">The API</a> as OpenAPI 3.1</li>
<li><a href="/readyz">Is everything up?</a></li>
<li><a href="/login">Sign in</a></li>
</ul>
<p>Database: ${database.kind === "embedded" ? "embedded" : "PostgreSQL"} · queue: ${queue.kind === "redis" ? "Redis" : "in Postgres"}</p>`,
    );
  });
  refuseOtherMethods(app, "/", ["GET"]);
}
