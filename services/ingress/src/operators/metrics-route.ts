/**
 * `/metrics`: this process's own counters, and the backlog of the whole installation, read from Postgres and the queue at
 * each scrape. Every ingress tells the same backlog, so don't add them up.
 */
import { countProcesses, loadOfStages, measureBacklog, oldestReadyMs, queueNames, within } from "@outerloop/core";
import type { Hono } from "hono";
import type { Access } from "../access/access.ts";
import { refuseOtherMethods } from "../http/route.ts";
import type { IngressOptions, IngressParts, RequestState } from "../parts.ts";

const scrapeMs = 3000;
/** Of live tasks, those whose stage is not the executor. */
const liveStatuses = {
  pending: "execute",
  ready: "execute",
  running: "execute",
  waiting: "execute",
  reflecting: "reflect",
} as const;
const services = ["ingress", "planner", "executor", "reflector"] as const;
const jobStates = ["waiting", "prioritized", "active", "delayed", "completed", "failed"] as const;

export function mountMetrics(
  app: Hono<RequestState>,
  parts: IngressParts,
  access: Access,
  options: IngressOptions,
): void {
  app.get("/metrics", async (c) => {
    c.set("route", "/metrics");
    if (options.metricsOpen !== true) await access.requireOperator(c.req.raw, "viewer");
    return new Response(await tellMetrics(parts), {
      headers: { "content-type": parts.metrics.registry.contentType, "cache-control": "no-store" },
    });
  });
  refuseOtherMethods(app, "/metrics", ["GET"]);
}

/** In Prometheus' text format. */
export async function tellMetrics(parts: Pick<IngressParts, "db" | "queue" | "metrics">): Promise<string> {
  const [postgres, jobs] = await Promise.all([attempt(refreshGauges(parts)), attempt(jobLines(parts))]);
  const up = [
    "# HELP outerloop_up Whether ingress could ask this part at this scrape",
    "# TYPE outerloop_up gauge",
    `outerloop_up{part="postgres"} ${postgres === undefined ? 0 : 1}`,
    `outerloop_up{part="queue"} ${jobs === undefined ? 0 : 1}`,
  ];
  return `${await parts.metrics.registry.metrics()}\n${[...(jobs ?? []), ...up].join("\n")}\n`;
}

/** What can't be had now keeps its last value, or is left out; `outerloop_up` says so. */
function attempt<Result>(work: Promise<Result>): Promise<Result | undefined> {
  return within(scrapeMs, work).catch(() => undefined);
}

async function refreshGauges({ db, metrics }: Pick<IngressParts, "db" | "metrics">): Promise<true> {
  const [backlog, oldest, load, processes] = await Promise.all([
    measureBacklog(db),
    oldestReadyMs(db),
    loadOfStages(db),
    countProcesses(db),
  ]);
  const counts = new Map(backlog.live.map((each) => [each.status, each.count]));
  for (const [status, stage] of Object.entries(liveStatuses))
    metrics.tasks.set({ stage, status }, counts.get(status) ?? 0);
  for (const stage of queueNames) metrics.oldestReady.set({ stage }, oldest[stage] / 1000);
  for (const stage of queueNames) metrics.load.set({ stage }, load[stage]);
  for (const service of services)
    metrics.workers.set({ service }, (processes.get(service) ?? 0) + (processes.get("embedded") ?? 0));
  metrics.plansWanted.set(backlog.plansWanted);
  return true;
}

async function jobLines({ queue }: Pick<IngressParts, "queue">): Promise<string[]> {
  const perQueue = await Promise.all(
    queueNames.map(async (name) => ({ name, counts: await queue.queues[name].getJobCounts(...jobStates) })),
  );
  return [
    "# HELP outerloop_queue_jobs Jobs on each BullMQ queue by state, as Bull Board shows them",
    "# TYPE outerloop_queue_jobs gauge",
    ...perQueue.flatMap(({ name, counts }) =>
      jobStates.map((state) => `outerloop_queue_jobs{queue="${name}",state="${state}"} ${counts[state] ?? 0}`),
    ),
  ];
}
