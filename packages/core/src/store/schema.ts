/** The tables as Kysely sees them. Migrations are the truth; this follows them. */
import type { ColumnType, Generated } from "kysely";

type Json = ColumnType<unknown, string, string>;
type Instant = ColumnType<Date, Date | string | undefined, Date | string>;
type NullableInstant = ColumnType<Date | null, Date | string | null | undefined, Date | string | null>;

export interface TenantsTable {
  id: string;
  name: string;
  created_at: Generated<Date>;
}

export interface ApiKeysTable {
  id: string;
  tenant_id: string;
  name: string;
  role: string;
  hash: Uint8Array;
  created_at: Generated<Date>;
  revoked_at: NullableInstant;
}

export interface LeasesTable {
  id: string;
  service: string;
  host: string;
  pid: number;
  journal_format: Generated<number>;
  started_at: Generated<Date>;
  expires_at: Instant;
}

export interface SessionsTable {
  tenant_id: string;
  id: string;
  created_at: Generated<Date>;
}

export interface GoalsTable {
  id: string;
  tenant_id: string;
  session_id: string | null;
  retention: string;
  goal_day: string;
  text: string;
  status: Generated<string>;
  paused_from: string | null;
  paused_at: NullableInstant;
  reason: string | null;
  detail: string | null;
  answer: string | null;
  citations: ColumnType<unknown, string | null | undefined, string | null>;
  planning: string;
  planning_every: number;
  priority: number;
  labels: Json;
  created_by: string | null;
  budget_steps: number;
  budget_wall_ms: number;
  budget_tokens: number;
  budget_micro_usd: number | null;
  steps_used: Generated<number>;
  steps_reserved: Generated<number>;
  tokens_used: Generated<number>;
  cost_micro_usd: Generated<number>;
  cost_unknown: Generated<boolean>;
  exhausted: string | null;
  exhausted_period: string | null;
  tokens_reserved: Generated<number>;
  cost_reserved: Generated<number>;
  plan_tokens_reserved: Generated<number>;
  plan_cost_reserved: Generated<number>;
  plan_tokens_needed: Generated<number>;
  plan_cost_needed: Generated<number>;
  plan_backoffs: Generated<number>;
  warned: Generated<string[]>;
  wall_warn_at: NullableInstant;
  lent_steps: number | null;
  lent_tokens: number | null;
  lent_micro_usd: number | null;
  lent_at: NullableInstant;
  lent_until: NullableInstant;
  lent_under: NullableInstant;
  event_seq: Generated<number>;
  file_seq: Generated<number>;
  step_seq: Generated<number>;
  task_seq: Generated<number>;
  live_tasks: Generated<number>;
  plan_round: Generated<number>;
  plan_wanted: Generated<number>;
  done_since_plan: Generated<number>;
  fence: Generated<number>;
  lease_id: string | null;
  expired_claims: Generated<number>;
  plan_reserved: Generated<number>;
  last_write: string | null;
  dispatch: Generated<number>;
  dispatched_at: NullableInstant;
  job_id: string | null;
  due_at: ColumnType<Date, Date | string | undefined, Date | string>;
  deadline_at: Instant;
  waiting_tasks: Generated<number>;
  asleep_at: NullableInstant;
  signal_seq: Generated<number>;
  intake: ColumnType<unknown, string | null | undefined, string | null>;
  clarifications: ColumnType<unknown, string | undefined, string>;
  questions_wait_ms: number | null;
  models: ColumnType<unknown, string | null | undefined, string | null>;
  guards: ColumnType<unknown, string | undefined, string>;
  created_at: Generated<Date>;
  started_at: NullableInstant;
  ended_at: NullableInstant;
}

export interface TasksTable {
  id: string;
  tenant_id: string;
  goal_id: string;
  retention: string;
  goal_day: string;
  key: string;
  number: number;
  parent_id: string | null;
  root_id: string;
  text: string;
  tools: Json;
  evidence: Json;
  difficulty: string;
  depth: number;
  priority: number;
  status: string;
  attempt: number;
  blockers: number;
  front: boolean;
  hint: string | null;
  result: string | null;
  reason: string | null;
  wakes: number;
  wait: Json | null;
  models: ColumnType<unknown, string | null | undefined, string | null>;
  fence: number;
  lease_id: string | null;
  expired_claims: number;
  steps_reserved: number;
  tokens_reserved: number;
  cost_reserved: number;
  steps_needed: number;
  tokens_needed: number;
  cost_needed: number;
  backoffs: number;
  last_write: string | null;
  dispatch: number;
  dispatched_at: NullableInstant;
  job_id: string | null;
  due_at: ColumnType<Date, Date | string | undefined, Date | string>;
  created_at: Generated<Date>;
  started_at: NullableInstant;
  ended_at: NullableInstant;
}

