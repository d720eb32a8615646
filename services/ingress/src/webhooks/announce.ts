/** What an operator reads of webhooks at the start: their names, or what is wrong with one. */
import { OuterloopError, type WebhookSource } from "@outerloop/core";
import type { IngressParts } from "../parts.ts";

/** @throws OuterloopError `config` where the tenant of a source does not exist: every event of it would fail */
export async function announceWebhooks(
  { db, log }: Pick<IngressParts, "db" | "log">,
  sources: readonly WebhookSource[],
): Promise<void> {
  if (sources.length === 0) return;
  const wanted = [...new Set(sources.map((source) => source.tenantId))];
  const rows = await db.selectFrom("tenants").select("id").where("id", "in", wanted).execute();
  const known = new Set<string>(rows.map((row) => row.id));
  const lost = sources.filter((source) => !known.has(source.tenantId));
  if (lost.length > 0)
    throw new OuterloopError(
      "config",
      `OUTERLOOP_WEBHOOKS: ${lost.map(({ name, tenantId }) => `${name}.tenant: there is no tenant "${tenantId}"`).join("; ")}.`,
    );
  log.info({ event: "webhooks_configured", sources: sources.map((source) => source.name) });
}
