-- Goals that are posted at the same time begin in one statement. Those with a session or files go on one by one.
-- Locks: none. Old workers survive it: they do not know of it.

-- p_goals: [{id, text, planning, planning_every, priority, labels, created_by, steps, wall_ms, tokens, micro_usd, key, request_hash}], of one
-- tenant. Runs under the role by which people reach data, whoever calls. Raises unique_violation, and nothing is begun, where an
-- idempotency key was used before: one by one each is told.
CREATE FUNCTION submit_goals(p_tenant text, p_goals jsonb) RETURNS SETOF goals LANGUAGE plpgsql AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
  keys integer;
  taken integer;
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
  RETURN QUERY SELECT g.* FROM goals g WHERE g.id IN (SELECT value ->> 'id' FROM jsonb_array_elements(p_goals));
END $$;
