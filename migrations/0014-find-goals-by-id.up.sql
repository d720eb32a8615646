-- Goals are found by their id wherever it is known. Statistics of a table that grows by the second say that few goals are live, and the
-- index of those then looks like the shorter way: a dispatch read all live goals for each due task, a claim all of them once, and a
-- post all goals there are.
-- Locks: none but on the catalogue. Old workers survive it: what they call is called as before.

-- As before, but for how the goal is found.
CREATE OR REPLACE FUNCTION dispatch_due(p_tenant text, p_cap integer, p_limit integer) RETURNS jsonb LANGUAGE plpgsql
  SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
  room integer;
  plans jsonb;
  jobs jsonb;
BEGIN
  WITH sent AS (
    UPDATE goals SET dispatch = dispatch + 1, dispatched_at = v_now, job_id = id || '-p-' || (dispatch + 1)
    WHERE id IN (
      SELECT id FROM goals
      WHERE tenant_id = p_tenant AND dispatched_at IS NULL AND due_at <= v_now AND plan_wanted > 0 AND status IN ('queued', 'planning', 'running')
      ORDER BY priority DESC, due_at LIMIT p_limit FOR UPDATE SKIP LOCKED)
    RETURNING id, job_id
  )
  SELECT jsonb_agg(jsonb_build_object('queue', 'plan', 'job', job_id, 'goal', id, 'tasks', '[]'::jsonb, 'front', false)) INTO plans FROM sent;

  IF EXISTS (SELECT FROM tasks WHERE tenant_id = p_tenant AND dispatched_at IS NULL AND status IN ('ready', 'running', 'reflecting') AND due_at <= v_now) THEN
    SELECT p_cap - count(*) INTO room FROM (SELECT FROM tasks WHERE tenant_id = p_tenant AND dispatched_at IS NOT NULL LIMIT p_cap) x;
    WITH chosen AS (
      SELECT t.id, t.goal_id, t.number, t.front, t.dispatch, CASE t.status WHEN 'reflecting' THEN 'reflect' ELSE 'execute' END AS queue
      FROM tasks t
      WHERE t.tenant_id = p_tenant AND t.dispatched_at IS NULL AND t.status IN ('ready', 'running', 'reflecting') AND t.due_at <= v_now
        AND (SELECT g.status FROM goals g WHERE g.id = t.goal_id) IN ('planning', 'running')
      ORDER BY t.front DESC, t.priority DESC, t.created_at, t.number LIMIT least(greatest(room, 0), p_limit) FOR UPDATE SKIP LOCKED
    ), grouped AS (
      SELECT *, (row_number() OVER (PARTITION BY goal_id, queue ORDER BY number) - 1) / 8 AS batch FROM chosen
    ), named AS (
      SELECT *, goal_id || '-' || first_value(number) OVER w || '-' || (first_value(dispatch) OVER w + 1) AS job_id
      FROM grouped WINDOW w AS (PARTITION BY goal_id, queue, batch ORDER BY number)
    ), sent AS (
      UPDATE tasks SET dispatch = tasks.dispatch + 1, dispatched_at = v_now, job_id = named.job_id
      FROM named WHERE tasks.id = named.id
      RETURNING tasks.id, tasks.goal_id, tasks.number, named.queue, named.job_id, named.front
    )
    SELECT jsonb_agg(j) INTO jobs FROM (
      SELECT jsonb_build_object('queue', queue, 'job', job_id, 'goal', goal_id, 'tasks', jsonb_agg(id ORDER BY number), 'front', bool_or(front)) AS j
      FROM sent GROUP BY queue, job_id, goal_id
    ) all_jobs;
  END IF;
  RETURN coalesce(plans, '[]') || coalesce(jobs, '[]');
END $$;

-- As before, but for how the goals are found: OFFSET keeps the status out of the search.
CREATE OR REPLACE FUNCTION find_plain_claims(p_claims jsonb, p_locked text[]) RETURNS plain_claim[] LANGUAGE plpgsql STABLE AS $$
DECLARE
  found plain_claim[];
  -- As claim_tokens says, where that much is free.
  tokens_each CONSTANT bigint := 40000;
