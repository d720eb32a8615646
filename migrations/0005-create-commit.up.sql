-- The one door (W1): claims and commits of workers, and what follows from them under the goal's lock.
-- Whoever moves a goal or its tasks holds the goal's row first, in a statement of its own, so every statement after it
-- has a snapshot that saw all that came before.
-- Locks: none on existing tables. Old workers: there are none.

-- The legal moves of DESIGN §5; a test holds them equal to the tables in packages/core/src/domain.
CREATE FUNCTION check_goal_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT (CASE OLD.status
    WHEN 'queued' THEN NEW.status IN ('planning', 'paused', 'cancelled')
    WHEN 'planning' THEN NEW.status IN ('running', 'waiting', 'paused', 'succeeded', 'failed', 'abandoned', 'cancelled')
    WHEN 'running' THEN NEW.status IN ('planning', 'waiting', 'paused', 'cancelled')
    WHEN 'waiting' THEN NEW.status IN ('planning', 'running', 'paused', 'cancelled')
    WHEN 'paused' THEN NEW.status IN ('queued', 'planning', 'running', 'waiting', 'cancelled')
    WHEN 'failed' THEN NEW.status = 'running' AND OLD.reason IN ('step_budget', 'wall_budget', 'token_budget', 'cost_budget')
    ELSE false END) THEN
    RAISE EXCEPTION 'goal %: no move from % to %', OLD.id, OLD.status, NEW.status USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION check_task_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT (CASE OLD.status
    WHEN 'pending' THEN NEW.status IN ('ready', 'cancelled')
    WHEN 'ready' THEN NEW.status IN ('running', 'cancelled')
    WHEN 'running' THEN NEW.status IN ('waiting', 'reflecting', 'failed', 'cancelled')
    WHEN 'waiting' THEN NEW.status IN ('running', 'cancelled')
    WHEN 'reflecting' THEN NEW.status IN ('ready', 'split', 'done', 'failed', 'abandoned', 'cancelled')
    ELSE false END) THEN
    RAISE EXCEPTION 'task %: no move from % to %', OLD.id, OLD.status, NEW.status USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER goal_moves BEFORE UPDATE OF status ON goals FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION check_goal_move();
CREATE TRIGGER task_moves BEFORE UPDATE OF status ON tasks FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION check_task_move();

-- Whether a claim by this lease still stands, by the database's clock.
CREATE FUNCTION lease_lives(p_lease text) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT p_lease IS NOT NULL AND EXISTS (SELECT FROM leases WHERE id = p_lease AND expires_at > clock_timestamp())
$$;

