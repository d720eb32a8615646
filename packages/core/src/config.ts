/** Everything that is set from outside, parsed once. The only place that reads the environment. */
import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";
import { createApprovalPolicy, type ApprovalPolicy } from "./domain/approval-policy.ts";
import type { BackoffPolicy } from "./domain/backoff.ts";
import { messageOf, OuterloopError } from "./domain/errors.ts";
import { defaultBatchLimits } from "./store/commit.ts";
import { defaultExecutionLimits, maxObservationChars } from "./agent/index.ts";
import { defaultGuardLimits, type GuardLimits } from "./domain/guard.ts";
import { defaultPayloadLimits, type PayloadLimits } from "./domain/payload.ts";
import { failpointNames, parseFailpoint, type Failpoint } from "./failpoints.ts";
import { findConfigFile, type ConfigFile } from "./config-file.ts";
import { providerKinds } from "./models/kinds.ts";
import { assembleModels, modelVariables } from "./models/routing/assemble.ts";
import type { ModelSettings } from "./models/routing/settings.ts";
import { defaultEmbeddingLimits, type EmbeddingLimits } from "./memory/embedding-limits.ts";
import { defaultMaxRecordingBytes } from "./store/recording.ts";
import { KnownSecrets, secretsIn } from "./redaction.ts";
import { parseRedisSettings, redisModes, type RedisSettings } from "./redis-settings.ts";
import { parseWebhookSources, type WebhookSource } from "./webhook-sources.ts";

const text = z.string().trim().min(1);
/** An empty variable is one that was not set. */
const set = <Schema extends z.ZodType>(schema: Schema) =>
  z.preprocess((value) => (value === "" ? undefined : value), schema);
const optional = set(text.optional());
const count = (fallback: number, min: number, max: number) =>
  set(z.coerce.number().int().min(min).max(max).default(fallback));

const postgresUrl = optional.refine(
  (url) => url === undefined || /^postgres(ql)?:\/\//.test(url),
  "must begin with postgres:// or postgresql://",
);

/** May come from a file instead, whose path stands in NAME_FILE: a secret that a container has mounted. */
const secretNames = [
  "DATABASE_URL",
  "DATABASE_DIRECT_URL",
  "REDIS_URL",
  "REDIS_SENTINEL_PASSWORD",
  ...providerKinds.flatMap(({ env }) => env.key ?? []),
  "OUTERLOOP_API_KEY",
  "OUTERLOOP_WEBHOOKS",
];
const minKeyChars = 20;
const maxSecretBytes = 64 * 1024;

