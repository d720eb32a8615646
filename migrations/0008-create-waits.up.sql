-- What tasks wait for (approvals, signals, timers, a person's word on an unknown outcome), the signals themselves, and the one
-- row per external call by which it is never silently repeated. A goal all of whose work sleeps spends no wall clock.
-- Locks: ACCESS EXCLUSIVE on goals and tasks for an instant (columns with constant defaults, a trigger). Old workers survive it: they
-- neither wait nor ask, and know no tool that reaches out; what they wake or cancel is counted by the trigger.

ALTER TABLE goals
  ADD COLUMN waiting_tasks integer NOT NULL DEFAULT 0,
  -- Since when everything that is live in it waits; its wall clock stands still.
  ADD COLUMN asleep_at timestamptz,
  ADD COLUMN signal_seq bigint NOT NULL DEFAULT 0;

CREATE TABLE waits (
  id text PRIMARY KEY,
  tenant_id text NOT NULL REFERENCES tenants,
  goal_id text NOT NULL REFERENCES goals ON DELETE CASCADE,
  task_id text NOT NULL REFERENCES tasks ON DELETE CASCADE,
  attempt integer NOT NULL,
  -- The tool call that waits, by its position in the attempt.
  seq integer NOT NULL,
  kind text NOT NULL CHECK (kind IN ('timer', 'signal', 'approval', 'outcome')),
  -- The signal's name, the tool's name, or what a timer is for.
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  -- What a person decides about: {tool, version, args, …}.
  subject jsonb NOT NULL DEFAULT '{}',
  -- Of exactly what will run when it is approved.
  hash text,
  status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'resolved', 'withdrawn')),
  -- When a timer fires, and when any other wait ends without an answer.
  deadline_at timestamptz NOT NULL CHECK (isfinite(deadline_at)),
  on_deadline text NOT NULL CHECK (on_deadline IN ('continue', 'reject', 'fail')),
  resolution jsonb,
  signal_number bigint,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  resolved_at timestamptz,
  CHECK ((status = 'resolved') = (resolution IS NOT NULL))
);
CREATE UNIQUE INDEX waits_open_of_call ON waits (task_id, attempt, seq) WHERE status = 'open';
CREATE INDEX waits_of_task ON waits (task_id, attempt, seq);
-- What is due: read every second by every process, and never grows with what was decided.
CREATE INDEX waits_due ON waits (deadline_at) WHERE status = 'open';
CREATE INDEX waits_for_signals ON waits (goal_id, name) WHERE status = 'open' AND kind = 'signal';
CREATE INDEX waits_listed ON waits (tenant_id, created_at DESC, id DESC) WHERE kind IN ('approval', 'outcome');
CREATE INDEX waits_undecided ON waits (tenant_id, created_at DESC, id DESC) WHERE kind IN ('approval', 'outcome') AND status = 'open';
CREATE INDEX waits_of_goal ON waits (goal_id);

-- What was said to a goal, in order. Each attempt at a task reads those of a name from the first on.
CREATE TABLE signals (
  tenant_id text NOT NULL REFERENCES tenants,
  goal_id text NOT NULL REFERENCES goals ON DELETE CASCADE,
  number bigint NOT NULL,
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  -- Meant for one task; else for all.
  task_id text REFERENCES tasks ON DELETE CASCADE,
  payload jsonb,
  -- The sender's own key: sent again, it is the same signal.
  key text CHECK (length(key) BETWEEN 1 AND 255),
  sent_by text,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (goal_id, number)
);
CREATE UNIQUE INDEX signals_by_key ON signals (goal_id, key) WHERE key IS NOT NULL;
CREATE INDEX signals_by_name ON signals (goal_id, name, number);