-- Appends events with the goal's next numbers (W9). The caller holds the goal's row.
CREATE FUNCTION append_events(p_goal text, p_events jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  g record;
  n integer := jsonb_array_length(coalesce(p_events, '[]'));
BEGIN
  IF n = 0 THEN RETURN NULL; END IF;
  UPDATE goals SET event_seq = event_seq + n WHERE id = p_goal
    RETURNING event_seq, retention, goal_day, tenant_id INTO g;
  INSERT INTO events (retention, goal_day, tenant_id, goal_id, seq, type, task_id, data)
    SELECT g.retention, g.goal_day, g.tenant_id, p_goal, g.event_seq - n + e.ordinality, e.value ->> 'type', e.value ->> 'task',
      coalesce(e.value -> 'data', '{}')
    FROM jsonb_array_elements(p_events) WITH ORDINALITY e;
  RETURN g.event_seq;
END $$;

-- Reserves steps for what comes next, or says which budget is spent (DESIGN §6), or 'wait' where steps are left but others
-- hold them: they may give some back. p_own is what the caller holds itself. The caller holds the goal's row.
CREATE FUNCTION reserve_steps(p_goal text, p_steps integer, p_own integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  g goals%ROWTYPE;
  spent text;
BEGIN
  SELECT * INTO g FROM goals WHERE id = p_goal;
  spent := CASE
    WHEN g.exhausted IS NOT NULL THEN g.exhausted
    WHEN clock_timestamp() >= g.deadline_at THEN 'wall_budget'
    WHEN g.tokens_used >= g.budget_tokens THEN 'token_budget'
    WHEN g.budget_micro_usd IS NOT NULL AND (g.cost_unknown OR g.cost_micro_usd >= g.budget_micro_usd) THEN 'cost_budget'
    WHEN g.steps_used + g.steps_reserved + p_steps <= g.budget_steps THEN NULL
    WHEN g.steps_reserved > p_own AND g.steps_used + p_own + p_steps <= g.budget_steps THEN 'wait'
    ELSE 'step_budget'
  END;
  IF spent IS NULL THEN
    UPDATE goals SET steps_reserved = steps_reserved + p_steps WHERE id = p_goal;
  ELSIF spent <> 'wait' AND g.exhausted IS NULL THEN
    UPDATE goals SET exhausted = spent, plan_wanted = plan_wanted + 1, due_at = clock_timestamp() WHERE id = p_goal;
  END IF;
  RETURN spent;
END $$;

-- Ends every task that can never start because one of p_dead did not get done; says how many.
CREATE FUNCTION cancel_dependents(p_dead text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  t record;
  cancelled integer := 0;
BEGIN
  FOR t IN
    WITH RECURSIVE needing AS (
      SELECT task_id FROM task_dependencies WHERE depends_on = p_dead
      UNION
      SELECT d.task_id FROM task_dependencies d JOIN needing n ON d.depends_on = n.task_id
    )
    UPDATE tasks SET status = 'cancelled', reason = 'dependency_failed', ended_at = clock_timestamp()
    WHERE id IN (SELECT task_id FROM needing) AND status = 'pending'
    RETURNING id, goal_id, key
  LOOP
    cancelled := cancelled + 1;
    PERFORM append_events(t.goal_id, jsonb_build_array(jsonb_build_object('type', 'task.abandoned', 'task', t.id,
      'data', jsonb_build_object('key', t.key, 'reason', 'dependency_failed'))));
  END LOOP;
  RETURN cancelled;
END $$;

-- Inserts tasks of a plan or a split. Dependencies on a split task mean its subtasks (W6). The caller holds the goal's row.
-- Returns null, or why the tasks cannot be.
CREATE FUNCTION insert_tasks(p_goal text, p_tasks jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  g record;
  item jsonb;
  dead text;
  n integer := 0;
  free_key text;
  tries integer;
BEGIN
  SELECT retention, goal_day, tenant_id, task_seq, priority INTO g FROM goals WHERE id = p_goal;

  FOR item IN SELECT value FROM jsonb_array_elements(p_tasks) LOOP
    n := n + 1;
    -- A split may have taken the name meanwhile.
    free_key := item ->> 'key';
    tries := 1;
    WHILE EXISTS (SELECT FROM tasks WHERE goal_id = p_goal AND key = free_key) LOOP
      tries := tries + 1;
      free_key := left(item ->> 'key', 50) || '+' || tries;
    END LOOP;
    INSERT INTO tasks (id, tenant_id, goal_id, retention, goal_day, key, number, parent_id, root_id, text, tools, evidence,
      difficulty, depth, priority, front, status)
    VALUES (item ->> 'id', g.tenant_id, p_goal, g.retention, g.goal_day, free_key, g.task_seq + n, item ->> 'parent',
      coalesce(item ->> 'root', item ->> 'id'), item ->> 'text', item -> 'tools', item -> 'evidence', item ->> 'difficulty',
      (item ->> 'depth')::smallint, g.priority, coalesce((item ->> 'front')::boolean, false), 'pending');
  END LOOP;
  UPDATE goals SET task_seq = task_seq + n, live_tasks = live_tasks + n WHERE id = p_goal;

  -- A second pass, so that tasks of one plan may depend on one another in any order.
  WITH RECURSIVE wanted AS (
    SELECT i.value ->> 'id' AS task_id, d.value AS depends_on
    FROM jsonb_array_elements(p_tasks) i, jsonb_array_elements_text(i.value -> 'depends_on') d
  ), resolved AS (
    SELECT w.task_id, w.depends_on, t.status FROM wanted w JOIN tasks t ON t.id = w.depends_on AND t.goal_id = p_goal
    UNION
    SELECT r.task_id, s.id, s.status FROM resolved r JOIN tasks s ON s.parent_id = r.depends_on WHERE r.status = 'split'
  ), inserted AS (
    INSERT INTO task_dependencies (task_id, depends_on, goal_id, tenant_id)
    SELECT task_id, depends_on, p_goal, g.tenant_id FROM resolved WHERE status <> 'split' ON CONFLICT DO NOTHING
    RETURNING task_id, depends_on
  )
  UPDATE tasks SET blockers = b.n FROM (
    SELECT i.task_id, count(*) AS n FROM inserted i JOIN tasks t ON t.id = i.depends_on WHERE t.status <> 'done' GROUP BY 1
  ) b WHERE tasks.id = b.task_id;
  SELECT o.key INTO dead
  FROM jsonb_array_elements(p_tasks) i JOIN task_dependencies d ON d.task_id = i.value ->> 'id' JOIN tasks o ON o.id = d.depends_on
  WHERE o.status IN ('failed', 'abandoned', 'cancelled') LIMIT 1;
  IF dead IS NOT NULL THEN RETURN format('depends on %s, which will never be done', dead); END IF;

  UPDATE tasks SET status = 'ready', due_at = clock_timestamp()
    WHERE id IN (SELECT value ->> 'id' FROM jsonb_array_elements(p_tasks)) AND status = 'pending' AND blockers = 0;

  PERFORM append_events(p_goal, (
    SELECT jsonb_agg(jsonb_build_object('type', 'task.created', 'task', t.id, 'data', jsonb_build_object('key', t.key, 'text', t.text,
      'parent', p.key, 'depends_on', (SELECT coalesce(jsonb_agg(o.key ORDER BY o.number), '[]') FROM task_dependencies d JOIN tasks o ON o.id = d.depends_on WHERE d.task_id = t.id)))
      ORDER BY t.number)
    FROM tasks t LEFT JOIN tasks p ON p.id = t.parent_id WHERE t.id IN (SELECT value ->> 'id' FROM jsonb_array_elements(p_tasks))));
  RETURN NULL;
END $$;

-- Puts what is due and not on a queue on its way, up to p_cap in flight for the tenant (W7), and says which jobs to add:
-- [{queue, job, goal, tasks, front}]. Rows that somebody else is at are left to them.
CREATE FUNCTION dispatch_due(p_tenant text, p_cap integer, p_limit integer) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  room integer;
  jobs jsonb;
BEGIN
  SELECT p_cap - count(*) INTO room FROM (SELECT FROM tasks WHERE tenant_id = p_tenant AND dispatched_at IS NOT NULL LIMIT p_cap) x;

  WITH plans AS (
    UPDATE goals SET dispatch = dispatch + 1, dispatched_at = clock_timestamp(), job_id = id || '-p-' || (dispatch + 1)
    WHERE id IN (
      SELECT id FROM goals
      WHERE tenant_id = p_tenant AND dispatched_at IS NULL AND due_at <= clock_timestamp() AND plan_wanted > 0
        AND status IN ('queued', 'planning', 'running')
      ORDER BY priority DESC, due_at LIMIT p_limit FOR UPDATE SKIP LOCKED)
    RETURNING id, job_id
  ), chosen AS (
    SELECT t.id, t.goal_id, t.number, t.front, t.dispatch, CASE t.status WHEN 'reflecting' THEN 'reflect' ELSE 'execute' END AS queue
    FROM tasks t
    WHERE t.tenant_id = p_tenant AND t.dispatched_at IS NULL AND t.status IN ('ready', 'running', 'reflecting') AND t.due_at <= clock_timestamp()
      AND EXISTS (SELECT FROM goals g WHERE g.id = t.goal_id AND g.status IN ('planning', 'running'))
    ORDER BY t.front DESC, t.priority DESC, t.created_at, t.number LIMIT least(greatest(room, 0), p_limit) FOR UPDATE SKIP LOCKED
  ), grouped AS (
    SELECT *, (row_number() OVER (PARTITION BY goal_id, queue ORDER BY number) - 1) / 8 AS batch FROM chosen
  ), named AS (
    SELECT *, goal_id || '-' || first_value(number) OVER w || '-' || (first_value(dispatch) OVER w + 1) AS job_id
    FROM grouped WINDOW w AS (PARTITION BY goal_id, queue, batch ORDER BY number)
  ), sent AS (
    UPDATE tasks SET dispatch = tasks.dispatch + 1, dispatched_at = clock_timestamp(), job_id = named.job_id
    FROM named WHERE tasks.id = named.id
    RETURNING tasks.id, tasks.goal_id, tasks.number, named.queue, named.job_id, named.front
  )
  SELECT jsonb_agg(j) INTO jobs FROM (
    SELECT jsonb_build_object('queue', 'plan', 'job', job_id, 'goal', id, 'tasks', '[]'::jsonb, 'front', false) AS j FROM plans
    UNION ALL
    SELECT jsonb_build_object('queue', queue, 'job', job_id, 'goal', goal_id, 'tasks', jsonb_agg(id ORDER BY number), 'front', bool_or(front))
    FROM sent GROUP BY queue, job_id, goal_id
  ) all_jobs;
  RETURN coalesce(jobs, '[]');
END $$;

-- Applies one write of a claim holder. The caller holds the goal's row. Returns {outcome, why?, spent?, goal_status}.
CREATE FUNCTION apply_write(w jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
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

-- commit(batch) (W1). p_wait: wait for goals that somebody else holds instead of calling them busy.
-- Returns {writes: [{id, outcome, …}], jobs: [...], events: {goal: seq}}.
CREATE FUNCTION commit_writes(p_writes jsonb, p_wait boolean, p_cap integer) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  locked text[];
  w jsonb;
  results jsonb := '[]';
  jobs jsonb := '[]';
  tenant text;
  applied jsonb;
  hint text;
BEGIN
  -- A holder that never lets go must not hold up the waiting worker too: it is told, and sends the same write again.
  PERFORM set_config('lock_timeout', '10s', true);
  IF p_wait THEN
    SELECT array_agg(id) INTO locked FROM (
      SELECT id FROM goals WHERE id IN (SELECT value ->> 'goal' FROM jsonb_array_elements(p_writes)) ORDER BY id FOR NO KEY UPDATE) x;
  ELSE
    SELECT array_agg(id) INTO locked FROM (
      SELECT id FROM goals WHERE id IN (SELECT value ->> 'goal' FROM jsonb_array_elements(p_writes)) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED) x;
  END IF;

  FOR w IN SELECT value FROM jsonb_array_elements(p_writes) LOOP
    IF w ->> 'goal' = ANY (locked) THEN
      IF w ? 'plan' THEN
        -- The planner is told why and asks its model again; a savepoint undoes what the refused plan wrote.
        BEGIN
          applied := apply_write(w);
        EXCEPTION WHEN data_exception THEN
          GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
          IF hint IS DISTINCT FROM 'refused' THEN RAISE; END IF;
          applied := jsonb_build_object('outcome', 'refused', 'why', SQLERRM);
        END;
      ELSE
        applied := apply_write(w);
      END IF;
    ELSIF EXISTS (SELECT FROM goals WHERE id = w ->> 'goal') THEN
      applied := jsonb_build_object('outcome', 'busy');
    ELSE
      applied := jsonb_build_object('outcome', 'stale', 'why', 'no such goal');
    END IF;
    results := results || jsonb_build_array(applied || jsonb_build_object('id', w ->> 'id'));
  END LOOP;

  FOR tenant IN SELECT DISTINCT tenant_id FROM goals WHERE id = ANY (locked) ORDER BY 1 LOOP
    jobs := jobs || dispatch_due(tenant, p_cap, 64);
  END LOOP;
  RETURN jsonb_build_object('writes', results, 'jobs', jobs,
    'events', (SELECT jsonb_object_agg(id, event_seq) FROM goals WHERE id = ANY (locked)));
END $$;

-- Claims due tasks of one goal for one stage (W3): the fence goes up, the lease is named, the first step is reserved.
-- Returns {goal_status, tasks: [ids], spent?}.
CREATE FUNCTION claim_tasks(p_goal text, p_queue text, p_tasks text[], p_lease text, p_limit integer) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  g goals%ROWTYPE;
  t tasks%ROWTYPE;
  claimed text[] := '{}';
  left_over text[] := '{}';
  v_spent text;
BEGIN
  SELECT * INTO g FROM goals WHERE id = p_goal FOR NO KEY UPDATE;
  IF NOT FOUND OR g.status NOT IN ('planning', 'running') THEN
    RETURN jsonb_build_object('goal_status', coalesce(g.status, 'gone'), 'tasks', '[]'::jsonb, 'left', '[]'::jsonb);
  END IF;
  IF NOT lease_lives(p_lease) THEN RAISE EXCEPTION 'lease % has expired', p_lease USING ERRCODE = 'object_not_in_prerequisite_state'; END IF;
  FOR t IN
    SELECT * FROM tasks WHERE id = ANY (p_tasks) AND goal_id = p_goal AND due_at <= clock_timestamp()
      AND (p_queue = 'execute' AND (status = 'ready' OR status = 'running' AND NOT lease_lives(lease_id))
        OR p_queue = 'reflect' AND status = 'reflecting' AND NOT lease_lives(lease_id))
    ORDER BY front DESC, number FOR UPDATE
  LOOP
    IF cardinality(claimed) >= p_limit THEN
      left_over := left_over || t.id;
      CONTINUE;
    END IF;
    -- A crashed or waiting attempt brings its reservation along.
    IF t.steps_reserved = 0 THEN
      v_spent := reserve_steps(p_goal, 1, 0);
      IF v_spent IS NOT NULL THEN
        -- Looked at again soon: others give back what they don't use, or the planner ends the goal.
        UPDATE tasks SET dispatched_at = NULL, due_at = clock_timestamp() + interval '1 second' WHERE id = t.id;
        CONTINUE;
      END IF;
      t.steps_reserved := 1;
    END IF;
    UPDATE tasks SET
      status = CASE WHEN p_queue = 'execute' THEN 'running' ELSE status END,
      fence = fence + 1, lease_id = p_lease, steps_reserved = t.steps_reserved,
      dispatched_at = coalesce(dispatched_at, clock_timestamp()),
      expired_claims = expired_claims + CASE WHEN lease_id IS NOT NULL THEN 1 ELSE 0 END,
      started_at = coalesce(started_at, clock_timestamp())
      WHERE id = t.id;
    IF p_queue = 'execute' AND t.status = 'ready' THEN
      PERFORM append_events(p_goal, jsonb_build_array(jsonb_build_object('type', 'task.started', 'task', t.id,
        'data', jsonb_build_object('key', t.key, 'attempt', t.attempt))));
    END IF;
    claimed := claimed || t.id;
  END LOOP;
  -- Handed back: the rest goes out again at once, as a job of its own.
  UPDATE tasks SET dispatched_at = NULL WHERE id = ANY (left_over);
  RETURN jsonb_strip_nulls(jsonb_build_object('goal_status', g.status, 'tasks', to_jsonb(claimed), 'left', to_jsonb(left_over),
    'spent', v_spent, 'tenant', g.tenant_id, 'event_seq', (SELECT event_seq FROM goals WHERE id = p_goal)));
END $$;

-- Claims a goal for its planner. Returns {goal_status, claimed, spent?}; with a budget spent the claim stands, to end the goal.
CREATE FUNCTION claim_goal(p_goal text, p_lease text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  g goals%ROWTYPE;
  v_spent text;
BEGIN
  SELECT * INTO g FROM goals WHERE id = p_goal FOR NO KEY UPDATE;
  IF NOT FOUND OR g.plan_wanted = 0 OR g.status NOT IN ('queued', 'running', 'planning') OR g.status = 'planning' AND lease_lives(g.lease_id) THEN
    RETURN jsonb_build_object('goal_status', coalesce(g.status, 'gone'), 'claimed', false);
  END IF;
  IF NOT lease_lives(p_lease) THEN RAISE EXCEPTION 'lease % has expired', p_lease USING ERRCODE = 'object_not_in_prerequisite_state'; END IF;
  IF g.plan_reserved = 0 AND g.exhausted IS NULL THEN
    v_spent := reserve_steps(p_goal, 1, 0);
    IF v_spent IS NULL THEN
      UPDATE goals SET plan_reserved = 1 WHERE id = p_goal;
    ELSIF v_spent = 'wait' THEN
      UPDATE goals SET dispatched_at = NULL, due_at = clock_timestamp() + interval '1 second' WHERE id = p_goal;
      RETURN jsonb_build_object('goal_status', g.status, 'claimed', false);
    END IF;
  END IF;
  UPDATE goals SET status = 'planning', fence = fence + 1, lease_id = p_lease,
    dispatched_at = coalesce(dispatched_at, clock_timestamp()),
    expired_claims = expired_claims + CASE WHEN g.status = 'planning' AND g.lease_id IS NOT NULL THEN 1 ELSE 0 END,
    started_at = coalesce(started_at, clock_timestamp())
    WHERE id = p_goal;
  RETURN jsonb_build_object('goal_status', 'planning', 'claimed', true);
END $$;