BEGIN
  WITH due AS (
    SELECT i.ordinality::integer AS ord, c.queue, t.id, t.goal_id, t.key, t.attempt, t.number, t.front, t.tokens_reserved,
      g.tenant_id, g.retention, g.goal_day, g.budget_steps - g.steps_used - g.steps_reserved AS steps_left,
      g.budget_tokens - g.tokens_used - g.tokens_reserved AS tokens_left,
      row_number() OVER (PARTITION BY i.ordinality ORDER BY t.front DESC, t.number) <= c."limit" AS taken,
      greatest(1 - t.steps_reserved, 0) AS wants,
      count(*) OVER (PARTITION BY t.id) = 1 AND t.lease_id IS NULL AND t.status <> 'running' AND t.steps_needed = 0 AND t.tokens_needed = 0 AND t.cost_needed = 0
        AND g.exhausted IS NULL AND g.budget_micro_usd IS NULL AND g.lent_until IS NULL AND clock_timestamp() < g.deadline_at
        AND NOT EXISTS (SELECT FROM tenant_budgets b WHERE b.tenant_id = g.tenant_id) AS is_plain
    FROM jsonb_array_elements(p_claims) WITH ORDINALITY i,
      jsonb_to_record(i.value) AS c(queue text, goal text, tasks text[], "limit" integer),
      LATERAL (SELECT * FROM goals WHERE id = c.goal OFFSET 0) g, tasks t
    WHERE c.goal = ANY (p_locked) AND g.status IN ('planning', 'running')
      AND t.id = ANY (c.tasks) AND t.goal_id = c.goal AND t.due_at <= clock_timestamp()
      AND (c.queue = 'execute' AND t.status IN ('ready', 'running') OR c.queue = 'reflect' AND t.status = 'reflecting')
      AND (t.lease_id IS NULL OR NOT lease_lives(t.lease_id))
  ), judged AS (
    SELECT d.*, bool_and(d.is_plain) OVER whole
      AND coalesce(sum(d.wants) FILTER (WHERE d.taken) OVER whole, 0) <= d.steps_left
      AND (coalesce(sum(d.wants) FILTER (WHERE d.taken) OVER whole, 0) = 0 OR d.tokens_left >= tokens_each * (16 + count(*) OVER whole)) AS fits,
      count(*) FILTER (WHERE d.taken AND d.queue = 'execute') OVER (PARTITION BY d.goal_id ORDER BY d.ord, d.front DESC, d.number) AS event_n
    FROM due d WINDOW whole AS (PARTITION BY d.goal_id)
  )
  SELECT array_agg(ROW(ord, id, goal_id, taken, taken AND queue = 'execute', key, attempt, wants,
      CASE WHEN wants > 0 THEN greatest(tokens_each - tokens_reserved, 0) ELSE 0 END, tenant_id, retention, goal_day,
      event_n)::plain_claim ORDER BY ord, number)
    INTO found FROM judged WHERE fits;
  RETURN coalesce(found, '{}');
END $$;

-- As before, but for how the goals are found.
CREATE OR REPLACE FUNCTION claim_work(p_claims jsonb, p_lease text, p_wait boolean) RETURNS json LANGUAGE plpgsql
  SET lock_timeout = '10s' SET plan_cache_mode = force_generic_plan
  SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
  locked text[];
  plain plain_claim[];
  -- Of the nth claim: what it got, or the goal itself for a plan.
  got jsonb := '{}';
  planned text[];
  c record;
  reply jsonb;
