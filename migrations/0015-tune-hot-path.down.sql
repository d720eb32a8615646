-- Locks: SHARE on memory_entries for as long as its index takes to build; else none but on the catalogue.
CREATE OR REPLACE FUNCTION commit_writes(p_writes jsonb, p_wait boolean, p_cap integer) RETURNS jsonb LANGUAGE plpgsql
  -- A holder that never lets go must not hold up the waiting worker too: it is told, and sends the same write again.
  SET lock_timeout = '10s' SET plan_cache_mode = force_generic_plan
  SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  locked text[];
  plain plain_write[];
  w jsonb;
  n integer := 0;
  results jsonb;
  jobs jsonb := '[]';
  tenant text;
  applied jsonb;
  hint text;
BEGIN
  locked := lock_goals(ARRAY(SELECT DISTINCT value ->> 'goal' FROM jsonb_array_elements(p_writes)), p_wait);
  -- Sorted, so that two batches that bring the same ones do not wait for one another.
  INSERT INTO prompts (hash, body)
    SELECT DISTINCT b.hash, b.body FROM jsonb_array_elements(p_writes) i, jsonb_to_recordset(i.value -> 'prompts') AS b(hash text, body text)
    ORDER BY b.hash ON CONFLICT DO NOTHING;

  plain := find_plain_writes(p_writes, locked);
  IF cardinality(plain) > 0 THEN
    BEGIN
      PERFORM apply_plain_writes(plain, clock_timestamp());
    EXCEPTION WHEN integrity_constraint_violation OR data_exception THEN
      -- One of them is not plain after all: one by one it shows.
      plain := '{}';
    END;
  END IF;
  SELECT coalesce(jsonb_agg(jsonb_build_object('id', p.id, 'outcome', 'won', 'goal_status', p.goal_status,
        'held', jsonb_build_object('steps', p.held_steps, 'tokens', p.held_tokens, 'micro_usd', p.held_micro_usd, 'money', false))), '[]')
    INTO results FROM unnest(plain) p;

  IF cardinality(plain) < jsonb_array_length(p_writes) THEN
    FOR w IN SELECT value FROM jsonb_array_elements(p_writes) WITH ORDINALITY i
      WHERE NOT EXISTS (SELECT FROM unnest(plain) p WHERE p.ord = i.ordinality) ORDER BY i.ordinality
    LOOP
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
  END IF;

  -- A step makes nothing due.
  IF p_writes @? '$[*] ? (exists (@.move) || exists (@.plan) || exists (@.end) || exists (@.release))' THEN
    FOR tenant IN SELECT DISTINCT tenant_id FROM goals WHERE id = ANY (locked) ORDER BY 1 LOOP
      jobs := jobs || dispatch_due(tenant, p_cap, least(500, 64 + 8 * jsonb_array_length(p_writes)));
    END LOOP;
  END IF;
  RETURN jsonb_build_object('writes', results, 'jobs', jobs,
    'events', (SELECT jsonb_object_agg(id, event_seq) FROM goals WHERE id = ANY (locked)));
END $$;

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

DROP FUNCTION apply_plain_changes;
DROP FUNCTION apply_plan_changes;
DROP FUNCTION find_plain_changes;
DROP TYPE plain_change;
ALTER TABLE tasks RESET (fillfactor);
ALTER TABLE goals RESET (fillfactor);
ALTER FUNCTION nearest_memories RESET hnsw.ef_search;
DROP INDEX memory_entries_384;
CREATE INDEX memory_entries_384 ON memory_entries USING hnsw ((embedding::halfvec(384)) halfvec_cosine_ops) WITH (ef_construction = 40)
  WHERE vector_dims(embedding) = 384;
