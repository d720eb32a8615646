-- Without waits, signals and effects. A task that waits stays so until it is signalled by its id, as before.

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
  IF v_move = 'waiting' AND t.wakes <> (w #>> '{move,wakes}')::bigint THEN
    RETURN jsonb_build_object('outcome', 'refused', 'why', 'woken', 'goal_status', g.status);
  END IF;
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
    FROM jsonb_array_elements(w -> 'steps') WITH ORDINALITY s;
  GET DIAGNOSTICS v_n = ROW_COUNT;

  -- Stored effects ride in the same transaction as their journal entry, so they happen exactly once (W10).
  INSERT INTO artifacts (retention, goal_day, tenant_id, goal_id, version, path, mode, origin, bytes, hash, task_id)
    SELECT g.retention, g.goal_day, g.tenant_id, v_goal, g.file_seq + f.ordinality, f.value ->> 'path', f.value ->> 'mode', 'written',
      decode(f.value ->> 'base64', 'base64'), f.value ->> 'hash', v_task
    FROM jsonb_array_elements(w -> 'files') WITH ORDINALITY f;
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
      wait = CASE WHEN v_move = 'waiting' THEN w #> '{move,wait}' END,
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

  SELECT status INTO g.status FROM goals WHERE id = g.id;
  RETURN jsonb_strip_nulls(jsonb_build_object('outcome', 'won', 'spent', spent, 'goal_status', g.status));
END $$;

-- What slept is not charged for it.
UPDATE goals SET deadline_at = deadline_at + (clock_timestamp() - asleep_at) WHERE asleep_at IS NOT NULL;

DROP FUNCTION fire_due_waits(integer);
DROP FUNCTION wake_tasks(text, text[]);
DROP FUNCTION match_signals(text);
DROP FUNCTION open_waits(text, integer);
DROP FUNCTION settle_sleep(text);
DROP TRIGGER tasks_waiting ON tasks;
DROP FUNCTION follow_waiting_task();
DROP TABLE effects;
DROP TABLE signals;
DROP TABLE waits;
ALTER TABLE goals DROP COLUMN waiting_tasks, DROP COLUMN asleep_at, DROP COLUMN signal_seq;
