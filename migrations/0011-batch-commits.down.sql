-- Back to write by write. Locks: none but on the catalogue.
DROP FUNCTION claim_work;
DROP FUNCTION find_plain_claims;
DROP TYPE plain_claim;
DROP INDEX goals_due;

CREATE OR REPLACE FUNCTION commit_writes(p_writes jsonb, p_wait boolean, p_cap integer) RETURNS jsonb LANGUAGE plpgsql AS $$
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
    -- What the claim holds afterwards: a reply that comes again after it was lost says it too.
    IF applied ->> 'outcome' = 'won' THEN applied := applied || jsonb_build_object('held', held_by(w ->> 'goal', w ->> 'task')); END IF;
    results := results || jsonb_build_array(applied || jsonb_build_object('id', w ->> 'id'));
  END LOOP;

  FOR tenant IN SELECT DISTINCT tenant_id FROM goals WHERE id = ANY (locked) ORDER BY 1 LOOP
    jobs := jobs || dispatch_due(tenant, p_cap, 64);
  END LOOP;
  RETURN jsonb_build_object('writes', results, 'jobs', jobs,
    'events', (SELECT jsonb_object_agg(id, event_seq) FROM goals WHERE id = ANY (locked)));
END $$;
DROP FUNCTION apply_plain_writes;
DROP FUNCTION apply_plain_plans;
DROP FUNCTION is_plain_plan;
DROP FUNCTION find_plain_writes;
DROP FUNCTION lock_goals;
DROP TYPE plain_write;

CREATE OR REPLACE FUNCTION insert_tasks(p_goal text, p_tasks jsonb) RETURNS text LANGUAGE plpgsql AS $$
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

CREATE OR REPLACE FUNCTION dispatch_due(p_tenant text, p_cap integer, p_limit integer) RETURNS jsonb LANGUAGE plpgsql AS $$
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

CREATE OR REPLACE FUNCTION held_by(p_goal text, p_task text) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('steps', coalesce(t.steps_reserved, g.plan_reserved), 'tokens', coalesce(t.tokens_reserved, g.plan_tokens_reserved),
    'micro_usd', coalesce(t.cost_reserved, g.plan_cost_reserved), 'money', g.budget_micro_usd IS NOT NULL OR g.lent_micro_usd IS NOT NULL)
  FROM goals g LEFT JOIN tasks t ON t.id = p_task WHERE g.id = p_goal
$$;

CREATE OR REPLACE FUNCTION lease_lives(p_lease text) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT p_lease IS NOT NULL AND EXISTS (SELECT FROM leases WHERE id = p_lease AND expires_at > clock_timestamp())
$$;

CREATE OR REPLACE FUNCTION cancel_dependents(p_dead text) RETURNS integer LANGUAGE plpgsql AS $$
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