-- An external call of a goal: root task, tool, canonical arguments and nth occurrence make its key, so a later attempt or a split
-- finds it again.
CREATE TABLE effects (
  tenant_id text NOT NULL REFERENCES tenants,
  goal_id text NOT NULL REFERENCES goals ON DELETE CASCADE,
  key text NOT NULL,
  -- What the receiver is given: of the arguments that run, which a person may have edited.
  send_key text NOT NULL,
  root_id text NOT NULL,
  task_id text NOT NULL,
  attempt integer NOT NULL,
  seq integer NOT NULL,
  tool text NOT NULL,
  version text NOT NULL,
  args jsonb NOT NULL,
  -- intended: it may or may not have happened; failed: it did not; unknown: a person was told that nobody knows.
  status text NOT NULL CHECK (status IN ('intended', 'done', 'failed', 'unknown')),
  -- Counts owners.
  turn integer NOT NULL DEFAULT 1,
  result jsonb,
  fence bigint NOT NULL,
  intended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at timestamptz,
  PRIMARY KEY (goal_id, key)
);
CREATE INDEX effects_by_send_key ON effects (goal_id, send_key);

GRANT SELECT, UPDATE ON waits TO outerloop_api;
GRANT SELECT, INSERT ON signals TO outerloop_api;
GRANT SELECT ON effects TO outerloop_api;
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['waits', 'signals', 'effects'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY own_tenant ON %I TO outerloop_api USING (tenant_id = api_tenant()) WITH CHECK (tenant_id = api_tenant())', name);
  END LOOP;
END $$;

-- Counts sleepers, and takes back what is asked for an attempt that goes on no further.
CREATE FUNCTION follow_waiting_task() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.status = 'waiting' THEN
    UPDATE goals SET waiting_tasks = waiting_tasks + 1 WHERE id = NEW.goal_id;
  ELSIF OLD.status = 'waiting' THEN
    UPDATE goals SET waiting_tasks = waiting_tasks - 1 WHERE id = NEW.goal_id;
  END IF;
  IF NEW.status IN ('reflecting', 'failed', 'cancelled') THEN
    UPDATE waits SET status = 'withdrawn', resolved_at = clock_timestamp() WHERE task_id = NEW.id AND status = 'open';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER tasks_waiting AFTER UPDATE OF status ON tasks FOR EACH ROW
  WHEN (OLD.status <> NEW.status AND (OLD.status = 'waiting' OR NEW.status IN ('waiting', 'reflecting', 'failed', 'cancelled')))
  EXECUTE FUNCTION follow_waiting_task();

-- Stops the wall clock of a goal while all its work waits, and lets it go on after. The caller holds the goal's row.
CREATE FUNCTION settle_sleep(p_goal text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  g goals%ROWTYPE;
  asleep boolean;
BEGIN
  SELECT * INTO g FROM goals WHERE id = p_goal;
  IF g.waiting_tasks = 0 AND g.asleep_at IS NULL THEN RETURN; END IF;
  asleep := g.waiting_tasks > 0 AND g.status = 'running' AND g.plan_wanted = 0 AND g.exhausted IS NULL
    AND NOT EXISTS (SELECT FROM tasks WHERE goal_id = p_goal AND status IN ('ready', 'running', 'reflecting'));
  IF asleep AND g.asleep_at IS NULL THEN
    UPDATE goals SET asleep_at = clock_timestamp() WHERE id = p_goal;
  ELSIF NOT asleep AND g.asleep_at IS NOT NULL THEN
    UPDATE goals SET deadline_at = deadline_at + (clock_timestamp() - asleep_at), asleep_at = NULL WHERE id = p_goal;
  END IF;
END $$;

-- What a task waits for, as people see it.
CREATE FUNCTION open_waits(p_task text, p_attempt integer) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT coalesce(jsonb_agg(jsonb_build_object('id', id, 'kind', kind, 'name', name, 'seq', seq, 'deadline_at', deadline_at) ORDER BY seq), '[]')
  FROM waits WHERE task_id = p_task AND attempt = p_attempt AND status = 'open'
$$;

-- Gives open waits their signals, each the first that its attempt has not read; returns the tasks whose waits ended.
-- The caller holds the goal's row.
CREATE FUNCTION match_signals(p_goal text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
  waiting waits%ROWTYPE;
  s signals%ROWTYPE;
  woken text[] := '{}';
BEGIN
  FOR waiting IN SELECT * FROM waits WHERE goal_id = p_goal AND status = 'open' AND kind = 'signal' ORDER BY created_at, seq LOOP
    SELECT * INTO s FROM signals WHERE goal_id = p_goal AND name = waiting.name AND (task_id IS NULL OR task_id = waiting.task_id)
      AND number > coalesce((SELECT max(signal_number) FROM waits WHERE task_id = waiting.task_id AND attempt = waiting.attempt AND name = waiting.name), 0)
      ORDER BY number LIMIT 1;
    IF FOUND THEN
      UPDATE waits SET status = 'resolved', signal_number = s.number, resolved_at = clock_timestamp(),
        resolution = jsonb_build_object('by', 'signal', 'payload', s.payload, 'at', s.at) WHERE id = waiting.id;
      woken := woken || waiting.task_id;
    END IF;
  END LOOP;
  RETURN woken;
END $$;

-- Tells tasks that something they may wait for has come: counted in any live status (W5), and who sleeps goes on. Returns how many
-- woke. The caller holds the goal's row.
CREATE FUNCTION wake_tasks(p_goal text, p_tasks text[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  n integer;
BEGIN
  UPDATE tasks SET wakes = wakes + 1
    WHERE id = ANY (p_tasks) AND goal_id = p_goal AND status IN ('pending', 'ready', 'running', 'waiting', 'reflecting');
  UPDATE tasks SET status = 'running', wait = NULL, dispatched_at = NULL,
    due_at = CASE WHEN due_at = 'infinity' THEN due_at ELSE clock_timestamp() END
    WHERE id = ANY (p_tasks) AND goal_id = p_goal AND status = 'waiting';
  GET DIAGNOSTICS n = ROW_COUNT;
  PERFORM settle_sleep(p_goal);
  RETURN n;
END $$;

-- Ends waits whose time has come, at most p_limit; a goal that somebody else is at is left for the next look. Returns
-- {fired, next_ms?, events: {goal: seq}}: next_ms is when the next one is due.
CREATE FUNCTION fire_due_waits(p_limit integer) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_goal text;
  -- A value, so that the index on deadlines serves the comparison.
  v_now timestamptz := clock_timestamp();
  fired integer := 0;
  newest jsonb := '{}';
  due waits[];
BEGIN
  FOR v_goal IN
    SELECT DISTINCT goal_id FROM (
      SELECT goal_id FROM waits WHERE status = 'open' AND deadline_at <= v_now ORDER BY deadline_at LIMIT p_limit) x
  LOOP
    PERFORM FROM goals WHERE id = v_goal FOR NO KEY UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND;
    WITH ended AS (
      UPDATE waits SET status = 'resolved', resolved_at = clock_timestamp(), resolution = jsonb_build_object('by', 'deadline')
      WHERE goal_id = v_goal AND status = 'open' AND deadline_at <= v_now
      RETURNING waits.*
    ) SELECT array_agg(ended::waits ORDER BY seq) INTO due FROM ended;
    CONTINUE WHEN due IS NULL;
    fired := fired + cardinality(due);
    PERFORM append_events(v_goal, (
      SELECT jsonb_agg(jsonb_build_object('type', 'approval.decided', 'task', d.task_id, 'data', jsonb_build_object('id', d.id, 'tool', d.name, 'decision', 'expired')))
      FROM unnest(due) d WHERE d.kind IN ('approval', 'outcome')));
    PERFORM wake_tasks(v_goal, ARRAY(SELECT d.task_id FROM unnest(due) d));
    newest := newest || jsonb_build_object(v_goal, (SELECT event_seq FROM goals WHERE id = v_goal));
  END LOOP;
  RETURN jsonb_strip_nulls(jsonb_build_object('fired', fired, 'events', newest,
    'next_ms', (SELECT extract(epoch FROM deadline_at - clock_timestamp()) * 1000 FROM waits WHERE status = 'open' ORDER BY deadline_at LIMIT 1)));
END $$;

CREATE OR REPLACE FUNCTION guard_write(w jsonb, g goals, t tasks) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_goal text := w ->> 'goal';
  v_task text := w ->> 'task';
  v_id text := w ->> 'id';
  v_move text := w #>> '{move,to}';
  v_end text := w #>> '{end,to}';
BEGIN
  -- Guards (W2, W3): the same write again is a win; a stale fence changes nothing.
  IF v_task IS NULL THEN
    IF g.last_write = v_id THEN RETURN jsonb_build_object('outcome', 'won', 'goal_status', g.status); END IF;
    IF g.fence <> (w ->> 'fence')::bigint OR g.status <> 'planning' AND NOT (g.status = 'paused' AND g.paused_from = 'planning') THEN
      RETURN jsonb_build_object('outcome', 'stale', 'goal_status', g.status);
    END IF;
  ELSE
    IF t.id IS NULL THEN RETURN jsonb_build_object('outcome', 'stale', 'why', 'no such task'); END IF;
    IF t.last_write = v_id THEN RETURN jsonb_build_object('outcome', 'won', 'goal_status', g.status); END IF;
    IF t.fence <> (w ->> 'fence')::bigint OR t.lease_id IS NULL OR t.status NOT IN ('running', 'reflecting') THEN
      RETURN jsonb_build_object('outcome', 'stale', 'goal_status', g.status);
    END IF;
  END IF;
  IF EXISTS (
    SELECT FROM jsonb_array_elements(w -> 'steps') s JOIN steps j ON j.retention = g.retention AND j.goal_day = g.goal_day
      AND j.subject_id = coalesce(v_task, v_goal) AND j.attempt = (s.value ->> 'attempt')::integer
      AND j.seq = (s.value ->> 'seq')::integer AND j.phase = s.value ->> 'phase'
    WHERE j.write_id = v_id)
  THEN RETURN jsonb_build_object('outcome', 'won', 'goal_status', g.status); END IF;

  -- What a guard refuses before anything is written.
  IF v_task IS NULL AND v_end IS NOT NULL AND g.exhausted IS NULL AND g.live_tasks > 0
    AND NOT coalesce((w #>> '{end,force}')::boolean, false) THEN
    RETURN jsonb_build_object('outcome', 'refused', 'why', 'tasks are live', 'goal_status', g.status);
  END IF;
  IF v_task IS NULL AND (v_end IS NOT NULL OR w ? 'plan') AND g.status = 'paused' THEN
    RETURN jsonb_build_object('outcome', 'refused', 'why', 'paused', 'goal_status', g.status);
  END IF;
  -- It sleeps only on something that is still open, and only if nothing came since it looked (W5).
  IF v_move = 'waiting' AND (t.wakes <> (w #>> '{move,wakes}')::bigint
    OR NOT EXISTS (SELECT FROM waits WHERE task_id = v_task AND attempt = t.attempt AND status = 'open')) THEN
    RETURN jsonb_build_object('outcome', 'refused', 'why', 'woken', 'goal_status', g.status);
  END IF;
  -- Each external call has one owner at a time: taking it over names the turn that was seen.
  IF EXISTS (
    SELECT FROM jsonb_array_elements(w -> 'effects') i JOIN effects e ON e.goal_id = v_goal AND e.key = i.value ->> 'key'
    WHERE i.value ->> 'status' = 'intended' AND (e.status = 'done' OR e.status <> 'failed' AND e.turn IS DISTINCT FROM (i.value ->> 'turn')::integer))
    -- A person may have edited one call into what another is: the receiver is given one key once.
    OR EXISTS (
    SELECT FROM jsonb_array_elements(w -> 'effects') i JOIN effects e ON e.goal_id = v_goal AND e.key <> i.value ->> 'key' AND e.status <> 'failed'
      AND (e.key = i.value ->> 'send_key' OR e.send_key = i.value ->> 'send_key')
    WHERE i.value ->> 'status' = 'intended')
  THEN RETURN jsonb_build_object('outcome', 'refused', 'why', 'effect', 'goal_status', g.status); END IF;
  -- A pause starts nothing that reaches out; what was intended before may finish.
  IF g.status = 'paused' AND EXISTS (SELECT FROM jsonb_array_elements(w -> 'effects') i WHERE i.value ->> 'status' = 'intended')
  THEN RETURN jsonb_build_object('outcome', 'refused', 'why', 'paused', 'goal_status', g.status); END IF;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION journal_write(w jsonb, g goals) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_goal text := w ->> 'goal';
  v_task text := w ->> 'task';
  v_id text := w ->> 'id';
  v_n integer;
BEGIN
  -- Journal: first what is said once by hash, then the steps.
  INSERT INTO prompts (hash, body) SELECT b.value ->> 'hash', b.value ->> 'body' FROM jsonb_array_elements(w -> 'prompts') b ON CONFLICT DO NOTHING;
  INSERT INTO blobs (retention, goal_day, tenant_id, goal_id, hash, body)
    SELECT g.retention, g.goal_day, g.tenant_id, v_goal, b.value ->> 'hash', b.value ->> 'body'
    FROM jsonb_array_elements(w -> 'blobs') b ON CONFLICT DO NOTHING;
  INSERT INTO steps (retention, goal_day, tenant_id, goal_id, subject_id, attempt, seq, phase, stage, kind, name, number, input, output, ok,
      request_hash, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cost_micro_usd, duration_ms, fence, write_id)
    SELECT g.retention, g.goal_day, g.tenant_id, v_goal, coalesce(v_task, v_goal), (s.value ->> 'attempt')::integer, (s.value ->> 'seq')::integer,
      s.value ->> 'phase', s.value ->> 'stage', s.value ->> 'kind', s.value ->> 'name', g.step_seq + s.ordinality, coalesce(s.value -> 'input', '{}'),
      s.value -> 'output', (s.value ->> 'ok')::boolean, s.value ->> 'request_hash', coalesce((s.value ->> 'input_tokens')::integer, 0),
      coalesce((s.value ->> 'cached_input_tokens')::integer, 0), coalesce((s.value ->> 'output_tokens')::integer, 0),
      coalesce((s.value ->> 'reasoning_tokens')::integer, 0), (s.value ->> 'cost_micro_usd')::bigint,
      coalesce((s.value ->> 'duration_ms')::integer, 0), (w ->> 'fence')::bigint, v_id
    FROM jsonb_array_elements(w -> 'steps') WITH ORDINALITY s
    -- An external call that is sent again has its intent in the journal already.
    WHERE s.value ->> 'phase' = 'result' OR NOT w ? 'effects' OR NOT EXISTS (SELECT FROM steps i WHERE i.retention = g.retention AND i.goal_day = g.goal_day
      AND i.subject_id = coalesce(v_task, v_goal) AND i.attempt = (s.value ->> 'attempt')::integer AND i.seq = (s.value ->> 'seq')::integer AND i.phase = 'intent');
  GET DIAGNOSTICS v_n = ROW_COUNT;

  -- Stored effects ride in the same transaction as their journal entry, so they happen exactly once (W10).
  INSERT INTO artifacts (retention, goal_day, tenant_id, goal_id, version, path, mode, origin, bytes, hash, task_id)
    SELECT g.retention, g.goal_day, g.tenant_id, v_goal, g.file_seq + f.ordinality, f.value ->> 'path', f.value ->> 'mode', 'written',
      decode(f.value ->> 'base64', 'base64'), f.value ->> 'hash', v_task
    FROM jsonb_array_elements(w -> 'files') WITH ORDINALITY f;
  IF w ? 'waits' THEN
    INSERT INTO waits (id, tenant_id, goal_id, task_id, attempt, seq, kind, name, subject, hash, deadline_at, on_deadline)
      SELECT i.value ->> 'id', g.tenant_id, v_goal, v_task, (i.value ->> 'attempt')::integer, (i.value ->> 'seq')::integer,
        i.value ->> 'kind', i.value ->> 'name', coalesce(i.value -> 'subject', '{}'), i.value ->> 'hash',
        coalesce((i.value ->> 'until')::timestamptz, clock_timestamp() + make_interval(secs => (i.value ->> 'for_ms')::float8 / 1000)),
        i.value ->> 'on_deadline'
      FROM jsonb_array_elements(w -> 'waits') i;
    -- A signal that came early is there already.
    UPDATE tasks SET wakes = wakes + 1 WHERE id = ANY (match_signals(v_goal)) AND id = v_task;
  END IF;
  IF w ? 'effects' THEN
    INSERT INTO effects (tenant_id, goal_id, key, send_key, root_id, task_id, attempt, seq, tool, version, args, status, fence)
      SELECT g.tenant_id, v_goal, i.value ->> 'key', i.value ->> 'send_key', i.value ->> 'root', v_task, (i.value ->> 'attempt')::integer,
        (i.value ->> 'seq')::integer, i.value ->> 'tool', i.value ->> 'version', i.value -> 'args', 'intended', (w ->> 'fence')::bigint
      FROM jsonb_array_elements(w -> 'effects') i WHERE i.value ->> 'status' = 'intended'
      ON CONFLICT (goal_id, key) DO UPDATE SET send_key = excluded.send_key, task_id = excluded.task_id, attempt = excluded.attempt,
        seq = excluded.seq, version = excluded.version, args = excluded.args, status = 'intended', fence = excluded.fence,
        turn = effects.turn + 1, result = NULL, intended_at = clock_timestamp(), ended_at = NULL;
    UPDATE effects SET status = i.value ->> 'status', result = i.value -> 'result', ended_at = clock_timestamp()
      FROM jsonb_array_elements(w -> 'effects') i
      WHERE i.value ->> 'status' <> 'intended' AND effects.goal_id = v_goal AND effects.key = i.value ->> 'key';
  END IF;
  -- A write without memories takes no lock on their table: an index being built there holds up no other work.
  IF jsonb_array_length(coalesce(w -> 'memory', '[]')) > 0 THEN
    INSERT INTO memory_entries (id, tenant_id, session_id, goal_id, task_id, kind, text, embedding, embedding_model)
      SELECT m.value ->> 'id', g.tenant_id, g.session_id, v_goal, v_task, m.value ->> 'kind', m.value ->> 'text',
        (m.value ->> 'embedding')::vector, m.value ->> 'embedding_model'
      FROM jsonb_array_elements(w -> 'memory') m;
  END IF;
  RETURN v_n;
END $$;

CREATE OR REPLACE FUNCTION move_task(w jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  t tasks%ROWTYPE;
  v_goal text := w ->> 'goal';
  v_task text := w ->> 'task';
  v_move text := w #>> '{move,to}';
  v_why text;
  v_n integer;
  v_new text[];
BEGIN
  SELECT * INTO t FROM tasks WHERE id = v_task;
  -- What it had reserved and did not use goes back, but for what it reserves on the way to its reflection.
  IF v_move NOT IN ('reflecting') AND t.steps_reserved > 0 THEN
    UPDATE goals SET steps_reserved = steps_reserved - t.steps_reserved WHERE id = v_goal;
    UPDATE tasks SET steps_reserved = 0 WHERE id = v_task;
  END IF;
  IF v_move = 'released' THEN
    -- Handing back is no move: whoever is next goes on in the same attempt.
    UPDATE tasks SET lease_id = NULL, dispatched_at = NULL,
      due_at = CASE WHEN due_at = 'infinity' THEN due_at
        ELSE clock_timestamp() + make_interval(secs => coalesce((w #>> '{move,due_in_ms}')::float8, 0) / 1000) END
      WHERE id = v_task;
  ELSE
    UPDATE tasks SET
      status = v_move,
      lease_id = NULL,
      dispatched_at = NULL,
      due_at = CASE
        WHEN due_at = 'infinity' AND v_move IN ('reflecting', 'ready', 'waiting') THEN due_at
        ELSE clock_timestamp() END,
      attempt = attempt + CASE WHEN v_move = 'ready' THEN 1 ELSE 0 END,
      front = front OR v_move = 'ready',
      expired_claims = CASE WHEN v_move IN ('ready', 'reflecting') THEN 0 ELSE expired_claims END,
      result = CASE WHEN w -> 'move' ? 'result' THEN w #>> '{move,result}' ELSE result END,
      hint = CASE WHEN w -> 'move' ? 'hint' THEN w #>> '{move,hint}' ELSE hint END,
      reason = CASE WHEN w -> 'move' ? 'reason' THEN w #>> '{move,reason}' ELSE reason END,
      wait = CASE WHEN v_move = 'waiting' THEN open_waits(id, attempt) END,
      ended_at = CASE WHEN v_move IN ('done', 'failed', 'abandoned', 'split') THEN clock_timestamp() END
      WHERE id = v_task;
  END IF;

  IF v_move = 'done' THEN
    UPDATE tasks SET blockers = blockers - 1 WHERE id IN (SELECT task_id FROM task_dependencies WHERE depends_on = v_task);
    UPDATE tasks SET status = 'ready', due_at = CASE WHEN due_at = 'infinity' THEN due_at ELSE clock_timestamp() END
      WHERE id IN (SELECT task_id FROM task_dependencies WHERE depends_on = v_task) AND status = 'pending' AND blockers = 0;
    UPDATE goals SET live_tasks = live_tasks - 1, done_since_plan = done_since_plan + 1,
      plan_wanted = plan_wanted + CASE
        WHEN planning = 'every-step' OR planning = 'every-n' AND done_since_plan + 1 >= planning_every THEN 1 ELSE 0 END
      WHERE id = v_goal;
  ELSIF v_move IN ('failed', 'abandoned') THEN
    v_n := cancel_dependents(v_task);
    UPDATE goals SET live_tasks = live_tasks - 1 - v_n, plan_wanted = plan_wanted + 1 WHERE id = v_goal;
  ELSIF v_move = 'split' THEN
    v_why := insert_tasks(v_goal, w -> 'tasks');
    IF v_why IS NOT NULL THEN RAISE EXCEPTION 'split of %: %', v_task, v_why USING ERRCODE = 'data_exception'; END IF;
    SELECT array_agg(value ->> 'id') INTO v_new FROM jsonb_array_elements(w -> 'tasks');
    -- Its subtasks stand in for it.
    INSERT INTO task_dependencies (task_id, depends_on, goal_id, tenant_id)
      SELECT d.task_id, n, v_goal, t.tenant_id FROM task_dependencies d, unnest(v_new) n WHERE d.depends_on = v_task;
    UPDATE tasks SET blockers = blockers - 1 + cardinality(v_new) WHERE id IN (SELECT task_id FROM task_dependencies WHERE depends_on = v_task);
    DELETE FROM task_dependencies WHERE depends_on = v_task;
    UPDATE goals SET live_tasks = live_tasks - 1, plan_wanted = plan_wanted + 1 WHERE id = v_goal;
  END IF;
  IF v_move = 'waiting' THEN
    PERFORM append_events(v_goal, jsonb_build_array(jsonb_build_object('type', 'task.waiting', 'task', v_task,
      'data', jsonb_build_object('key', t.key, 'on', open_waits(v_task, t.attempt)))));
  END IF;
  -- Nothing left to do: the planner says what now.
  UPDATE goals SET plan_wanted = plan_wanted + 1 WHERE id = v_goal AND live_tasks = 0 AND plan_wanted = 0;
END $$;

CREATE OR REPLACE FUNCTION apply_write(w jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  g goals%ROWTYPE;
  t tasks%ROWTYPE;
  refused jsonb;
  spent text;
BEGIN
  SELECT * INTO g FROM goals WHERE id = w ->> 'goal';
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'stale', 'why', 'no such goal'); END IF;
  IF w ->> 'task' IS NOT NULL THEN SELECT * INTO t FROM tasks WHERE id = w ->> 'task' AND goal_id = g.id; END IF;

  refused := guard_write(w, g, t);
  IF refused IS NOT NULL THEN RETURN refused; END IF;

  spent := settle_write(w, journal_write(w, g));
  PERFORM append_events(g.id, w -> 'events');
  IF w #>> '{move,to}' IS NOT NULL THEN PERFORM move_task(w); END IF;
  IF w ->> 'task' IS NULL THEN PERFORM move_goal(w); END IF;

  PERFORM settle_sleep(g.id);
  SELECT status INTO g.status FROM goals WHERE id = g.id;
  RETURN jsonb_strip_nulls(jsonb_build_object('outcome', 'won', 'spent', spent, 'goal_status', g.status));
END $$;