BEGIN
  IF NOT lease_lives(p_lease) THEN RAISE EXCEPTION 'lease % has expired', p_lease USING ERRCODE = 'object_not_in_prerequisite_state'; END IF;
  locked := lock_goals(ARRAY(SELECT DISTINCT value ->> 'goal' FROM jsonb_array_elements(p_claims)), p_wait);

  plain := find_plain_claims(p_claims, locked);
  IF cardinality(plain) > 0 THEN
    UPDATE tasks t SET status = CASE WHEN p.starts THEN 'running' ELSE t.status END, fence = t.fence + 1, lease_id = p_lease,
        steps_reserved = t.steps_reserved + p.steps, tokens_reserved = t.tokens_reserved + p.tokens,
        dispatched_at = coalesce(t.dispatched_at, v_now), started_at = coalesce(t.started_at, v_now)
      FROM unnest(plain) p WHERE t.id = p.task AND p.taken;
    -- Handed back: the rest goes out again at once, as a job of its own.
    IF EXISTS (SELECT FROM unnest(plain) p WHERE NOT p.taken) THEN
      UPDATE tasks t SET dispatched_at = NULL FROM unnest(plain) p WHERE t.id = p.task AND NOT p.taken;
    END IF;
    INSERT INTO events (retention, goal_day, tenant_id, goal_id, seq, type, task_id, data, at)
      SELECT p.retention, p.goal_day, p.tenant_id, p.goal, g.event_seq + p.event_n, 'task.started', p.task,
        jsonb_build_object('key', p.key, 'attempt', p.attempt), v_now
      FROM unnest(plain) p JOIN goals g ON g.id = p.goal WHERE p.starts;
    UPDATE goals g SET event_seq = g.event_seq + s.events, steps_reserved = g.steps_reserved + s.steps, tokens_reserved = g.tokens_reserved + s.tokens
      FROM (SELECT goal, count(*) FILTER (WHERE starts) AS events, sum(steps) AS steps, sum(tokens) AS tokens FROM unnest(plain) WHERE taken GROUP BY goal) s
      WHERE g.id = s.goal AND s.events + s.steps > 0;
    SELECT jsonb_object_agg(ord, jsonb_build_object('tasks', tasks, 'left', some_left)) INTO got FROM (
      SELECT ord, coalesce(jsonb_agg(task) FILTER (WHERE taken), '[]') AS tasks, NOT bool_and(taken) AS some_left FROM unnest(plain) GROUP BY ord) x;
  END IF;

  IF p_claims @? '$[*] ? (@.queue == "plan")' THEN
    WITH given AS (
      -- Locked, so what holds of them here holds below.
      SELECT g.id AS goal FROM (SELECT DISTINCT value ->> 'goal' AS goal FROM jsonb_array_elements(p_claims) WHERE value ->> 'queue' = 'plan') n,
        LATERAL (SELECT * FROM goals WHERE id = n.goal OFFSET 0) g
        WHERE n.goal = ANY (locked) AND g.plan_wanted > 0 AND g.status IN ('queued', 'running') AND g.lease_id IS NULL
          AND g.exhausted IS NULL AND g.budget_micro_usd IS NULL AND g.lent_until IS NULL AND g.plan_tokens_needed = 0 AND g.plan_cost_needed = 0
          AND v_now < g.deadline_at AND g.steps_used + g.steps_reserved < g.budget_steps
          AND g.budget_tokens - g.tokens_used - g.tokens_reserved >= 17 * 40000
          AND NOT EXISTS (SELECT FROM tenant_budgets b WHERE b.tenant_id = g.tenant_id)
    ), claimed AS (
      UPDATE goals g SET status = 'planning', fence = g.fence + 1, lease_id = p_lease, dispatched_at = coalesce(g.dispatched_at, v_now),
          started_at = coalesce(g.started_at, v_now), plan_reserved = greatest(g.plan_reserved, 1),
          steps_reserved = g.steps_reserved + greatest(1 - g.plan_reserved, 0),
          plan_tokens_reserved = CASE WHEN g.plan_reserved > 0 THEN g.plan_tokens_reserved ELSE greatest(g.plan_tokens_reserved, 40000) END,
          tokens_reserved = g.tokens_reserved + CASE WHEN g.plan_reserved > 0 THEN 0 ELSE greatest(40000 - g.plan_tokens_reserved, 0) END
        FROM given n
        WHERE g.id = n.goal
        RETURNING g.id
    )
    SELECT array_agg(id) INTO planned FROM claimed;
  END IF;

  FOR c IN
    SELECT i.ordinality AS ord, r.* FROM jsonb_array_elements(p_claims) WITH ORDINALITY i,
      jsonb_to_record(i.value) AS r(queue text, goal text, tasks text[], "limit" integer)
    WHERE NOT got ? i.ordinality::text ORDER BY i.ordinality
  LOOP
    IF NOT c.goal = ANY (locked) THEN
      got := got || jsonb_build_object(c.ord, jsonb_build_object('busy', EXISTS (SELECT FROM goals WHERE id = c.goal)));
    ELSIF c.queue = 'plan' THEN
      IF c.goal = ANY (planned) THEN
        planned := array_remove(planned, c.goal);
        reply := '{"claimed": true}';
      ELSE
        reply := claim_goal(c.goal, p_lease);
      END IF;
      got := got || jsonb_build_object(c.ord, reply);
    ELSE
      reply := claim_tasks(c.goal, c.queue, c.tasks, p_lease, c."limit");
      got := got || jsonb_build_object(c.ord, reply || jsonb_build_object('left', coalesce(jsonb_array_length(reply -> 'left') > 0, false) OR reply ? 'spent'));
    END IF;
  END LOOP;

  RETURN (SELECT json_agg(CASE
      WHEN (m.got ->> 'busy')::boolean THEN json_build_object('busy', true)
      WHEN (m.got ->> 'claimed')::boolean THEN json_build_object('goal', row_to_json(g),
        'steps', CASE WHEN g.fence > 1 THEN (SELECT json_agg(row_to_json(s) ORDER BY s.attempt, s.seq) FROM steps s WHERE s.retention = g.retention
          AND s.goal_day = g.goal_day AND s.subject_id = g.id AND s.attempt IN (0, g.plan_round + 1) AND s.phase = 'result') END,
        'tasks', CASE WHEN g.task_seq > 0 THEN (SELECT json_agg(row_to_json(t) ORDER BY t.number) FROM tasks t WHERE t.goal_id = g.id) END,
        'edges', CASE WHEN g.task_seq > 0 THEN (SELECT json_agg(json_build_array(d.task_id, d.depends_on)) FROM task_dependencies d WHERE d.goal_id = g.id) END)
      WHEN jsonb_array_length(m.got -> 'tasks') > 0 THEN json_build_object('goal', row_to_json(g), 'left', m.got -> 'left', 'tenant', g.tenant_id,
        'event_seq', g.event_seq, 'tasks', (
          SELECT json_agg(json_build_object('row', row_to_json(t),
            'steps', CASE WHEN t.fence > 1 THEN (SELECT json_agg(row_to_json(s) ORDER BY s.seq) FROM steps s WHERE s.retention = t.retention
              AND s.goal_day = t.goal_day AND s.subject_id = t.id AND s.attempt = t.attempt AND s.phase = 'result') END,
            'depends_on', CASE WHEN m.queue = 'execute' THEN (SELECT json_agg(row_to_json(o) ORDER BY o.number)
              FROM task_dependencies d JOIN tasks o ON o.id = d.depends_on WHERE d.task_id = t.id) END,
            'notes', CASE WHEN m.queue = 'reflect' THEN (SELECT json_agg(n.text ORDER BY n.created_at) FROM memory_entries n
              WHERE n.goal_id = t.goal_id AND n.task_id = t.id AND n.kind = 'note') END) ORDER BY t.number)
          FROM jsonb_array_elements_text(m.got -> 'tasks') AS claimed(task) JOIN tasks t ON t.id = claimed.task))
      ELSE json_build_object('left', m.got -> 'left', 'tenant', g.tenant_id)
    END ORDER BY m.ord)
    FROM (SELECT i.ordinality AS ord, i.value ->> 'goal' AS goal, i.value ->> 'queue' AS queue, got -> i.ordinality::text AS got
      FROM jsonb_array_elements(p_claims) WITH ORDINALITY i) m LEFT JOIN goals g ON g.id = m.goal);
