/** `/healthz` (this process lives) and `/readyz` (what it stands on answers): for probes, so without a key. */
import type { Hono } from "hono";
import { json, refuseOtherMethods } from "../http/route.ts";
import type { IngressOptions, IngressParts, RequestState } from "../parts.ts";
import { version } from "../version.ts";
import { createReadiness } from "./readiness.ts";

export function mountHealth(
  app: Hono<RequestState>,
  parts: IngressParts,
  options: IngressOptions,
  isStopping: () => boolean,
): void {
  const readiness = createReadiness(parts);
  app.get("/healthz", (c) => {
    c.set("route", "/healthz");
    return json({ status: "ok", instance: options.instance, version });
  });
  app.get("/readyz", async (c) => {
    c.set("route", "/readyz");
    const { ready, parts: states } = await readiness();
    const status = isStopping() ? "stopping" : ready ? "ready" : "not_ready";
    return json({ status, parts: states }, status === "ready" ? 200 : 503);
  });
  for (const path of ["/healthz", "/readyz"]) refuseOtherMethods(app, path, ["GET"]);
}