export interface TaskDependenciesTable {
  task_id: string;
  depends_on: string;
  goal_id: string;
  tenant_id: string;
}

export interface WaitsTable {
  id: string;
  tenant_id: string;
  goal_id: string;
  task_id: string;
  attempt: number;
  seq: number;
  kind: string;
  name: string;
  subject: Json;
  hash: string | null;
  status: Generated<string>;
  deadline_at: Instant;
  on_deadline: string;
  resolution: ColumnType<unknown, string | null | undefined, string | null>;
  signal_number: number | null;
  created_at: Generated<Date>;
  resolved_at: NullableInstant;
}

export interface QuestionsTable {
  id: string;
  tenant_id: string;
  goal_id: string;
  about: string;
  text: string;
  default_answer: string;
  status: Generated<string>;
  deadline_at: Instant;
  answer: string | null;
  answered_by: string | null;
  asked_at: Generated<Date>;
  answered_at: NullableInstant;
}

export interface SignalsTable {
  tenant_id: string;
  goal_id: string;
  number: number;
  name: string;
  task_id: string | null;
  payload: ColumnType<unknown, string | null, string | null>;
  key: string | null;
  sent_by: string | null;
  at: Generated<Date>;
}

export interface EffectsTable {
  tenant_id: string;
  goal_id: string;
  key: string;
  send_key: string;
  root_id: string;
  task_id: string;
  attempt: number;
  seq: number;
  tool: string;
  version: string;
  args: Json;
  status: string;
  turn: number;
  result: Json | null;
  fence: number;
  intended_at: Generated<Date>;
  ended_at: NullableInstant;
}

export interface IdempotencyKeysTable {
  tenant_id: string;
  key: string;
  request_hash: string;
  goal_id: string;
  created_at: Generated<Date>;
}

interface HistoryKey {
  retention: string;
  goal_day: string;
  tenant_id: string;
  goal_id: string;
}

export interface StepsTable extends HistoryKey {
  subject_id: string;
  attempt: number;
  seq: number;
  phase: string;
  stage: string;
  kind: string;
  name: string;
  number: number;
  input: Json;
  output: Json | null;
  ok: boolean;
  request_hash: string | null;
  input_tokens: number;
  cached_input_tokens: number;
  output_tokens: number;
  reasoning_tokens: number;
  cost_micro_usd: number | null;
  duration_ms: number;
  fence: number;
  write_id: string;
  at: Generated<Date>;
}

export interface BlobsTable extends HistoryKey {
  hash: string;
  body: string;
}

export interface EventsTable extends HistoryKey {
  seq: number;
  type: string;
  task_id: string | null;
  data: Json;
  at: Generated<Date>;
}

export interface ArtifactsTable extends HistoryKey {
  version: number;
  path: string;
  mode: string;
  origin: string;
  bytes: Uint8Array;
  hash: string;
  task_id: string | null;
  at: Generated<Date>;
}

export interface PromptsTable {
  hash: string;
  body: string;
  created_at: Generated<Date>;
}

export interface MemoryEntriesTable {
  id: string;
  tenant_id: string;
  session_id: string | null;
  goal_id: string | null;
  task_id: string | null;
  kind: string;
  text: string;
  embedding: string;
  embedding_model: string;
  created_at: Generated<Date>;
}

export interface TenantBudgetsTable {
  tenant_id: string;
  period: string;
  steps: number | null;
  tokens: number | null;
  micro_usd: number | null;
  changed_at: Generated<Date>;
}

export interface TenantBudgetUseTable {
  tenant_id: string;
  period: string;
  since: Instant;
  steps: Generated<number>;
  tokens: Generated<number>;
  micro_usd: Generated<number>;
}

export interface Schema {
  tenants: TenantsTable;
  tenant_budgets: TenantBudgetsTable;
  tenant_budget_use: TenantBudgetUseTable;
  api_keys: ApiKeysTable;
  leases: LeasesTable;
  sessions: SessionsTable;
  goals: GoalsTable;
  tasks: TasksTable;
  task_dependencies: TaskDependenciesTable;
  waits: WaitsTable;
  signals: SignalsTable;
  questions: QuestionsTable;
  effects: EffectsTable;
  idempotency_keys: IdempotencyKeysTable;
  steps: StepsTable;
  blobs: BlobsTable;
  events: EventsTable;
  artifacts: ArtifactsTable;
  prompts: PromptsTable;
  memory_entries: MemoryEntriesTable;
}