const schema = z.object({
  DATABASE_URL: postgresUrl,
  DATABASE_DIRECT_URL: postgresUrl,
  REDIS_URL: optional,
  REDIS_MODE: set(z.enum(redisModes).default("single")),
  REDIS_SENTINEL_NAME: set(text.default("mymaster")),
  REDIS_SENTINEL_PASSWORD: optional,
  HOST: set(text.default("127.0.0.1")),
  PORT: count(4000, 0, 65_535),
  OUTERLOOP_CONFIG: optional,
  // Whoever has it may do everything; a word would be guessed.
  OUTERLOOP_API_KEY: set(
    text
      .min(minKeyChars, `must be at least ${minKeyChars} characters long, such as ol_ and openssl rand -hex 24`)
      .optional(),
  ),
  OUTERLOOP_REPLAY: optional,
  OUTERLOOP_DATA_DIR: optional,
  OUTERLOOP_CWD: optional,
  OUTERLOOP_SKILL_MODULES: z.string().default(""),
  OUTERLOOP_AUTO_APPROVE: z
    .string()
    .refine((names) => /^[\w*,\s-]*$/.test(names), "must be tool names with commas between them, or * for all")
    .default(""),
  OUTERLOOP_APPROVAL_DEADLINE_MS: count(7 * 24 * 3_600_000, 1000, 366 * 24 * 3_600_000),
  OUTERLOOP_ON_APPROVAL_DEADLINE: set(z.enum(["reject", "fail"]).default("reject")),
  OUTERLOOP_MIGRATE: set(z.enum(["true", "false"]).default("true")),
  OUTERLOOP_LOG_LEVEL: set(z.enum(["trace", "debug", "info", "warn", "error", "silent"]).optional()),
  OUTERLOOP_PLANNER_SLOTS: count(64, 1, 10_000),
  OUTERLOOP_EXECUTOR_SLOTS: count(128, 1, 10_000),
  OUTERLOOP_REFLECTOR_SLOTS: count(128, 1, 10_000),
  OUTERLOOP_ISOLATED_RUNS: count(2, 1, 100),
  OUTERLOOP_ISOLATED_HEAP_MB: count(1024, 64, 1_000_000),
  OUTERLOOP_STUCK_LEASES: count(2, 0, 1000),
  OUTERLOOP_STALL_MS: count(120_000, 1000, 86_400_000),
  OUTERLOOP_TENANT_IN_FLIGHT: count(500, 1, 100_000),
  OUTERLOOP_LEASE_MS: count(10_000, 500, 600_000),
  OUTERLOOP_RECONCILE_MS: count(0, 0, 600_000),
  OUTERLOOP_DRAIN_MS: count(25_000, 0, 3_600_000),
  OUTERLOOP_DB_CONNECTIONS: count(16, 2, 500),
  OUTERLOOP_DB_TIMEOUT_MS: count(15_000, 100, 600_000),
  OUTERLOOP_COMMIT_WRITES: count(defaultBatchLimits.maxWrites, 1, 1000),
  OUTERLOOP_COMMIT_BYTES: count(defaultBatchLimits.maxBytes, 1024, 256 * 1024 * 1024),
  OUTERLOOP_GATHER_MS: count(15, 0, 1000),
  OUTERLOOP_MEMORY: set(z.enum(["on", "off"]).default("on")),
  OUTERLOOP_EMBED_CACHE: count(defaultEmbeddingLimits.cacheVectors, 0, 1_000_000),
  OUTERLOOP_EMBED_CACHE_ROWS: count(defaultEmbeddingLimits.cacheRows, 0, 100_000_000),
  OUTERLOOP_EMBED_CACHE_AGE_MS: count(defaultEmbeddingLimits.cacheAgeMs, 60_000, 366 * 24 * 3_600_000),
  OUTERLOOP_REEMBED_BATCH: count(defaultEmbeddingLimits.reembedBatch, 0, 1000),
  OUTERLOOP_INTAKE: set(z.enum(["on", "off"]).default("on")),
  OUTERLOOP_REVIEW: set(z.enum(["adaptive", "always"]).default("adaptive")),
  OUTERLOOP_QUESTION_DEADLINE_MS: count(24 * 3_600_000, 1000, 366 * 24 * 3_600_000),
  OUTERLOOP_GUARD_STRIKES: count(defaultGuardLimits.strikes, 1, 10),
  OUTERLOOP_GUARD_IDLE_PLANS: count(defaultGuardLimits.idlePlans, 1, 100),
  OUTERLOOP_GUARD_HOPS: count(defaultGuardLimits.hops, 1, 100),
  OUTERLOOP_GUARD_TRIES: count(defaultGuardLimits.tries, 1, 100),
  OUTERLOOP_OBSERVATION_CHARS: count(maxObservationChars, 1000, 400_000),
  OUTERLOOP_CONTEXT_CHARS: count(defaultExecutionLimits.maxRequestChars, 10_000, 10_000_000),
  OUTERLOOP_QUEUE_PREFIX: set(
    z
      .string()
      .regex(/^[\w-]{1,64}$/)
      .default("outerloop"),
  ),
  OUTERLOOP_MODEL_TIMEOUT_MS: count(600_000, 100, 3_600_000),
  OUTERLOOP_MODEL_WINDOW_MS: count(60_000, 1200, 3_600_000),
  OUTERLOOP_MAX_TOOL_CALLS: count(10, 1, 200),
  OUTERLOOP_BACKOFF_BASE_MS: count(2000, 10, 3_600_000),
  OUTERLOOP_BACKOFF_CAP_MS: count(300_000, 10, 86_400_000),
  OUTERLOOP_MAX_ANSWER_BYTES: count(defaultPayloadLimits.answerBytes, 1024, 64 * 1024 * 1024),
  OUTERLOOP_MAX_TOOL_ARGS_BYTES: count(defaultPayloadLimits.toolArgsBytes, 1024, 64 * 1024 * 1024),
  OUTERLOOP_MAX_TOOL_RESULT_BYTES: count(defaultPayloadLimits.toolResultBytes, 1024, 64 * 1024 * 1024),
  OUTERLOOP_MAX_FILE_BYTES: count(defaultPayloadLimits.fileBytes, 1024, 64 * 1024 * 1024),
  // What a row of memory holds.
  OUTERLOOP_MAX_NOTE_CHARS: count(defaultPayloadLimits.noteChars, 100, 20_000),
  OUTERLOOP_MAX_PLAN_TASKS: count(defaultPayloadLimits.planTasks, 1, 500),
  OUTERLOOP_PROBE_PORT: set(z.coerce.number().int().min(0).max(65_535).optional()),
  OUTERLOOP_MAX_BODY_BYTES: count(96 * 1024 * 1024, 1024, 2_000_000_000),
  OUTERLOOP_MAX_RECORDING_BYTES: count(defaultMaxRecordingBytes, 1024, 512 * 1024 * 1024),
  OUTERLOOP_WEBHOOKS: optional,
  OUTERLOOP_WEBHOOK_TOLERANCE_MS: count(300_000, 1000, 86_400_000),
  // GitHub sends up to 25 MB; they are held in memory before anybody knows whose they are.
  OUTERLOOP_MAX_WEBHOOK_BYTES: count(1024 * 1024, 1024, 26_214_400),
  OUTERLOOP_MAX_WATCHERS: count(2000, 1, 1_000_000),
  OUTERLOOP_RECENT_EVENTS: count(1000, 1, 1_000_000),
  OUTERLOOP_RECENT_EVENTS_TTL_MS: count(3_600_000, 1000, 604_800_000),
  OUTERLOOP_EVENT_CACHE_BYTES: count(64 * 1024 * 1024, 0, 100_000_000_000),
  OUTERLOOP_FAILPOINT: optional.transform((value, context) => {
    if (value === undefined) return null;
    const failpoint = parseFailpoint(value);
    if (failpoint !== undefined) return failpoint;
    const message = `must be NAME, NAME:N or NAME:N:stop, where NAME is one of ${failpointNames.join(", ")}`;
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  }),
  OUTERLOOP_METRICS_OPEN: set(z.enum(["true", "false"]).default("false")),
});

