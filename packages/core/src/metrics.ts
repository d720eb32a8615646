/** Names and shapes of all metrics, in one place; beside them the process's own (CPU, memory, event loop). GenAI names follow OpenTelemetry's conventions where there is one. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";

export interface Metrics {
  readonly registry: Registry;
  readonly tasks: Gauge<"stage" | "status">;
  readonly oldestReady: Gauge<"stage">;
  readonly load: Gauge<"stage">;
  readonly workers: Gauge<"service">;
  readonly plansWanted: Gauge;
  readonly stageSeconds: Histogram<"stage" | "outcome">;
  readonly tokens: Counter<"stage" | "provider" | "model" | "type">;
  readonly costUsd: Counter<"stage" | "provider" | "model">;
  readonly modelSeconds: Histogram<"stage" | "model">;
  readonly firstTokenSeconds: Histogram<"stage" | "model">;
  readonly modelTries: Counter<"stage" | "model" | "outcome">;
  readonly modelHeld: Gauge<"model">;
  readonly modelReloads: Counter<"outcome">;
  readonly toolSeconds: Histogram<"tool" | "outcome">;
  readonly failures: Counter<"stage">;
  readonly lostLocks: Counter;
  readonly deafWorkers: Counter<"queue">;
  readonly staleClaims: Counter<"stage">;
  readonly reconciled: Counter<"what">;
  readonly isolatedRuns: Counter<"stage" | "outcome">;
  readonly poison: Counter<"stage">;
  readonly webhookDeliveries: Counter<"source" | "outcome">;
  readonly verdicts: Counter<"verdict" | "by">;
  readonly guards: Counter<"guard" | "action">;
  readonly embeddedTexts: Counter<"model">;
  readonly embeddingCacheHits: Counter<"cache">;
  readonly memoriesToReembed: Gauge;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  return {
    registry,
    tasks: new Gauge({
      name: "outerloop_tasks",
      help: "Live tasks by the stage that moves them next and their status",
      labelNames: ["stage", "status"],
      registers,
    }),
    oldestReady: new Gauge({
      name: "outerloop_oldest_ready_task_seconds",
      help: "Since when the oldest work of a stage is due and in nobody's hands; 0 when there is none",
      labelNames: ["stage"],
      registers,
    }),
    load: new Gauge({
      name: "outerloop_load",
      help: "Goals or tasks of a stage that are ready or in work, up to 100,000: what autoscaling goes by",
      labelNames: ["stage"],
      registers,
    }),
    workers: new Gauge({
      name: "outerloop_workers",
      help: "Processes with a live lease, by service",
      labelNames: ["service"],
      registers,
    }),
    plansWanted: new Gauge({ name: "outerloop_plans_wanted", help: "Goals that wait for their planner", registers }),
    stageSeconds: new Histogram({
      name: "outerloop_stage_duration_seconds",
      help: "From claim to the end of it, by stage and outcome",
      labelNames: ["stage", "outcome"],
      buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 1800],
      registers,
    }),
    tokens: new Counter({
      name: "outerloop_model_tokens_total",
      help: "Model tokens by type: input, cached, output, reasoning",
      labelNames: ["stage", "provider", "model", "type"],
      registers,
    }),
    costUsd: new Counter({
      name: "outerloop_model_cost_usd_total",
      help: "Model cost where a price is known",
      labelNames: ["stage", "provider", "model"],
      registers,
    }),
    modelSeconds: new Histogram({
      name: "outerloop_model_call_duration_seconds",
      help: "Model calls that were answered, with all their tries",
      labelNames: ["stage", "model"],
      buckets: [0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600],
      registers,
    }),
    firstTokenSeconds: new Histogram({
      name: "outerloop_model_first_token_seconds",
      help: "From sending a request to the first token of its answer",
      labelNames: ["stage", "model"],
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 240],
      registers,
    }),
    modelTries: new Counter({
      name: "outerloop_model_tries_total",
      help: "Requests to models: answered, or why they failed or were not made",
      labelNames: ["stage", "model", "outcome"],
      registers,
    }),
    modelHeld: new Gauge({
      name: "outerloop_model_held",
      help: "1 while a model is held back by its breaker or because its provider said so",
      labelNames: ["model"],
      registers,
    }),
    modelReloads: new Counter({
      name: "outerloop_config_reloads_total",
      help: "Changes of the configuration file: taken, or refused because they cannot work",
      labelNames: ["outcome"],
      registers,
    }),
    toolSeconds: new Histogram({
      name: "outerloop_tool_duration_seconds",
      help: "Tool calls",
      labelNames: ["tool", "outcome"],
      buckets: [0.005, 0.05, 0.5, 5, 60, 600],
      registers,
    }),
    failures: new Counter({
      name: "outerloop_task_failures_total",
      help: "Tasks and plans that failed, by stage",
      labelNames: ["stage"],
      registers,
    }),
    lostLocks: new Counter({
      name: "outerloop_lost_job_locks_total",
      help: "BullMQ locks lost; no work is lost with them",
      registers,
    }),
    deafWorkers: new Counter({
      name: "outerloop_deaf_workers_total",
      help: "Workers that no longer heard of new jobs and were given new connections",
      labelNames: ["queue"],
      registers,
    }),
    staleClaims: new Counter({
      name: "outerloop_stale_claims_total",
      help: "Writes refused because their claim was taken over or ended",
      labelNames: ["stage"],
      registers,
    }),
    reconciled: new Counter({
      name: "outerloop_reconciled_total",
      help: "What the reconciler mended",
      labelNames: ["what"],
      registers,
    }),
    isolatedRuns: new Counter({
      name: "outerloop_isolated_runs_total",
      help: "Work that had outlived its processes and ran alone, by how that ended; released found no place",
      labelNames: ["stage", "outcome"],
      registers,
    }),
    poison: new Counter({
      name: "outerloop_poison_found_total",
      help: "Tasks and plans that were failed because they end the process that runs them",
      labelNames: ["stage"],
      registers,
    }),
    verdicts: new Counter({
      name: "outerloop_verdicts_total",
      help: "Verdicts on results of tasks, and whether the evidence alone or a model gave them",
      labelNames: ["verdict", "by"],
      registers,
    }),
    guards: new Counter({
      name: "outerloop_guards_total",
      help: "What the guards on plans found (thrash, drift, stall), and what followed",
      labelNames: ["guard", "action"],
      registers,
    }),
    embeddedTexts: new Counter({
      name: "outerloop_embedded_texts_total",
      help: "Texts that a provider's model was asked to embed",
      labelNames: ["model"],
      registers,
    }),
    embeddingCacheHits: new Counter({
      name: "outerloop_embedding_cache_hits_total",
      help: "Texts whose vectors were at hand, in this process or in the database",
      labelNames: ["cache"],
      registers,
    }),
    memoriesToReembed: new Gauge({
      name: "outerloop_memories_to_reembed",
      help: "Memories whose vectors another model made than the one in use, up to 100,000 a model",
      registers,
    }),
    webhookDeliveries: new Counter({
      name: "outerloop_webhook_deliveries_total",
      help: "Webhooks by source (those that are not configured all together) and what became of them",
      labelNames: ["source", "outcome"],
      registers,
    }),
  };
}

/** Adds what Node tells of this process: CPU, memory, event loop lag, garbage collection, file descriptors. */
export function observeProcess({ registry }: Metrics): void {
  collectDefaultMetrics({ register: registry });
}
