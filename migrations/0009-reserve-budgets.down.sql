-- Takes the reservations of tokens and money and the budgets of tenants back. Goals that run keep their step budgets.
-- Locks: ACCESS EXCLUSIVE on goals and tasks for an instant. Workers of this version do not survive it: stop them first.

-- Reserves steps for what comes next, or says which budget is spent (DESIGN §6), or 'wait' where steps are left but others
-- hold them: they may give some back. p_own is what the caller holds itself. The caller holds the goal's row.
CREATE OR REPLACE FUNCTION reserve_steps(p_goal text, p_steps integer, p_own integer) RETURNS text LANGUAGE plpgsql AS $$
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

-- Counts what the write spent and reserves what comes next; says which budget is spent, as reserve_steps does.
CREATE OR REPLACE FUNCTION settle_write(w jsonb, p_steps_written integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  g goals%ROWTYPE;
  t tasks%ROWTYPE;
  v_goal text := w ->> 'goal';
  v_task text := w ->> 'task';
  v_id text := w ->> 'id';
  v_spent text;
  v_steps integer := coalesce((w #>> '{settle,steps}')::integer, 0);
  v_reserve integer := coalesce((w ->> 'reserve')::integer, 0);
BEGIN
  SELECT * INTO g FROM goals WHERE id = v_goal;
  SELECT * INTO t FROM tasks WHERE id = v_task;
  UPDATE goals SET
    step_seq = step_seq + p_steps_written,
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

  IF v_reserve > 0 AND NOT w ? 'end' THEN
    v_spent := reserve_steps(v_goal, v_reserve, CASE WHEN v_task IS NULL THEN g.plan_reserved ELSE t.steps_reserved END);
    IF v_spent IS NULL THEN
      IF v_task IS NULL THEN UPDATE goals SET plan_reserved = plan_reserved + v_reserve WHERE id = v_goal;
      ELSE UPDATE tasks SET steps_reserved = steps_reserved + v_reserve WHERE id = v_task; END IF;
    END IF;
  END IF;
  RETURN v_spent;
END $$;

-- Claims due tasks of one goal for one stage (W3): the fence goes up, the lease is named, the first step is reserved.
-- Returns {goal_status, tasks: [ids], spent?}.
CREATE OR REPLACE FUNCTION claim_tasks(p_goal text, p_queue text, p_tasks text[], p_lease text, p_limit integer) RETURNS jsonb LANGUAGE plpgsql AS $$
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
CREATE OR REPLACE FUNCTION claim_goal(p_goal text, p_lease text) RETURNS jsonb LANGUAGE plpgsql AS $$
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

-- Takes a plan, ends the goal, or gives the planner's claim back.
CREATE OR REPLACE FUNCTION move_goal(w jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_goal text := w ->> 'goal';
  v_end text := w #>> '{end,to}';
  v_why text;
BEGIN
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
END $$;

-- commit(batch) (W1). p_wait: wait for goals that somebody else holds instead of calling them busy.
-- Returns {writes: [{id, outcome, …}], jobs: [...], events: {goal: seq}}.
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
    results := results || jsonb_build_array(applied || jsonb_build_object('id', w ->> 'id'));
  END LOOP;

  FOR tenant IN SELECT DISTINCT tenant_id FROM goals WHERE id = ANY (locked) ORDER BY 1 LOOP
    jobs := jobs || dispatch_due(tenant, p_cap, 64);
  END LOOP;
  RETURN jsonb_build_object('writes', results, 'jobs', jobs,
    'events', (SELECT jsonb_object_agg(id, event_seq) FROM goals WHERE id = ANY (locked)));
END $$;

DROP FUNCTION warn_of_wall;
DROP FUNCTION warn_of_budgets;
DROP FUNCTION held_by;
DROP FUNCTION claim_micro_usd;
DROP FUNCTION claim_tokens;
DROP FUNCTION reserve_budget;
DROP FUNCTION lend_to_goal;
DROP FUNCTION give_back_slice;
DROP FUNCTION budget_period_end;
DROP FUNCTION budget_period_start;
-- Stops the wall clock of a goal while all its work waits, and lets it go on after. The caller holds the goal's row.
CREATE OR REPLACE FUNCTION settle_sleep(p_goal text) RETURNS void LANGUAGE plpgsql AS $$
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

DROP TABLE tenant_budget_use;
DROP TABLE tenant_budgets;

DROP INDEX goals_lent;
DROP INDEX goals_wall_warning;
ALTER TABLE tasks
  DROP COLUMN tokens_reserved, DROP COLUMN cost_reserved, DROP COLUMN steps_needed, DROP COLUMN tokens_needed, DROP COLUMN cost_needed,
  DROP COLUMN backoffs;
ALTER TABLE goals
  DROP COLUMN tokens_reserved, DROP COLUMN cost_reserved, DROP COLUMN plan_tokens_reserved, DROP COLUMN plan_cost_reserved,
  DROP COLUMN plan_tokens_needed, DROP COLUMN plan_cost_needed, DROP COLUMN plan_backoffs, DROP COLUMN warned, DROP COLUMN wall_warn_at,
  DROP COLUMN exhausted_period, DROP COLUMN lent_steps, DROP COLUMN lent_tokens, DROP COLUMN lent_micro_usd, DROP COLUMN lent_at,
  DROP COLUMN lent_until, DROP COLUMN lent_under;
