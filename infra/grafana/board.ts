/**
 * What the Grafana board shows, as code. `node infra/grafana/board.ts` writes outerloop.json beside it, which is what Grafana imports;
 * a test holds both equal. Panels that read `stage:…` need the recording rules of ../prometheus/rules.yaml.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { datasource, toPanels, type Row, type Target } from "./panels.ts";

/** Of the pages in docs/runbooks; the rules' `runbook_url` begin with it too. */
const runbooks = "https://github.com/outerloop/outerloop/blob/main/docs/runbooks";

/** Of Grafana 13; older ones migrate it on import. */
const schemaVersion = 42;

/** Every selector is of the installation that is chosen above; `.*` also matches where there is no such label. */
const here = 'namespace=~"$namespace"';
const quantiles = [
  ["0.5", "p50"],
  ["0.95", "p95"],
] as const;

function quantilesOf(histogram: string, label: string): readonly Target[] {
  return quantiles.map(([q, name]) => ({
    expr: `histogram_quantile(${q}, sum by (${label}, le) (rate(${histogram}_bucket{${here}}[$__rate_interval])))`,
    legend: `{{${label}}} ${name}`,
  }));
}

const rows: readonly Row[] = [
  {
    title: "Overview",
    panelWidth: 6,
    panelHeight: 8,
    panels: [
      {
        title: "Work at hand by stage",
        runbook: "OuterloopQueueGrows",
        description: "Goals or tasks that are ready or running: what scaling follows.",
        unit: "short",
        targets: [{ expr: `sum by (stage) (stage:outerloop_load:max{${here}})`, legend: "{{stage}}" }],
      },
      {
        title: "Workers",
        runbook: "OuterloopNoWorkers",
        description: "Processes with a live lease.",
        unit: "short",
        targets: [{ expr: `sum by (service) (service:outerloop_workers:max{${here}})`, legend: "{{service}}" }],
      },
      {
        title: "Oldest ready",
        runbook: "OuterloopOldestTaskWaits",
        description: "How long the oldest work that is due has been in nobody's hands.",
        unit: "s",
        threshold: 900,
        targets: [
          { expr: `max by (stage) (stage:outerloop_oldest_ready_task_seconds:max{${here}})`, legend: "{{stage}}" },
        ],
      },
      {
        title: "Live tasks by status",
        description: "Pending ones wait for other tasks, waiting ones for a timer, a signal or an approval.",
        unit: "short",
        stacked: true,
        targets: [
          { expr: `sum by (status) (max by (namespace, status) (outerloop_tasks{${here}}))`, legend: "{{status}}" },
          { expr: `sum(max by (namespace) (outerloop_plans_wanted{${here}}))`, legend: "goals that wait for a plan" },
        ],
      },
      {
        title: "Jobs on the queues",
        description: "As Bull Board shows them. Work waits in Postgres, so few are here.",
        unit: "short",
        targets: [
          {
            expr: `sum by (queue, state) (max by (namespace, queue, state) (outerloop_queue_jobs{${here}, state=~"waiting|prioritized|active|delayed"}))`,
            legend: "{{queue}} {{state}}",
          },
        ],
      },
      {
        title: "Parts",
        description: "Whether some ingress reaches each part.",
        unit: "short",
        kind: "stat",
        targets: [{ expr: `max by (part) (outerloop_up{${here}})`, legend: "{{part}}" }],
      },
      {
        title: "Processes scraped",
        runbook: "OuterloopProcessesNotScraped",
        description: "Fewer than there are workers: some are not seen.",
        unit: "short",
        kind: "stat",
        targets: [{ expr: `sum(namespace:outerloop_processes:count{${here}})`, legend: "processes" }],
      },
      {
        title: "Alerts",
        description: "What fires now.",
        unit: "short",
        kind: "stat",
        targets: [
          {
            expr: `count by (alertname, stage) (ALERTS{${here}, alertstate="firing", alertname=~"Outerloop.*"})`,
            legend: "{{alertname}} {{stage}}",
          },
        ],
      },
    ],
  },
  {
    title: "Throughput and latency",
    panelWidth: 8,
    panelHeight: 8,
    panels: [
      {
        title: "Claims ended",
        description: "A task ends several: one a stage, and one each time that it waits or is tried again.",
        unit: "reqps",
        targets: [
          {
            expr: `sum by (stage, outcome) (rate(outerloop_stage_duration_seconds_count{${here}}[$__rate_interval]))`,
            legend: "{{stage}} {{outcome}}",
          },
        ],
      },
      {
        title: "Duration of stages",
        description: "From a claim to its end.",
        unit: "s",
        targets: quantilesOf("outerloop_stage_duration_seconds", "stage"),
      },
      {
        title: "Failures",
        runbook: "OuterloopTasksFail",
        description: "Tasks and plans that failed.",
        unit: "reqps",
        targets: [
          {
            expr: `sum by (stage) (rate(outerloop_task_failures_total{${here}}[$__rate_interval]))`,
            legend: "{{stage}}",
          },
        ],
      },
      {
        title: "Tool calls",
        description: "By tool and outcome.",
        unit: "reqps",
        targets: [
          {
            expr: `sum by (tool, outcome) (rate(outerloop_tool_duration_seconds_count{${here}}[$__rate_interval]))`,
            legend: "{{tool}} {{outcome}}",
          },
        ],
      },
      {
        title: "Duration of tools",
        description: "By tool.",
        unit: "s",
        targets: quantilesOf("outerloop_tool_duration_seconds", "tool"),
      },
    ],
  },
  {
    title: "Models",
    panelWidth: 8,
    panelHeight: 8,
    panels: [
      {
        title: "Tokens",
        description: "Tokens a second by provider, model and type.",
        unit: "short",
        targets: [
          {
            expr: `sum by (provider, model, type) (rate(outerloop_model_tokens_total{${here}}[$__rate_interval]))`,
            legend: "{{provider}}/{{model}} {{type}}",
          },
        ],
      },
      {
        title: "Cost an hour",
        description:
          "Where the price of a model is known. What a tenant may spend is limited by `npx outerloop budget`.",
        unit: "currencyUSD",
        targets: [
          {
            expr: `3600 * sum by (provider, model) (rate(outerloop_model_cost_usd_total{${here}}[$__rate_interval]))`,
            legend: "{{provider}}/{{model}}",
          },
        ],
      },
      {
        title: "Duration of model calls",
        description: "Calls that were answered, with all their tries.",
        unit: "s",
        targets: quantilesOf("outerloop_model_call_duration_seconds", "model"),
      },
      {
        title: "First token",
        description: "From the sending of a try to the first piece of its answer.",
        unit: "s",
        targets: quantilesOf("outerloop_model_first_token_seconds", "model"),
      },
      {
        title: "Tries of models",
        description: "Requests that were answered, and why the others failed or were not made.",
        unit: "reqps",
        targets: [
          {
            expr: `sum by (model, outcome) (rate(outerloop_model_tries_total{${here}}[$__rate_interval]))`,
            legend: "{{model}} {{outcome}}",
          },
        ],
      },
      {
        title: "Models held back",
        runbook: "OuterloopModelHeld",
        description: "1 while nobody calls a model, because it is away or its provider said so.",
        unit: "short",
        targets: [{ expr: `max by (model) (outerloop_model_held{${here}})`, legend: "{{model}}" }],
      },
      {
        title: "Changed configurations",
        runbook: "OuterloopConfigRefused",
        description: "By processes that took or refused them.",
        unit: "short",
        targets: [
          {
            expr: `sum by (outcome) (increase(outerloop_config_reloads_total{${here}}[$__rate_interval]))`,
            legend: "{{outcome}}",
          },
        ],
      },
      {
        title: "Cost in this time range",
        description: "The same, added up.",
        unit: "currencyUSD",
        kind: "stat",
        targets: [
          {
            expr: `sum by (provider, model) (increase(outerloop_model_cost_usd_total{${here}}[$__range]))`,
            legend: "{{provider}}/{{model}}",
          },
        ],
      },
    ],
  },
  {
    title: "Health",
    panelWidth: 8,
    panelHeight: 7,
    panels: [
      {
        title: "Mended by the reconciler",
        runbook: "OuterloopReconcilerBusy",
        description:
          "Dead claims and lost jobs are repair after a crash; waits that came due and planners that were woken are daily work.",
        unit: "reqps",
        targets: [
          {
            expr: `sum by (what) (rate(outerloop_reconciled_total{${here}}[$__rate_interval]))`,
            legend: "{{what}}",
          },
        ],
      },
      {
        title: "Stale claims",
        runbook: "OuterloopStaleClaims",
        description: "Writes refused because their claim was taken over or ended.",
        unit: "reqps",
        targets: [
          {
            expr: `sum by (stage) (rate(outerloop_stale_claims_total{${here}}[$__rate_interval]))`,
            legend: "{{stage}}",
          },
        ],
      },
      {
        title: "Work that ran alone",
        runbook: "OuterloopPoisonFound",
        description: "What outlived its processes runs in a child; `died` ended that too.",
        unit: "short",
        targets: [
          {
            expr: `sum by (stage, outcome) (increase(outerloop_isolated_runs_total{${here}}[$__rate_interval]))`,
            legend: "{{stage}} {{outcome}}",
          },
          {
            expr: `sum by (stage) (increase(outerloop_poison_found_total{${here}}[$__rate_interval]))`,
            legend: "{{stage}} poison",
          },
        ],
      },
      {
        title: "Deaf workers and lost locks",
        runbook: "OuterloopDeafWorkers",
        description: "Both are mended by themselves, and no work is lost with them.",
        unit: "short",
        targets: [
          {
            expr: `sum by (queue) (increase(outerloop_deaf_workers_total{${here}}[$__rate_interval]))`,
            legend: "{{queue}} deaf",
          },
          { expr: `sum(increase(outerloop_lost_job_locks_total{${here}}[$__rate_interval]))`, legend: "locks lost" },
        ],
      },
      {
        title: "Event loop lag",
        runbook: "OuterloopEventLoopLags",
        description: "p99 of each process. At several seconds it loses its lease.",
        unit: "s",
        threshold: 1,
        targets: [
          {
            expr: `nodejs_eventloop_lag_p99_seconds{${here}} and on (namespace, job, instance) outerloop_lost_job_locks_total`,
            legend: "{{instance}}",
          },
        ],
      },
      {
        title: "Memory",
        runbook: "OuterloopMemoryHigh",
        description: "Resident, of each process.",
        unit: "bytes",
        targets: [
          {
            expr: `process_resident_memory_bytes{${here}} and on (namespace, job, instance) outerloop_lost_job_locks_total`,
            legend: "{{instance}}",
          },
        ],
      },
      {
        title: "Processor",
        description: "Seconds a second of each process. Much more than 1 is its threads' work, not its event loop's.",
        unit: "short",
        targets: [
          {
            expr: `rate(process_cpu_seconds_total{${here}}[$__rate_interval]) and on (namespace, job, instance) outerloop_lost_job_locks_total`,
            legend: "{{instance}}",
          },
        ],
      },
    ],
  },
];

