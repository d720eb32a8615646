-- apply_write in one piece again.
-- Applies one write of a claim holder. The caller holds the goal's row. Returns {outcome, why?, spent?, goal_status}.
CREATE OR REPLACE FUNCTION apply_write(w jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  g goals%ROWTYPE;
  t tasks%ROWTYPE;
  v_goal text := w ->> 'goal';
  v_task text := w ->> 'task';
  v_id text := w ->> 'id';
  v_move text := w #>> '{move,to}';
  v_end text := w #>> '{end,to}';
  v_why text;
  v_spent text;
  v_steps integer := coalesce((w #>> '{settle,steps}')::integer, 0);
  v_reserve integer := coalesce((w ->> 'reserve')::integer, 0);
  v_n integer;
  v_new text[];
BEGIN
  SELECT * INTO g FROM goals WHERE id = v_goal;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'stale', 'why', 'no such goal'); END IF;

  -- Guards (W2, W3): the same write again is a win; a stale fence changes nothing.
  IF v_task IS NULL THEN
    IF g.last_write = v_id THEN RETURN jsonb_build_object('outcome', 'won', 'goal_status', g.status); END IF;
    IF g.fence <> (w ->> 'fence')::bigint OR g.status <> 'planning' AND NOT (g.status = 'paused' AND g.paused_from = 'planning') THEN
      RETURN jsonb_build_object('outcome', 'stale', 'goal_status', g.status);
    END IF;
  ELSE
    SELECT * INTO t FROM tasks WHERE id = v_task AND goal_id = v_goal;
    IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'stale', 'why', 'no such task'); END IF;
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

  UPDATE goals SET
    step_seq = step_seq + v_n,
    file_seq = file_seq + coalesce(jsonb_array_length(w -> 'files'), 0),
    steps_used = steps_used + v_steps,
    steps_reserved = steps_reserved - least(v_steps, CASE WHEN v_task IS NULL THEN g.plan_reserved ELSE t.steps_reserved END),
    plan_reserved = CASE WHEN v_task IS NULL THEN greatest(plan_reserved - v_steps, 0) ELSE plan_reserved END,
    tokens_used = tokens_used + coalesce((w #>> '{settle,tokens}')::bigint, 0),
    cost_micro_usd = cost_micro_usd + coalesce((w #>> '{settle,cost_micro_usd}')::bigint, 0),
    cost_unknown = cost_unknown OR coalesce((w #>> '{settle,cost_unknown}')::boolean, false),
    last_write = CASE WHEN v_task IS NULL THEN v_id ELSE last_write END
    WHERE id = v_goal RETURNING * INTO g;
  IF v_task IS NOT NULL THEN
    UPDATE tasks SET last_write = v_id, steps_reserved = greatest(steps_reserved - v_steps, 0) WHERE id = v_task RETURNING * INTO t;
  END IF;

  IF v_reserve > 0 AND v_end IS NULL THEN
    v_spent := reserve_steps(v_goal, v_reserve, CASE WHEN v_task IS NULL THEN g.plan_reserved ELSE t.steps_reserved END);
    IF v_spent IS NULL THEN
      IF v_task IS NULL THEN UPDATE goals SET plan_reserved = plan_reserved + v_reserve WHERE id = v_goal RETURNING * INTO g;
      ELSE UPDATE tasks SET steps_reserved = steps_reserved + v_reserve WHERE id = v_task RETURNING * INTO t; END IF;
    END IF;
  END IF;

  PERFORM append_events(v_goal, w -> 'events');

  -- Moves of the task.
  IF v_move IS NOT NULL THEN
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
        SELECT d.task_id, n, v_goal, g.tenant_id FROM task_dependencies d, unnest(v_new) n WHERE d.depends_on = v_task;
      UPDATE tasks SET blockers = blockers - 1 + cardinality(v_new) WHERE id IN (SELECT task_id FROM task_dependencies WHERE depends_on = v_task);
      DELETE FROM task_dependencies WHERE depends_on = v_task;
      UPDATE goals SET live_tasks = live_tasks - 1, plan_wanted = plan_wanted + 1 WHERE id = v_goal;
    END IF;
    -- Nothing left to do: the planner says what now.
    UPDATE goals SET plan_wanted = plan_wanted + 1 WHERE id = v_goal AND live_tasks = 0 AND plan_wanted = 0;
  END IF;

  -- Moves of the goal.
  IF v_task IS NULL THEN
    IF w ? 'plan' OR v_end IS NOT NULL OR w ? 'release' THEN
      UPDATE goals SET lease_id = NULL, dispatched_at = NULL, expired_claims = 0,
        due_at = CASE WHEN due_at = 'infinity' THEN due_at
          ELSE clock_timestamp() + make_interval(secs => coalesce((w #>> '{release,due_in_ms}')::float8, 0) / 1000) END,
        steps_reserved = steps_reserved - plan_reserved, plan_reserved = 0 WHERE id = v_goal;
    END IF;
    IF w ? 'plan' THEN
      IF jsonb_array_length(w #> '{plan,tasks}') > 0 THEN
        v_why := insert_tasks(v_goal, w #> '{plan,tasks}');
        -- Undone by the caller: a plan is accepted whole or not at all.
        IF v_why IS NOT NULL THEN RAISE EXCEPTION 'plan: %', v_why USING ERRCODE = 'data_exception', HINT = 'refused'; END IF;
      END IF;
      UPDATE goals SET status = 'running', plan_round = plan_round + 1, done_since_plan = 0,
        plan_wanted = greatest(plan_wanted - (w #>> '{plan,read}')::integer, 0) WHERE id = v_goal;
      UPDATE goals SET plan_wanted = 1 WHERE id = v_goal AND live_tasks = 0 AND plan_wanted = 0;
    ELSIF v_end IS NOT NULL THEN
      UPDATE tasks SET status = 'cancelled', reason = 'goal_ended', lease_id = NULL, dispatched_at = NULL, fence = fence + 1,
        steps_reserved = 0, ended_at = clock_timestamp()
        WHERE goal_id = v_goal AND status IN ('pending', 'ready', 'running', 'waiting', 'reflecting');
      UPDATE goals SET status = v_end, reason = w #>> '{end,reason}', detail = w #>> '{end,detail}', answer = w #>> '{end,answer}',
        citations = w #> '{end,citations}', ended_at = clock_timestamp(), live_tasks = 0, plan_wanted = 0, steps_reserved = 0,
        plan_round = plan_round + 1 WHERE id = v_goal;
      PERFORM append_events(v_goal, jsonb_build_array(jsonb_build_object('type', 'goal.' || v_end, 'data', w -> 'end')));
    END IF;
  END IF;

  SELECT status INTO g.status FROM goals WHERE id = v_goal;
  RETURN jsonb_strip_nulls(jsonb_build_object('outcome', 'won', 'spent', v_spent, 'goal_status', g.status));
END $$;

DROP FUNCTION move_goal(jsonb);
DROP FUNCTION move_task(jsonb);
DROP FUNCTION settle_write(jsonb, integer);
DROP FUNCTION journal_write(jsonb, goals);
DROP FUNCTION guard_write(jsonb, goals, tasks);
