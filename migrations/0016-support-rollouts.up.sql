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