export const board = {
  uid: "outerloop",
  title: "Outerloop",
  description: "Goals, tasks and the processes that move them.",
  tags: ["outerloop"],
  schemaVersion,
  version: 1,
  editable: true,
  // The two below each other share the pointer.
  graphTooltip: 1,
  refresh: "30s",
  time: { from: "now-3h", to: "now" },
  timezone: "browser",
  links: [{ type: "link", title: "Runbooks", url: `${runbooks}/README.md`, icon: "doc", targetBlank: true }],
  annotations: {
    list: [
      {
        name: "Alerts",
        datasource,
        enable: true,
        iconColor: "red",
        expr: `ALERTS{${here}, alertstate="firing", alertname=~"Outerloop.*"}`,
        titleFormat: "{{alertname}}",
        textFormat: "{{stage}}",
      },
    ],
  },
  templating: {
    list: [
      { name: "datasource", label: "Data source", type: "datasource", query: "prometheus" },
      {
        name: "namespace",
        label: "Namespace",
        type: "query",
        datasource,
        query: { query: "label_values(outerloop_up, namespace)", refId: "namespace" },
        refresh: 2,
        includeAll: true,
        allValue: ".*",
        multi: true,
        current: { text: "All", value: "$__all" },
      },
    ],
  },
  panels: toPanels(rows, runbooks),
};

if (import.meta.main) {
  const file = fileURLToPath(new URL("outerloop.json", import.meta.url));
  writeFileSync(file, `${JSON.stringify(board, null, 2)}\n`);
}
