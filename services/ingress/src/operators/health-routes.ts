/** `/healthz` (this process lives) and `/readyz` (what it stands on answers): for probes, so without a key. */
import { createReadiness, isReady } from "@outerloop/core";
import type { Hono } from "hono";
import { json, refuseOtherMethods } from "../http/route.ts";
import type { IngressOptions, IngressParts, RequestState } from "../parts.ts";
import { version } from "../version.ts";

export function mountHealth(
  app: Hono<RequestState>,
  { db, queue, progress }: IngressParts,
  options: IngressOptions,
  isStopping: () => boolean,
): void {
  // Goals are accepted without the queue: they are sent when it is back.
  const readiness = createReadiness({ db, queue, needsQueue: false, isStopping });
  app.get("/healthz", async (c) => {
    c.set("route", "/healthz");
    const standing = await progress.standing();
    const of = { instance: options.instance, version };
    return standing.length === 0 ? json({ status: "ok", ...of }) : json({ status: "stalled", standing, ...of }, 503);
  });
  app.get("/readyz", async (c) => {
    c.set("route", "/readyz");
    const found = await readiness();
    return json(found, isReady(found) ? 200 : 503);
  });
  for (const path of ["/healthz", "/readyz"]) refuseOtherMethods(app, path, ["GET"]);
}
