-- History (W11): the journal, what it says once by hash, events and files, partitioned by (retention, goal_day) so that
-- a day is dropped at once when all its goals have ended long enough ago. No foreign keys to goals: each would lock the
-- goal's row once a row written. Everything here is written under the goal's lock by somebody who holds its claim.
-- Locks: none on existing tables. Old workers: there are none.

CREATE TABLE steps (
  retention text NOT NULL,
  goal_day date NOT NULL,
  tenant_id text NOT NULL,
  goal_id text NOT NULL,
  -- The task, or the goal itself for steps of its planner.
  subject_id text NOT NULL,
  -- The try at a task; for the planner its round, 0 being intake.
  attempt integer NOT NULL,
  -- Position in the attempt; tool calls take theirs from the model's reply, not from the order of completion.
  seq integer NOT NULL,
  phase text NOT NULL CHECK (phase IN ('intent', 'result')),
  stage text NOT NULL CHECK (stage IN ('intake', 'plan', 'execute', 'reflect')),
  kind text NOT NULL CHECK (kind IN ('model', 'tool')),
  name text NOT NULL,
  -- Order in the goal's story.
  number bigint NOT NULL,
  input jsonb NOT NULL,
  output jsonb,
  ok boolean NOT NULL,
  request_hash text,
  input_tokens integer NOT NULL DEFAULT 0,
  cached_input_tokens integer NOT NULL DEFAULT 0,
  output_tokens integer NOT NULL DEFAULT 0,
  reasoning_tokens integer NOT NULL DEFAULT 0,
  cost_micro_usd bigint,
  duration_ms integer NOT NULL DEFAULT 0,
  fence bigint NOT NULL,
  write_id text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (retention, goal_day, subject_id, attempt, seq, phase)
) PARTITION BY RANGE (retention, goal_day);
CREATE INDEX steps_of_goal ON steps (goal_id, number);

-- Parts of prompts, tool schemas and long results of one goal, each kept once.
CREATE TABLE blobs (
  retention text NOT NULL,
  goal_day date NOT NULL,
  tenant_id text NOT NULL,
  goal_id text NOT NULL,
  hash text NOT NULL,
  body text NOT NULL,
  PRIMARY KEY (retention, goal_day, goal_id, hash)
) PARTITION BY RANGE (retention, goal_day);

CREATE TABLE events (
  retention text NOT NULL,
  goal_day date NOT NULL,
  tenant_id text NOT NULL,
  goal_id text NOT NULL,
  seq bigint NOT NULL,
  type text NOT NULL,
  task_id text,
  data jsonb NOT NULL DEFAULT '{}',
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (retention, goal_day, goal_id, seq)
) PARTITION BY RANGE (retention, goal_day);

-- A file is its last 'write' and every 'append' after it, in the order of the goal's counter (W10).
CREATE TABLE artifacts (
  retention text NOT NULL,
  goal_day date NOT NULL,
  tenant_id text NOT NULL,
  goal_id text NOT NULL,
  version bigint NOT NULL,
  path text NOT NULL CHECK (length(path) BETWEEN 1 AND 512),
  mode text NOT NULL CHECK (mode IN ('write', 'append')),
  origin text NOT NULL CHECK (origin IN ('attached', 'written')),
  bytes bytea NOT NULL,
  hash text NOT NULL,
  task_id text,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (retention, goal_day, goal_id, version)
) PARTITION BY RANGE (retention, goal_day);
CREATE INDEX artifacts_of_path ON artifacts (goal_id, path, version);

-- Partitions are made ahead; what falls outside them lands here rather than failing.
CREATE TABLE steps_default PARTITION OF steps DEFAULT;
CREATE TABLE blobs_default PARTITION OF blobs DEFAULT;
CREATE TABLE events_default PARTITION OF events DEFAULT;
CREATE TABLE artifacts_default PARTITION OF artifacts DEFAULT;

-- Makes one day's partitions of one retention class. Safe to repeat and to race: the loser of a race sees them exist.
CREATE FUNCTION ensure_history_partition(p_retention text, p_day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  parent text;
  child text;
BEGIN
  FOREACH parent IN ARRAY ARRAY['steps', 'blobs', 'events', 'artifacts'] LOOP
    child := format('%s_%s_%s', parent, p_retention, to_char(p_day, 'YYYYMMDD'));
    IF to_regclass(child) IS NULL THEN
      BEGIN
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L, %L) TO (%L, %L)',
          child, parent, p_retention, p_day, p_retention, p_day + 1);
      EXCEPTION
        -- Somebody else made it meanwhile, or rows of that day already stand in the default partition and stay there.
        WHEN duplicate_table OR check_violation THEN NULL;
      END;
    END IF;
  END LOOP;
END $$;

-- Drops a day of history when no goal of it is live and all ended before p_before; says whether it did.
CREATE FUNCTION drop_history_partition(p_retention text, p_day date, p_before timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  parent text;
BEGIN
  IF EXISTS (SELECT FROM goals WHERE retention = p_retention AND goal_day = p_day AND (ended_at IS NULL OR ended_at >= p_before)) THEN
    RETURN false;
  END IF;
  FOREACH parent IN ARRAY ARRAY['steps', 'blobs', 'events', 'artifacts'] LOOP
    EXECUTE format('DROP TABLE IF EXISTS %I', format('%s_%s_%s', parent, p_retention, to_char(p_day, 'YYYYMMDD')));
    EXECUTE format('DELETE FROM %I WHERE retention = %L AND goal_day = %L', parent, p_retention, p_day);
  END LOOP;
  DELETE FROM goals WHERE retention = p_retention AND goal_day = p_day;
  RETURN true;
END $$;

-- System prompts and tool schemas: few, shared by all goals, kept for ever.
CREATE TABLE prompts (
  hash text PRIMARY KEY,
  body text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