END $$;

-- As before, but for the last statement: under row-level security no index is searched by what a function that may leak makes of JSON.
CREATE OR REPLACE FUNCTION submit_goals(p_tenant text, p_goals jsonb) RETURNS SETOF goals LANGUAGE plpgsql
  SET jit = off SET enable_seqscan = off AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
  keys integer;
  taken integer;
  ids text[] := ARRAY(SELECT value ->> 'id' FROM jsonb_array_elements(p_goals));
BEGIN
  PERFORM set_config('outerloop.tenant', p_tenant, true), set_config('role', 'outerloop_api', true);
  INSERT INTO goals (id, tenant_id, retention, goal_day, text, planning, planning_every, priority, labels, created_by, budget_steps, budget_wall_ms,
      budget_tokens, budget_micro_usd, deadline_at, wall_warn_at, event_seq, dispatch, dispatched_at, job_id)
    SELECT i.id, p_tenant, 'standard', current_date, i.text, i.planning, i.planning_every, i.priority, i.labels, i.created_by, i.steps, i.wall_ms,
      i.tokens, i.micro_usd, v_now + make_interval(secs => i.wall_ms / 1000.0), v_now + make_interval(secs => i.wall_ms / 1000.0 * 0.8),
      1, 1, v_now, i.id || '-p-1'
    FROM jsonb_to_recordset(p_goals) AS i(id text, text text, planning text, planning_every integer, priority smallint, labels jsonb, created_by text,
      steps integer, wall_ms bigint, tokens bigint, micro_usd bigint);
  SELECT count(*) INTO keys FROM jsonb_to_recordset(p_goals) AS i(key text) WHERE i.key IS NOT NULL;
  IF keys > 0 THEN
    -- Sorted, so that two batches that bring the same ones do not wait for one another in a circle.
    INSERT INTO idempotency_keys (tenant_id, key, request_hash, goal_id)
      SELECT p_tenant, i.key, i.request_hash, i.id FROM jsonb_to_recordset(p_goals) AS i(id text, key text, request_hash text)
      WHERE i.key IS NOT NULL ORDER BY i.key ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS taken = ROW_COUNT;
    IF taken < keys THEN RAISE EXCEPTION 'an idempotency key was used before' USING ERRCODE = 'unique_violation'; END IF;
  END IF;
  INSERT INTO events (retention, goal_day, tenant_id, goal_id, seq, type, data)
    SELECT 'standard', current_date, p_tenant, i.id, 1, 'goal.created', jsonb_build_object('text', i.text, 'session', NULL, 'attachments', 0)
    FROM jsonb_to_recordset(p_goals) AS i(id text, text text);
  RETURN QUERY SELECT g.* FROM goals g WHERE g.id = ANY (ids);
END $$;
