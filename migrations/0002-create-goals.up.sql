-- Execution state: sessions, goals, tasks and what tasks wait for.
-- Locks: none on existing tables. Old workers: there are none.

CREATE TABLE sessions (
  tenant_id text NOT NULL REFERENCES tenants,
  id text NOT NULL CHECK (length(id) BETWEEN 1 AND 200),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id)
);

CREATE TABLE goals (
  id text PRIMARY KEY,
  tenant_id text NOT NULL REFERENCES tenants,
  session_id text,
  -- History is partitioned by these two; every child row carries them.
  retention text NOT NULL DEFAULT 'standard' CHECK (retention IN ('short', 'standard', 'long')),
  goal_day date NOT NULL,
  text text NOT NULL CHECK (length(text) BETWEEN 1 AND 200000),
  status text NOT NULL DEFAULT 'queued' CHECK (status IN
    ('queued', 'planning', 'running', 'waiting', 'paused', 'succeeded', 'failed', 'abandoned', 'cancelled')),
  -- Where a paused goal came from and goes back to.
  paused_from text,
  paused_at timestamptz,
  reason text,
  detail text,
  answer text,
  citations jsonb,
  planning text NOT NULL DEFAULT 'adaptive' CHECK (planning IN ('adaptive', 'every-step', 'every-n')),
  planning_every integer NOT NULL DEFAULT 1 CHECK (planning_every BETWEEN 1 AND 1000),
  priority smallint NOT NULL DEFAULT 0 CHECK (priority BETWEEN -100 AND 100),
  labels jsonb NOT NULL DEFAULT '{}',
  created_by text,
  budget_steps integer NOT NULL CHECK (budget_steps > 0),
  budget_wall_ms bigint NOT NULL CHECK (budget_wall_ms > 0),
  budget_tokens bigint NOT NULL CHECK (budget_tokens > 0),
  budget_micro_usd bigint CHECK (budget_micro_usd >= 0),
  steps_used integer NOT NULL DEFAULT 0,
  steps_reserved integer NOT NULL DEFAULT 0 CHECK (steps_reserved >= 0),
  tokens_used bigint NOT NULL DEFAULT 0,
  cost_micro_usd bigint NOT NULL DEFAULT 0,
  cost_unknown boolean NOT NULL DEFAULT false,
  -- Which budget is spent; the planner ends the goal for it.
  exhausted text CHECK (exhausted IN ('step_budget', 'wall_budget', 'token_budget', 'cost_budget')),
  event_seq bigint NOT NULL DEFAULT 0,
  file_seq bigint NOT NULL DEFAULT 0,
  step_seq bigint NOT NULL DEFAULT 0,
  task_seq integer NOT NULL DEFAULT 0,
  live_tasks integer NOT NULL DEFAULT 0 CHECK (live_tasks >= 0),
  plan_round integer NOT NULL DEFAULT 0,
  plan_wanted integer NOT NULL DEFAULT 1 CHECK (plan_wanted >= 0),
  done_since_plan integer NOT NULL DEFAULT 0,
  fence bigint NOT NULL DEFAULT 0,
  lease_id text,
  expired_claims integer NOT NULL DEFAULT 0,
  -- The planner's own reservation, as tasks have theirs.
  plan_reserved integer NOT NULL DEFAULT 0 CHECK (plan_reserved >= 0),
  last_write text,
  dispatch integer NOT NULL DEFAULT 0,
  dispatched_at timestamptz,
  job_id text,
  due_at timestamptz NOT NULL DEFAULT now(),
  deadline_at timestamptz NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  ended_at timestamptz,
  FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id),
  CHECK ((ended_at IS NOT NULL) = (status IN ('succeeded', 'failed', 'abandoned', 'cancelled'))),
  CHECK (status <> 'paused' OR paused_from IS NOT NULL)
) WITH (fillfactor = 70);

CREATE INDEX goals_listed ON goals (tenant_id, created_at DESC, id DESC);
CREATE INDEX goals_of_session ON goals (tenant_id, session_id, created_at) WHERE session_id IS NOT NULL;
-- The reconciler's view of goals: only live ones, so its cost does not grow with finished work.
CREATE INDEX goals_live ON goals (status, due_at) WHERE status IN ('queued', 'planning', 'running', 'waiting');
CREATE INDEX goals_expired_at ON goals (deadline_at) WHERE status IN ('queued', 'planning', 'running', 'waiting');
CREATE INDEX goals_claimed ON goals (lease_id) WHERE lease_id IS NOT NULL;
-- People type the beginning of an id; whatever the database's collation, this compares bytes.
CREATE INDEX goals_id_prefix ON goals (id text_pattern_ops);
CREATE INDEX goals_by_day ON goals (retention, goal_day) INCLUDE (ended_at);