/** Every variable that is read, but for the files of secrets. */
export const settingNames: readonly string[] = [
  ...Object.keys(schema.shape),
  ...modelVariables,
  ...providerKinds.flatMap(({ env }) =>
    [env.key, env.baseUrl, ...Object.values(env.options ?? {})].filter((name) => name !== undefined),
  ),
];

export interface Config {
  /** Exact values that must not leave the process (`redaction.ts`). Grows by keys that settings of models name. */
  readonly secrets: KnownSecrets;
  readonly databaseUrl: string | null;
  /** Past a pooler that hands a connection on after each transaction, for what needs one of its own; null where there is none. */
  readonly databaseDirectUrl: string | null;
  readonly redis: RedisSettings | null;
  readonly host: string;
  readonly port: number;
  /** Whether PORT was set, so that another one would surprise. */
  readonly portIsSet: boolean;
  readonly dataDir: string;
  /** Where the user stands, which npm hides from a script: paths on the command line are relative to it. */
  readonly cwd: string;
  readonly apiKey: string | null;
  readonly migrate: boolean;
  readonly logLevel: string | null;
  readonly slots: { readonly planner: number; readonly executor: number; readonly reflector: number };
  /** Child processes at once for work that may end its process. */
  readonly isolatedRuns: number;
  /** Of such a child's heap. */
  readonly isolatedHeapMb: number;
  /** Lease periods after which a worker that stands still ends itself; 0 for never. */
  readonly stuckLeases: number;
  /** After this long without a turn of one of its loops a process says that it does not live (`/healthz`). */
  readonly stallMs: number;
  readonly tenantInFlight: number;
  readonly leaseMs: number;
  readonly reconcileMs: number;
  readonly drainMs: number;
  readonly dbConnections: number;
  /** How long one statement may take; a connection that is silent for longer is given up. */
  readonly dbTimeoutMs: number;
  /** What one commit of gathered writes takes at most, and as many claims at once. */
  /** Of one batch of writes or claims; how long one waits for more where much is in flight. */
  readonly commit: { readonly maxWrites: number; readonly maxBytes: number; readonly gatherMs: number };
  /** Whether what was learned is kept and recalled. */
  readonly memory: boolean;
  readonly embeddings: EmbeddingLimits;
  /** Whether a goal's text is read for what it asks before it is planned. */
  readonly intake: boolean;
  /** Whether every result is judged by a model, or an easy one by its evidence alone where the goal's planning is adaptive. */
  readonly review: "adaptive" | "always";
  /** How long a question waits for its answer where the goal names no time. */
  readonly questionDeadlineMs: number;
  readonly guards: GuardLimits;
  readonly queuePrefix: string;
  readonly maxToolCalls: number;
  /** Of a tool's result as the model reads it; what is longer goes into a file. */
  readonly observationChars: number;
  /** Of one request of an executor; past it the oldest results are left out. */
  readonly contextChars: number;
  /** ES modules with skills of the operator's own: paths relative to `cwd` or absolute, or names of packages. */
  readonly skillModules: readonly string[];
  readonly policy: ApprovalPolicy;
  readonly payload: PayloadLimits;
  /** Between tries of work whose model, store or queue was away. */
  readonly backoff: BackoffPolicy;
  /** Where a worker shows its health and metrics; null for nowhere. */
  readonly probePort: number | null;
  /** Of one request. */
  readonly maxBodyBytes: number;
  /** Of one goal's recording. */
  readonly maxRecordingBytes: number;
  /** Who may begin goals by signed events, how far the time of one may be off, and bytes of one. */
  readonly webhooks: {
    readonly sources: readonly WebhookSource[];
    readonly toleranceMs: number;
    readonly maxBytes: number;
  };
  /** Open event streams of one process. */
  readonly maxWatchers: number;
  /** Of each goal in Redis: how many, and for how long after the last. */
  readonly recentEvents: { readonly length: number; readonly ttlMs: number };
  /** Events that ingress keeps for those who watch. */
  readonly eventCacheBytes: number;
  /** Whether /metrics needs no key, for a scraper inside a closed network. */
  readonly metricsOpen: boolean;
  /** For tests: where this process dies. */
  readonly failpoint: Failpoint | null;
  /** Of what does not fit into variables; null where there is none. */
  readonly configFile: string | null;
  /** What may be said about models, by variables and the file. Only who calls models needs their keys. Throws `config`. */
  readModels(file: ConfigFile): ModelSettings;
  /** A recording that answers in place of all models; null for none. */
  readonly replay: string | null;
}

