-- How much work a stage has: what is ready (due, on its queue or not) and what is in somebody's hands. A scaler divides it by
-- what one process takes. It counts no further than it takes to keep any number of workers busy, and looks at live rows only.
--
-- With the rights of its owner: who may call it learns three numbers and nothing else. So its names must mean what they mean
-- here, whatever the caller has made: the schema of the installation, and what is temporary last.
CREATE FUNCTION outerloop_load(p_stage text) RETURNS bigint LANGUAGE plpgsql STABLE SECURITY DEFINER SET jit = off AS $$
DECLARE
  most CONSTANT integer := 100000;
  v_now timestamptz := clock_timestamp();
  statuses text[] := CASE p_stage WHEN 'execute' THEN ARRAY['ready', 'running'] WHEN 'reflect' THEN ARRAY['reflecting'] END;
  found bigint;
BEGIN
  IF p_stage = 'plan' THEN
    SELECT count(*) INTO found FROM (
      SELECT FROM goals
      WHERE status IN ('queued', 'planning', 'running') AND (lease_id IS NOT NULL OR (plan_wanted > 0 AND due_at <= v_now))
      LIMIT most) x;
    RETURN found;
  END IF;
  IF statuses IS NULL THEN
    RAISE EXCEPTION 'outerloop_load: % is no stage; plan, execute and reflect are', p_stage USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- Each half has an index of its own: tasks_in_flight and tasks_due.
  SELECT count(*) INTO found FROM (
    (SELECT FROM tasks t
      WHERE t.dispatched_at IS NOT NULL AND t.status = ANY (statuses) AND (t.lease_id IS NOT NULL OR t.due_at <= v_now)
        AND (SELECT g.status FROM goals g WHERE g.id = t.goal_id) IN ('planning', 'running')
      LIMIT most)
    UNION ALL
    (SELECT FROM tasks t
      WHERE t.dispatched_at IS NULL AND t.status = ANY (statuses) AND t.status IN ('ready', 'running', 'reflecting') AND t.due_at <= v_now
        AND (SELECT g.status FROM goals g WHERE g.id = t.goal_id) IN ('planning', 'running')
      LIMIT most)) x;
  RETURN least(found, most);
END $$;

REVOKE ALL ON FUNCTION outerloop_load(text) FROM PUBLIC;
DO $$ BEGIN
  EXECUTE format('ALTER FUNCTION outerloop_load(text) SET search_path = %I, pg_temp', current_schema());
END $$;

-- What a deleted goal takes along is found by its id.
CREATE INDEX idempotency_keys_of_goal ON idempotency_keys (goal_id);
CREATE INDEX signals_of_task ON signals (task_id) WHERE task_id IS NOT NULL;

-- What form of the journal a process can read. Code that does not know the column reads the first.
ALTER TABLE leases ADD COLUMN journal_format smallint NOT NULL DEFAULT 1;

-- As before, but for where pgvector's own settings are made: on a function they can be restored from a dump by nobody but a
-- superuser, since the extension is not loaded then.
CREATE OR REPLACE FUNCTION nearest_memories(p_model text, p_dimensions integer, p_tenants text[], p_vectors text[], p_limit integer)
  RETURNS TABLE (query integer, id text, kind text, text text, created_at timestamptz, similarity float8) LANGUAGE plpgsql STABLE
  SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = on AS $$
DECLARE
  few CONSTANT integer := 200;
  n bigint;
BEGIN
  PERFORM set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.ef_search', '80', true);
  FOR q IN 1 .. cardinality(p_tenants) LOOP
    IF q = 1 OR p_tenants[q] <> p_tenants[q - 1] THEN
      SELECT count(*) INTO n FROM (SELECT FROM memory_entries m WHERE m.tenant_id = p_tenants[q] LIMIT few + 1) x;
      PERFORM set_config('enable_sort', CASE WHEN n > few THEN 'off' ELSE 'on' END, true);
    END IF;
    RETURN QUERY EXECUTE format(CASE WHEN n > few THEN $q$
        SELECT $1, m.id, m.kind, m.text, m.created_at, 1 - (m.embedding::halfvec(%1$s) <=> $2::halfvec(%1$s))
        FROM memory_entries m WHERE vector_dims(m.embedding) = %1$s AND m.tenant_id = $3 AND m.embedding_model = $4
        ORDER BY m.embedding::halfvec(%1$s) <=> $2::halfvec(%1$s) LIMIT $5 $q$ ELSE $q$
        SELECT $1, m.id, m.kind, m.text, m.created_at, 1 - (m.embedding::halfvec(%1$s) <=> $2::halfvec(%1$s)) AS s
        FROM (SELECT * FROM memory_entries e WHERE e.tenant_id = $3 ORDER BY e.created_at DESC LIMIT $6) m
        WHERE vector_dims(m.embedding) = %1$s AND m.embedding_model = $4
        ORDER BY s DESC LIMIT $5 $q$ END, p_dimensions)
      USING q, p_vectors[q], p_tenants[q], p_model, p_limit, few + 1;
  END LOOP;
END $$;