CREATE TABLE tasks (
  id text PRIMARY KEY,
  tenant_id text NOT NULL REFERENCES tenants,
  goal_id text NOT NULL REFERENCES goals ON DELETE CASCADE,
  retention text NOT NULL,
  goal_day date NOT NULL,
  -- The name people and models use inside the goal: t1, t4a.
  key text NOT NULL CHECK (length(key) BETWEEN 1 AND 64),
  -- Position in the goal, counted by the goal.
  number integer NOT NULL,
  parent_id text REFERENCES tasks ON DELETE CASCADE,
  -- The task that this one descends from by splits; itself where it was planned. Idempotency keys use it.
  root_id text NOT NULL,
  text text NOT NULL CHECK (length(text) BETWEEN 1 AND 20000),
  tools jsonb NOT NULL DEFAULT '[]',
  evidence jsonb NOT NULL DEFAULT '[]',
  difficulty text NOT NULL DEFAULT 'normal',
  depth smallint NOT NULL DEFAULT 0 CHECK (depth BETWEEN 0 AND 3),
  priority smallint NOT NULL DEFAULT 0,
  status text NOT NULL CHECK (status IN
    ('pending', 'ready', 'running', 'waiting', 'reflecting', 'split', 'done', 'failed', 'abandoned', 'cancelled')),
  attempt integer NOT NULL DEFAULT 1 CHECK (attempt >= 1),
  -- How many unfinished tasks it waits for.
  blockers integer NOT NULL DEFAULT 0 CHECK (blockers >= 0),
  -- A retry goes ahead of what is pending.
  front boolean NOT NULL DEFAULT false,
  hint text,
  result text,
  reason text,
  -- Counts signals and decisions in any status (W5).
  wakes bigint NOT NULL DEFAULT 0,
  wait jsonb,
  fence bigint NOT NULL DEFAULT 0,
  lease_id text,
  expired_claims integer NOT NULL DEFAULT 0,
  steps_reserved integer NOT NULL DEFAULT 0 CHECK (steps_reserved >= 0),
  last_write text,
  dispatch integer NOT NULL DEFAULT 0,
  dispatched_at timestamptz,
  job_id text,
  due_at timestamptz NOT NULL DEFAULT now(),
  created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  ended_at timestamptz,
  UNIQUE (goal_id, key),
  CHECK (status <> 'ready' OR blockers = 0)
) WITH (fillfactor = 70);

CREATE INDEX tasks_of_goal ON tasks (goal_id, number);
-- What is due and not on a queue, in the order in which it goes out.
CREATE INDEX tasks_due ON tasks (tenant_id, front DESC, priority DESC, created_at, number)
  WHERE dispatched_at IS NULL AND status IN ('ready', 'running', 'reflecting');
-- What counts against the tenant's cap in flight, and what the reconciler looks at.
CREATE INDEX tasks_in_flight ON tasks (tenant_id, dispatched_at) WHERE dispatched_at IS NOT NULL;
CREATE INDEX tasks_claimed ON tasks (lease_id) WHERE lease_id IS NOT NULL;
CREATE INDEX tasks_of_parent ON tasks (parent_id) WHERE parent_id IS NOT NULL;

CREATE TABLE task_dependencies (
  task_id text NOT NULL REFERENCES tasks ON DELETE CASCADE,
  depends_on text NOT NULL REFERENCES tasks ON DELETE CASCADE,
  goal_id text NOT NULL REFERENCES goals ON DELETE CASCADE,
  tenant_id text NOT NULL,
  PRIMARY KEY (task_id, depends_on),
  CHECK (task_id <> depends_on)
);

CREATE INDEX task_dependencies_of ON task_dependencies (depends_on);
CREATE INDEX task_dependencies_goal ON task_dependencies (goal_id);

-- Not partitioned: a key must outlive the day it was used on.
CREATE TABLE idempotency_keys (
  tenant_id text NOT NULL REFERENCES tenants,
  key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
  request_hash text NOT NULL,
  goal_id text NOT NULL REFERENCES goals ON DELETE CASCADE,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, key)
);