/** @throws OuterloopError `config`, naming every variable that is wrong and what it must be. Values are not repeated: they may be secret. */
export function readConfig(
  env: Readonly<Record<string, string | undefined>> = process.env,
  cwd: string = process.cwd(),
): Config {
  const given: Readonly<Record<string, string | undefined>> = { ...env, ...readSecretFiles(env, cwd) };
  const parsed = schema.safeParse(given);
  if (!parsed.success)
    throw badEnvironment(parsed.error.issues.map((issue) => ({ field: issue.path.join("."), message: issue.message })));
  const values = parsed.data;
  const secrets = new KnownSecrets(secretNames.flatMap((name) => secretsIn(given[name]?.trim() ?? "")));
  // What providers read is theirs to name: their keys come from variables that settings name, too.
  const modelEnv = given;
  const configFile = findConfigFile(values.OUTERLOOP_CONFIG, values.OUTERLOOP_CWD ?? cwd);
  const sources = parseWebhookSources(values.OUTERLOOP_WEBHOOKS ?? "{}");
  if ("problems" in sources) throw badEnvironment(sources.problems);
  const redis = values.REDIS_URL === undefined ? null : parseRedisSettings({ ...values, REDIS_URL: values.REDIS_URL });
  if (redis !== null && "field" in redis) throw badEnvironment([redis]);
  if (values.DATABASE_DIRECT_URL !== undefined && values.DATABASE_URL === undefined)
    throw badEnvironment([{ field: "DATABASE_DIRECT_URL", message: "is set but DATABASE_URL is not" }]);
  if (values.REDIS_URL !== undefined && values.DATABASE_URL === undefined)
    throw new OuterloopError(
      "config",
      "REDIS_URL is set but DATABASE_URL is not: the queue would outlive the state it belongs to. Set DATABASE_URL to a PostgreSQL with pgvector, or unset REDIS_URL to run embedded.",
    );
  return {
    secrets,
    databaseUrl: values.DATABASE_URL ?? null,
    databaseDirectUrl: values.DATABASE_DIRECT_URL ?? null,
    redis,
    host: values.HOST,
    port: values.PORT,
    portIsSet: (env["PORT"] ?? "") !== "",
    dataDir: resolve(cwd, values.OUTERLOOP_DATA_DIR ?? ".outerloop"),
    cwd: values.OUTERLOOP_CWD ?? cwd,
    apiKey: values.OUTERLOOP_API_KEY ?? null,
    migrate: values.OUTERLOOP_MIGRATE === "true",
    logLevel: values.OUTERLOOP_LOG_LEVEL ?? null,
    slots: {
      planner: values.OUTERLOOP_PLANNER_SLOTS,
      executor: values.OUTERLOOP_EXECUTOR_SLOTS,
      reflector: values.OUTERLOOP_REFLECTOR_SLOTS,
    },
    isolatedRuns: values.OUTERLOOP_ISOLATED_RUNS,
    isolatedHeapMb: values.OUTERLOOP_ISOLATED_HEAP_MB,
    stuckLeases: values.OUTERLOOP_STUCK_LEASES,
    stallMs: values.OUTERLOOP_STALL_MS,
    tenantInFlight: values.OUTERLOOP_TENANT_IN_FLIGHT,
    leaseMs: values.OUTERLOOP_LEASE_MS,
    // An embedded database has no queue that could be lost and no other process that could die: it is looked at less often.
    reconcileMs: values.OUTERLOOP_RECONCILE_MS || (values.DATABASE_URL === undefined ? 5000 : 2000),
    drainMs: values.OUTERLOOP_DRAIN_MS,
    dbConnections: values.OUTERLOOP_DB_CONNECTIONS,
    dbTimeoutMs: values.OUTERLOOP_DB_TIMEOUT_MS,
    commit: {
      maxWrites: values.OUTERLOOP_COMMIT_WRITES,
      maxBytes: values.OUTERLOOP_COMMIT_BYTES,
      gatherMs: values.OUTERLOOP_GATHER_MS,
    },
    memory: values.OUTERLOOP_MEMORY === "on",
    embeddings: {
      cacheVectors: values.OUTERLOOP_EMBED_CACHE,
      cacheRows: values.OUTERLOOP_EMBED_CACHE_ROWS,
      cacheAgeMs: values.OUTERLOOP_EMBED_CACHE_AGE_MS,
      reembedBatch: values.OUTERLOOP_REEMBED_BATCH,
    },
    queuePrefix: values.OUTERLOOP_QUEUE_PREFIX,
    intake: values.OUTERLOOP_INTAKE === "on",
    review: values.OUTERLOOP_REVIEW,
    questionDeadlineMs: values.OUTERLOOP_QUESTION_DEADLINE_MS,
    guards: {
      strikes: values.OUTERLOOP_GUARD_STRIKES,
      idlePlans: values.OUTERLOOP_GUARD_IDLE_PLANS,
      hops: values.OUTERLOOP_GUARD_HOPS,
      tries: values.OUTERLOOP_GUARD_TRIES,
    },
    maxToolCalls: values.OUTERLOOP_MAX_TOOL_CALLS,
    observationChars: values.OUTERLOOP_OBSERVATION_CHARS,
    contextChars: values.OUTERLOOP_CONTEXT_CHARS,
    policy: createApprovalPolicy(
      values.OUTERLOOP_AUTO_APPROVE.split(",")
        .map((name) => name.trim())
        .filter((name) => name !== ""),
      values.OUTERLOOP_APPROVAL_DEADLINE_MS,
      values.OUTERLOOP_ON_APPROVAL_DEADLINE,
    ),
    skillModules: values.OUTERLOOP_SKILL_MODULES.split(",")
      .map((name) => name.trim())
      .filter((name) => name !== ""),
    payload: {
      answerBytes: values.OUTERLOOP_MAX_ANSWER_BYTES,
      toolArgsBytes: values.OUTERLOOP_MAX_TOOL_ARGS_BYTES,
      toolResultBytes: values.OUTERLOOP_MAX_TOOL_RESULT_BYTES,
      fileBytes: values.OUTERLOOP_MAX_FILE_BYTES,
      noteChars: values.OUTERLOOP_MAX_NOTE_CHARS,
      planTasks: values.OUTERLOOP_MAX_PLAN_TASKS,
    },
    backoff: { baseMs: values.OUTERLOOP_BACKOFF_BASE_MS, capMs: values.OUTERLOOP_BACKOFF_CAP_MS },
    probePort: values.OUTERLOOP_PROBE_PORT ?? null,
    maxBodyBytes: values.OUTERLOOP_MAX_BODY_BYTES,
    maxRecordingBytes: values.OUTERLOOP_MAX_RECORDING_BYTES,
    webhooks: {
      sources,
      toleranceMs: values.OUTERLOOP_WEBHOOK_TOLERANCE_MS,
      maxBytes: values.OUTERLOOP_MAX_WEBHOOK_BYTES,
    },
    maxWatchers: values.OUTERLOOP_MAX_WATCHERS,
    recentEvents: { length: values.OUTERLOOP_RECENT_EVENTS, ttlMs: values.OUTERLOOP_RECENT_EVENTS_TTL_MS },
    eventCacheBytes: values.OUTERLOOP_EVENT_CACHE_BYTES,
    metricsOpen: values.OUTERLOOP_METRICS_OPEN === "true",
    failpoint: values.OUTERLOOP_FAILPOINT,
    configFile,
    readModels(file) {
      const settings = assembleModels({
        file: file.models,
        env: modelEnv,
        cwd,
        totalMs: values.OUTERLOOP_MODEL_TIMEOUT_MS,
        windowMs: values.OUTERLOOP_MODEL_WINDOW_MS,
        payload: {
          answerBytes: values.OUTERLOOP_MAX_ANSWER_BYTES,
          toolArgsBytes: values.OUTERLOOP_MAX_TOOL_ARGS_BYTES,
        },
      });
      for (const { apiKey, baseUrl } of Object.values(settings.providers))
        secrets.add([...secretsIn(apiKey ?? ""), ...secretsIn(baseUrl ?? "").slice(1)]);
      return settings;
    },
    replay: values.OUTERLOOP_REPLAY === undefined ? null : resolve(cwd, values.OUTERLOOP_REPLAY),
  };
}

/** @returns what the files hold that NAME_FILE names, without the line end that an editor leaves */
function readSecretFiles(env: Readonly<Record<string, string | undefined>>, cwd: string): Record<string, string> {
  const secrets: Record<string, string> = {};
  const problems: { field: string; message: string }[] = [];
  for (const name of secretNames) {
    const path = env[`${name}_FILE`];
    if (path === undefined || path === "") continue;
    const field = `${name}_FILE`;
    if ((env[name] ?? "") !== "") problems.push({ field, message: `is set, and so is ${name}: unset one of them` });
    else
      try {
        const at = resolve(cwd, path);
        const { size } = statSync(at);
        const secret = size > maxSecretBytes ? "" : readFileSync(at, "utf8").trim();
        if (size > maxSecretBytes) problems.push({ field, message: "names a file of over 64 KiB" });
        else if (secret === "") problems.push({ field, message: "names an empty file" });
        else secrets[name] = secret;
      } catch (thrown) {
        problems.push({ field, message: `names a file that cannot be read: ${messageOf(thrown)}` });
      }
  }
  if (problems.length > 0) throw badEnvironment(problems);
  return secrets;
}

function badEnvironment(fields: readonly { readonly field: string; readonly message: string }[]): OuterloopError {
  const lines = fields.map(({ field, message }) => `${field}: ${message}`);
  return new OuterloopError("config", `The environment is not right.\n${lines.join("\n")}`, { fields: [...fields] });
}
