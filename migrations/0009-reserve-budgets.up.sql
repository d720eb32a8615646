-- Budgets that parallel work cannot pass: tokens and money are reserved as steps are, tenants have budgets that are lent to
-- goals in slices, a warning comes at 80 %, and work that backs off says how often.
-- Locks: ACCESS EXCLUSIVE on goals and tasks for an instant (columns with constant defaults are not written to the rows), and
-- for as long as the two small indexes over live goals take to build. Old workers survive it: what they call is called as before;
-- they reserve no tokens, so until they are gone a token budget may be passed by what they have under way.

ALTER TABLE goals
  ADD COLUMN tokens_reserved bigint NOT NULL DEFAULT 0 CHECK (tokens_reserved >= 0),
  ADD COLUMN cost_reserved bigint NOT NULL DEFAULT 0 CHECK (cost_reserved >= 0),
  -- The planner's own part of them, and what it was refused, so that its next claim gets all of it or waits.
  ADD COLUMN plan_tokens_reserved bigint NOT NULL DEFAULT 0,
  ADD COLUMN plan_cost_reserved bigint NOT NULL DEFAULT 0,
  ADD COLUMN plan_tokens_needed bigint NOT NULL DEFAULT 0,
  ADD COLUMN plan_cost_needed bigint NOT NULL DEFAULT 0,
  ADD COLUMN plan_backoffs smallint NOT NULL DEFAULT 0,
  -- Budgets of which 80 % were announced.
  ADD COLUMN warned text[] NOT NULL DEFAULT '{}',
  -- When 80 % of the wall clock are gone; null once that was announced.
  ADD COLUMN wall_warn_at timestamptz,
  -- Set where it is a budget of the tenant that is spent.
  ADD COLUMN exhausted_period text CHECK (exhausted_period IN ('day', 'month', 'total')),
  -- What the tenant lent: totals that used and reserved may reach; null where the tenant has no such limit.
  ADD COLUMN lent_steps bigint,
  ADD COLUMN lent_tokens bigint,
  ADD COLUMN lent_micro_usd bigint,
  ADD COLUMN lent_at timestamptz,
  ADD COLUMN lent_until timestamptz,
  -- The limits that the slice was cut by; other ones are asked again.
  ADD COLUMN lent_under timestamptz;

ALTER TABLE tasks
  ADD COLUMN tokens_reserved bigint NOT NULL DEFAULT 0 CHECK (tokens_reserved >= 0),
  ADD COLUMN cost_reserved bigint NOT NULL DEFAULT 0 CHECK (cost_reserved >= 0),
  ADD COLUMN steps_needed integer NOT NULL DEFAULT 0,
  ADD COLUMN tokens_needed bigint NOT NULL DEFAULT 0,
  ADD COLUMN cost_needed bigint NOT NULL DEFAULT 0,
  -- Times in a row that its work was given back for something outside that was away.
  ADD COLUMN backoffs smallint NOT NULL DEFAULT 0;

CREATE INDEX goals_wall_warning ON goals (wall_warn_at)
  WHERE wall_warn_at IS NOT NULL AND status IN ('queued', 'planning', 'running', 'waiting');

-- Goals that hold a slice of their tenant's budgets: few, and none where a tenant has no limits.
CREATE INDEX goals_lent ON goals (tenant_id) WHERE lent_until IS NOT NULL;

-- Limits of a tenant. Seldom written; commits read them without a lock.
CREATE TABLE tenant_budgets (
  tenant_id text NOT NULL REFERENCES tenants,
  period text NOT NULL CHECK (period IN ('day', 'month', 'total')),
  steps bigint CHECK (steps >= 0),
  tokens bigint CHECK (tokens >= 0),
  micro_usd bigint CHECK (micro_usd >= 0),
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, period)
);

-- What goals used of them or hold as slices, in the period that began at since. Written when a slice is cut or given back.
CREATE TABLE tenant_budget_use (
  tenant_id text NOT NULL REFERENCES tenants,
  period text NOT NULL CHECK (period IN ('day', 'month', 'total')),
  since timestamptz NOT NULL,
  steps bigint NOT NULL DEFAULT 0,
  tokens bigint NOT NULL DEFAULT 0,
  micro_usd bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, period)
) WITH (fillfactor = 50);

GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_budgets TO outerloop_api;
GRANT SELECT, INSERT, UPDATE ON tenant_budget_use TO outerloop_api;
ALTER TABLE tenant_budgets ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_budget_use ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON tenant_budgets TO outerloop_api USING (tenant_id = api_tenant()) WITH CHECK (tenant_id = api_tenant());
CREATE POLICY own_tenant ON tenant_budget_use TO outerloop_api USING (tenant_id = api_tenant()) WITH CHECK (tenant_id = api_tenant());

-- When the period of now began, and when it ends. Days and months are of UTC.
CREATE FUNCTION budget_period_start(p_period text) RETURNS timestamptz LANGUAGE sql STABLE AS $$
  SELECT CASE p_period WHEN 'total' THEN '-infinity' ELSE date_trunc(p_period, clock_timestamp(), 'UTC') END
$$;
CREATE FUNCTION budget_period_end(p_period text) RETURNS timestamptz LANGUAGE sql STABLE AS $$
  SELECT CASE p_period WHEN 'total' THEN 'infinity'
    WHEN 'day' THEN date_trunc('day', clock_timestamp(), 'UTC') + interval '24 hours'
    ELSE (date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC' END
$$;

-- Gives back to the tenant what a goal was lent and did not use. The caller holds the goal's row. Safe to repeat.
CREATE FUNCTION give_back_slice(p_goal text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  g goals%ROWTYPE;
BEGIN
  SELECT * INTO g FROM goals WHERE id = p_goal;
  IF g.lent_until IS NULL THEN RETURN; END IF;
  PERFORM FROM tenant_budget_use WHERE tenant_id = g.tenant_id ORDER BY period FOR NO KEY UPDATE;
  -- A slice of a period that is over belongs to that one.
  UPDATE tenant_budget_use SET
    steps = greatest(steps - greatest(coalesce(g.lent_steps, g.steps_used) - g.steps_used, 0), 0),
    tokens = greatest(tokens - greatest(coalesce(g.lent_tokens, g.tokens_used) - g.tokens_used, 0), 0),
    micro_usd = greatest(micro_usd - greatest(coalesce(g.lent_micro_usd, g.cost_micro_usd) - g.cost_micro_usd, 0), 0)
    WHERE tenant_id = g.tenant_id AND since = budget_period_start(period) AND g.lent_at >= since;
  UPDATE goals SET lent_steps = NULL, lent_tokens = NULL, lent_micro_usd = NULL, lent_at = NULL, lent_until = NULL, lent_under = NULL
    WHERE id = p_goal;
END $$;

-- Makes sure that what a goal has used and reserved, and these on top, is lent to it by its tenant, cutting a new slice where
-- the one that it has does not do. Null, or the budget and the period that are spent. The caller holds the goal's row.
CREATE FUNCTION lend_to_goal(p_goal text, p_steps bigint, p_tokens bigint, p_micro_usd bigint) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
  g goals%ROWTYPE;
  limits record;
  b record;
  is_fresh boolean;
  short_steps bigint;
  short_tokens bigint;
  short_micro_usd bigint;
  room_steps bigint;
  room_tokens bigint;
  room_micro_usd bigint;
  -- A slice is at most this, and at most an eighth of what is left, so that the last goals still find some.
  slice_steps CONSTANT bigint := 20;
  slice_tokens CONSTANT bigint := 100000;
  slice_micro_usd CONSTANT bigint := 500000;
BEGIN
  SELECT max(changed_at) AS changed_at, min(budget_period_end(period)) AS until, count(steps) > 0 AS steps, count(tokens) > 0 AS tokens,
    count(micro_usd) > 0 AS micro_usd INTO limits
    FROM tenant_budgets WHERE tenant_id = (SELECT tenant_id FROM goals WHERE id = p_goal);
  SELECT * INTO g FROM goals WHERE id = p_goal;
  IF limits.changed_at IS NULL THEN
    IF g.lent_until IS NOT NULL THEN PERFORM give_back_slice(p_goal); END IF;
    RETURN NULL;
  END IF;
  IF limits.micro_usd AND g.cost_unknown THEN
    RETURN ARRAY['cost_budget', (SELECT min(period) FROM tenant_budgets WHERE tenant_id = g.tenant_id AND micro_usd IS NOT NULL)];
  END IF;

  is_fresh := coalesce(g.lent_until > clock_timestamp() AND g.lent_under = limits.changed_at, false);
  -- What was used before is not of this slice, what is reserved will be.
  short_steps := g.steps_used + g.steps_reserved + p_steps - CASE WHEN is_fresh THEN g.lent_steps ELSE g.steps_used END;
  short_tokens := g.tokens_used + g.tokens_reserved + p_tokens - CASE WHEN is_fresh THEN g.lent_tokens ELSE g.tokens_used END;
  short_micro_usd := g.cost_micro_usd + g.cost_reserved + p_micro_usd - CASE WHEN is_fresh THEN g.lent_micro_usd ELSE g.cost_micro_usd END;
  IF is_fresh AND coalesce(short_steps, 0) <= 0 AND coalesce(short_tokens, 0) <= 0 AND coalesce(short_micro_usd, 0) <= 0 THEN RETURN NULL; END IF;

  -- From here on the tenant's rows are held, always in the same order and after the goal's.
  INSERT INTO tenant_budget_use (tenant_id, period, since)
    SELECT tenant_id, period, budget_period_start(period) FROM tenant_budgets WHERE tenant_id = g.tenant_id ORDER BY period ON CONFLICT DO NOTHING;
  PERFORM FROM tenant_budget_use WHERE tenant_id = g.tenant_id ORDER BY period FOR NO KEY UPDATE;
  UPDATE tenant_budget_use SET since = budget_period_start(period), steps = 0, tokens = 0, micro_usd = 0
    WHERE tenant_id = g.tenant_id AND since <> budget_period_start(period);
  IF NOT is_fresh THEN
    PERFORM give_back_slice(p_goal);
    UPDATE goals SET lent_at = clock_timestamp(), lent_until = limits.until, lent_under = limits.changed_at,
      lent_steps = CASE WHEN limits.steps THEN steps_used END, lent_tokens = CASE WHEN limits.tokens THEN tokens_used END,
      lent_micro_usd = CASE WHEN limits.micro_usd THEN cost_micro_usd END
      WHERE id = p_goal;
  END IF;
  SELECT min(l.steps - u.steps) AS steps, min(l.tokens - u.tokens) AS tokens, min(l.micro_usd - u.micro_usd) AS micro_usd INTO b
    FROM tenant_budgets l JOIN tenant_budget_use u USING (tenant_id, period) WHERE l.tenant_id = g.tenant_id;
  room_steps := b.steps; room_tokens := b.tokens; room_micro_usd := b.micro_usd;

  short_steps := greatest(short_steps, 0); short_tokens := greatest(short_tokens, 0); short_micro_usd := greatest(short_micro_usd, 0);
  FOR b IN
    SELECT l.period, l.steps - u.steps AS steps, l.tokens - u.tokens AS tokens, l.micro_usd - u.micro_usd AS micro_usd
    FROM tenant_budgets l JOIN tenant_budget_use u USING (tenant_id, period) WHERE l.tenant_id = g.tenant_id ORDER BY l.period
  LOOP
    IF b.steps < short_steps THEN RETURN ARRAY['step_budget', b.period]; END IF;
    IF b.tokens < short_tokens THEN RETURN ARRAY['token_budget', b.period]; END IF;
    IF b.micro_usd < short_micro_usd THEN RETURN ARRAY['cost_budget', b.period]; END IF;
  END LOOP;

  -- Null stays null: no limit, nothing lent.
  short_steps := CASE WHEN room_steps IS NOT NULL THEN least(room_steps, short_steps + least(slice_steps, room_steps / 8)) END;
  short_tokens := CASE WHEN room_tokens IS NOT NULL THEN least(room_tokens, short_tokens + least(slice_tokens, room_tokens / 8)) END;
  short_micro_usd := CASE WHEN room_micro_usd IS NOT NULL THEN least(room_micro_usd, short_micro_usd + least(slice_micro_usd, room_micro_usd / 8)) END;
  UPDATE tenant_budget_use SET steps = steps + coalesce(short_steps, 0), tokens = tokens + coalesce(short_tokens, 0),
    micro_usd = micro_usd + coalesce(short_micro_usd, 0) WHERE tenant_id = g.tenant_id;
  UPDATE goals SET lent_steps = lent_steps + short_steps, lent_tokens = lent_tokens + short_tokens,
    lent_micro_usd = lent_micro_usd + short_micro_usd WHERE id = p_goal;
  RETURN NULL;
END $$;

-- Reserves for what comes next, on top of what the caller holds (p_own_*), or says which budget is spent (DESIGN §6), or 'wait'
-- where enough is left but others hold it: they may give some back. Steps are needed all; of tokens and money p_need_* are
-- needed, and up to p_want_* are taken where they are free (totals, in both cases). The caller holds the goal's row and adds
-- what it got to its own; the planner's own is added here.
CREATE FUNCTION reserve_budget(p_goal text, p_is_planner boolean, p_steps integer, p_need_tokens bigint, p_want_tokens bigint,
  p_need_micro_usd bigint, p_want_micro_usd bigint, p_own_steps integer, p_own_tokens bigint, p_own_micro_usd bigint,
  OUT spent text, OUT tokens bigint, OUT micro_usd bigint) LANGUAGE plpgsql AS $$
DECLARE
  g goals%ROWTYPE;
  v_tokens bigint := greatest(p_need_tokens - p_own_tokens, 0);
  v_micro_usd bigint := greatest(p_need_micro_usd - p_own_micro_usd, 0);
  lent text[];
BEGIN
  SELECT * INTO g FROM goals WHERE id = p_goal;
  spent := CASE
    WHEN g.exhausted IS NOT NULL THEN g.exhausted
    WHEN clock_timestamp() >= g.deadline_at THEN 'wall_budget'
    WHEN g.tokens_used >= g.budget_tokens THEN 'token_budget'
    WHEN g.budget_micro_usd IS NOT NULL AND (g.cost_unknown OR g.cost_micro_usd >= g.budget_micro_usd) THEN 'cost_budget'
    WHEN g.steps_used + p_own_steps + p_steps > g.budget_steps THEN 'step_budget'
    WHEN g.tokens_used + p_own_tokens + v_tokens > g.budget_tokens THEN 'token_budget'
    WHEN g.cost_micro_usd + p_own_micro_usd + v_micro_usd > g.budget_micro_usd THEN 'cost_budget'
    WHEN g.steps_used + g.steps_reserved + p_steps > g.budget_steps THEN 'wait'
    WHEN v_tokens > 0 AND g.tokens_used + g.tokens_reserved + v_tokens > g.budget_tokens THEN 'wait'
    WHEN v_micro_usd > 0 AND g.cost_micro_usd + g.cost_reserved + v_micro_usd > g.budget_micro_usd THEN 'wait'
  END;
  -- Most tenants have no limits, and then this is all it costs.
  IF spent IS NULL AND (g.lent_until IS NOT NULL OR EXISTS (SELECT FROM tenant_budgets WHERE tenant_id = g.tenant_id)) THEN
    lent := lend_to_goal(p_goal, p_steps, v_tokens, v_micro_usd);
    spent := lent[1];
    SELECT * INTO g FROM goals WHERE id = p_goal;
  END IF;
  IF spent IS NULL THEN
    -- least() passes over what is null: no limit.
    tokens := greatest(v_tokens, least(p_want_tokens - p_own_tokens, g.budget_tokens - g.tokens_used - g.tokens_reserved,
      g.lent_tokens - g.tokens_used - g.tokens_reserved));
    micro_usd := greatest(v_micro_usd, least(p_want_micro_usd - p_own_micro_usd, g.budget_micro_usd - g.cost_micro_usd - g.cost_reserved,
      g.lent_micro_usd - g.cost_micro_usd - g.cost_reserved));
    UPDATE goals SET steps_reserved = steps_reserved + p_steps, tokens_reserved = tokens_reserved + tokens, cost_reserved = cost_reserved + micro_usd,
      plan_reserved = plan_reserved + CASE WHEN p_is_planner THEN p_steps ELSE 0 END,
      plan_tokens_reserved = plan_tokens_reserved + CASE WHEN p_is_planner THEN tokens ELSE 0 END,
      plan_cost_reserved = plan_cost_reserved + CASE WHEN p_is_planner THEN micro_usd ELSE 0 END,
      plan_tokens_needed = CASE WHEN p_is_planner THEN 0 ELSE plan_tokens_needed END,
      plan_cost_needed = CASE WHEN p_is_planner THEN 0 ELSE plan_cost_needed END
      WHERE id = p_goal;
  ELSE
    tokens := 0;
    micro_usd := 0;
    IF spent <> 'wait' AND g.exhausted IS NULL THEN
      UPDATE goals SET exhausted = spent, exhausted_period = lent[2], plan_wanted = plan_wanted + 1, due_at = clock_timestamp() WHERE id = p_goal;
    ELSIF spent = 'wait' AND p_is_planner THEN
      UPDATE goals SET plan_tokens_needed = p_need_tokens, plan_cost_needed = p_need_micro_usd WHERE id = p_goal;
    END IF;
  END IF;
END $$;

-- What a claim takes of tokens before anybody knows its request: enough for a usual one, and at most a sixteenth of what is
-- left, so that what is parallel finds some. Money likewise, where it is limited.
CREATE FUNCTION claim_tokens(g goals) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT least(40000, greatest(g.budget_tokens - g.tokens_used - g.tokens_reserved, 0) / 16)
$$;
CREATE FUNCTION claim_micro_usd(g goals) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT coalesce(greatest(g.budget_micro_usd - g.cost_micro_usd - g.cost_reserved, 0) / 16, 0)
$$;

-- What a claim holds now: {steps, tokens, micro_usd, money}; money says whether there is a limit on it.
CREATE FUNCTION held_by(p_goal text, p_task text) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('steps', coalesce(t.steps_reserved, g.plan_reserved), 'tokens', coalesce(t.tokens_reserved, g.plan_tokens_reserved),
    'micro_usd', coalesce(t.cost_reserved, g.plan_cost_reserved), 'money', g.budget_micro_usd IS NOT NULL OR g.lent_micro_usd IS NOT NULL)
  FROM goals g LEFT JOIN tasks t ON t.id = p_task WHERE g.id = p_goal
$$;

-- The warning that this much of a budget is used, where it now is and nobody said so yet. The caller holds the goal's row.
CREATE FUNCTION warn_of_budgets(p_goal text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  g goals%ROWTYPE;
  warnings jsonb := '[]';
  b record;
BEGIN
  SELECT * INTO g FROM goals WHERE id = p_goal;
  FOR b IN
    SELECT * FROM (VALUES ('steps', g.steps_used::numeric, g.budget_steps::numeric), ('tokens', g.tokens_used, g.budget_tokens),
      ('usd', g.cost_micro_usd / 1000000.0, g.budget_micro_usd / 1000000.0)) v (budget, used, total)
    WHERE total > 0 AND used >= total * 0.8 AND budget <> ALL (g.warned)
  LOOP
    warnings := warnings || jsonb_build_object('type', 'budget.warning',
      'data', jsonb_build_object('budget', b.budget, 'used', trim_scale(b.used), 'limit', trim_scale(b.total)));
    UPDATE goals SET warned = warned || b.budget WHERE id = p_goal;
  END LOOP;
  PERFORM append_events(p_goal, warnings);
END $$;

-- The same for the wall clock, which no commit drives. Served by goals_wall_warning. Says which goals have news.
CREATE FUNCTION warn_of_wall(p_limit integer) RETURNS TABLE (goal_id text, event_seq bigint) LANGUAGE plpgsql AS $$
DECLARE
  g goals%ROWTYPE;
BEGIN
  FOR g IN
    -- now() rather than clock_timestamp(), which no index can be searched by.
    SELECT * FROM goals WHERE wall_warn_at <= now() AND asleep_at IS NULL AND status IN ('queued', 'planning', 'running', 'waiting')
    LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
  LOOP
    UPDATE goals SET wall_warn_at = NULL WHERE id = g.id;
    goal_id := g.id;
    event_seq := append_events(g.id, jsonb_build_array(jsonb_build_object('type', 'budget.warning', 'data', jsonb_build_object('budget', 'wall_ms',
      'used', least(g.budget_wall_ms, g.budget_wall_ms - round(extract(epoch FROM g.deadline_at - clock_timestamp()) * 1000)::bigint),
      'limit', g.budget_wall_ms))));
    RETURN NEXT;
  END LOOP;
END $$;

-- Counts what the write spent and reserves what comes next; says which budget is spent, as reserve_budget does. What was held
-- for a model call goes back with the call; all of it where the claim ends.
CREATE OR REPLACE FUNCTION settle_write(w jsonb, p_steps_written integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  g goals%ROWTYPE;
  t tasks%ROWTYPE;
  v_goal text := w ->> 'goal';
  v_task text := w ->> 'task';
  v_id text := w ->> 'id';
  v_steps integer := coalesce((w #>> '{settle,steps}')::integer, 0);
  v_reserve integer := coalesce((w ->> 'reserve')::integer, 0);
  v_hold jsonb := w -> 'hold';
  v_backoff boolean := coalesce((w ->> 'backoff')::boolean, false);
  v_ends boolean := w #>> '{move,to}' IS NOT NULL OR w ? 'plan' OR w ? 'end' OR w ? 'release';
  v_lets_go boolean := v_ends OR w @? '$.steps[*] ? (@.kind == "model" && @.phase == "result")';
  own_steps integer;
  own_tokens bigint;
  own_micro_usd bigint;
  got record;
BEGIN
  SELECT * INTO g FROM goals WHERE id = v_goal;
  IF v_task IS NULL THEN
    own_steps := g.plan_reserved; own_tokens := g.plan_tokens_reserved; own_micro_usd := g.plan_cost_reserved;
  ELSE
    SELECT * INTO t FROM tasks WHERE id = v_task;
    own_steps := t.steps_reserved; own_tokens := t.tokens_reserved; own_micro_usd := t.cost_reserved;
  END IF;
  UPDATE goals SET
    step_seq = step_seq + p_steps_written,
    file_seq = file_seq + coalesce(jsonb_array_length(w -> 'files'), 0),
    steps_used = steps_used + v_steps,
    steps_reserved = steps_reserved - least(v_steps, own_steps),
    plan_reserved = CASE WHEN v_task IS NULL THEN greatest(plan_reserved - v_steps, 0) ELSE plan_reserved END,
    tokens_used = tokens_used + coalesce((w #>> '{settle,tokens}')::bigint, 0),
    tokens_reserved = tokens_reserved - CASE WHEN v_lets_go THEN own_tokens ELSE 0 END,
    plan_tokens_reserved = CASE WHEN v_task IS NULL AND v_lets_go THEN 0 ELSE plan_tokens_reserved END,
    cost_micro_usd = cost_micro_usd + coalesce((w #>> '{settle,cost_micro_usd}')::bigint, 0),
    cost_reserved = cost_reserved - CASE WHEN v_lets_go THEN own_micro_usd ELSE 0 END,
    plan_cost_reserved = CASE WHEN v_task IS NULL AND v_lets_go THEN 0 ELSE plan_cost_reserved END,
    -- A call whose price is not known is not begun where money is limited.
    cost_unknown = cost_unknown OR coalesce((w #>> '{settle,cost_unknown}')::boolean, false)
      OR coalesce((v_hold ->> 'unpriced')::boolean, false) AND (budget_micro_usd IS NOT NULL OR lent_micro_usd IS NOT NULL),
    plan_backoffs = CASE WHEN v_task IS NOT NULL THEN plan_backoffs WHEN v_backoff THEN least(plan_backoffs + 1, 100)
      WHEN p_steps_written > 0 THEN 0 ELSE plan_backoffs END,
    expired_claims = CASE WHEN v_task IS NULL AND p_steps_written > 0 THEN 0 ELSE expired_claims END,
    last_write = CASE WHEN v_task IS NULL THEN v_id ELSE last_write END
    WHERE id = v_goal RETURNING * INTO g;
  IF v_task IS NOT NULL THEN
    UPDATE tasks SET last_write = v_id, steps_reserved = greatest(steps_reserved - v_steps, 0),
      tokens_reserved = CASE WHEN v_lets_go THEN 0 ELSE tokens_reserved END, cost_reserved = CASE WHEN v_lets_go THEN 0 ELSE cost_reserved END,
      backoffs = CASE WHEN v_backoff THEN least(backoffs + 1, 100) WHEN p_steps_written > 0 THEN 0 ELSE backoffs END,
      -- What gets on is not what ends its process (W8).
      expired_claims = CASE WHEN p_steps_written > 0 THEN 0 ELSE expired_claims END
      WHERE id = v_task;
  END IF;
  IF v_lets_go THEN own_tokens := 0; own_micro_usd := 0; END IF;
  own_steps := greatest(own_steps - v_steps, 0);
  IF v_steps > 0 AND (g.steps_used >= g.budget_steps * 0.8 OR g.tokens_used >= g.budget_tokens * 0.8 OR g.cost_micro_usd >= g.budget_micro_usd * 0.8)
    THEN PERFORM warn_of_budgets(v_goal); END IF;

  IF v_ends OR v_reserve = 0 AND v_hold IS NULL THEN RETURN NULL; END IF;
  SELECT * INTO got FROM reserve_budget(v_goal, v_task IS NULL, v_reserve,
    coalesce((v_hold ->> 'need_tokens')::bigint, 0), coalesce((v_hold ->> 'tokens')::bigint, 0),
    coalesce((v_hold ->> 'need_micro_usd')::bigint, 0), coalesce((v_hold ->> 'micro_usd')::bigint, 0), own_steps, own_tokens, own_micro_usd);
  IF v_task IS NOT NULL THEN
    IF got.spent IS NULL THEN
      UPDATE tasks SET steps_reserved = steps_reserved + v_reserve, tokens_reserved = tokens_reserved + got.tokens,
        cost_reserved = cost_reserved + got.micro_usd, steps_needed = 0, tokens_needed = 0, cost_needed = 0 WHERE id = v_task;
    ELSE
      -- Its next claim gets all of it or waits, so that two that each hold a part do not wait for one another.
      UPDATE tasks SET steps_needed = own_steps + v_reserve, tokens_needed = coalesce((v_hold ->> 'need_tokens')::bigint, 0),
        cost_needed = coalesce((v_hold ->> 'need_micro_usd')::bigint, 0) WHERE id = v_task;
    END IF;
  END IF;
  RETURN got.spent;
END $$;

-- Claims due tasks of one goal for one stage (W3): the fence goes up, the lease is named, the first step is reserved and some
-- tokens for it. Returns {goal_status, tasks: [ids], spent?}.
CREATE OR REPLACE FUNCTION claim_tasks(p_goal text, p_queue text, p_tasks text[], p_lease text, p_limit integer) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  g goals%ROWTYPE;
  t tasks%ROWTYPE;
  claimed text[] := '{}';
  left_over text[] := '{}';
  v_steps integer;
  got record;
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
    v_steps := greatest(1, t.steps_needed) - t.steps_reserved;
    IF v_steps > 0 OR t.tokens_needed > t.tokens_reserved OR t.cost_needed > t.cost_reserved THEN
      SELECT * INTO g FROM goals WHERE id = p_goal;
      SELECT * INTO got FROM reserve_budget(p_goal, false, greatest(v_steps, 0), t.tokens_needed, greatest(claim_tokens(g), t.tokens_needed),
        t.cost_needed, greatest(claim_micro_usd(g), t.cost_needed), t.steps_reserved, t.tokens_reserved, t.cost_reserved);
      v_spent := got.spent;
      IF v_spent IS NOT NULL THEN
        -- Looked at again soon: others give back what they don't use, or the planner ends the goal.
        UPDATE tasks SET dispatched_at = NULL, due_at = clock_timestamp() + interval '1 second' WHERE id = t.id;
        CONTINUE;
      END IF;
      t.steps_reserved := t.steps_reserved + greatest(v_steps, 0);
      t.tokens_reserved := t.tokens_reserved + got.tokens;
      t.cost_reserved := t.cost_reserved + got.micro_usd;
    END IF;
    UPDATE tasks SET
      status = CASE WHEN p_queue = 'execute' THEN 'running' ELSE status END,
      fence = fence + 1, lease_id = p_lease, steps_reserved = t.steps_reserved, tokens_reserved = t.tokens_reserved, cost_reserved = t.cost_reserved,
      steps_needed = 0, tokens_needed = 0, cost_needed = 0,
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
  v_steps integer;
  got record;
BEGIN
  SELECT * INTO g FROM goals WHERE id = p_goal FOR NO KEY UPDATE;
  IF NOT FOUND OR g.plan_wanted = 0 OR g.status NOT IN ('queued', 'running', 'planning') OR g.status = 'planning' AND lease_lives(g.lease_id) THEN
    RETURN jsonb_build_object('goal_status', coalesce(g.status, 'gone'), 'claimed', false);
  END IF;
  IF NOT lease_lives(p_lease) THEN RAISE EXCEPTION 'lease % has expired', p_lease USING ERRCODE = 'object_not_in_prerequisite_state'; END IF;
  v_steps := greatest(1 - g.plan_reserved, 0);
  IF g.exhausted IS NULL AND (v_steps > 0 OR g.plan_tokens_needed > g.plan_tokens_reserved OR g.plan_cost_needed > g.plan_cost_reserved) THEN
    SELECT * INTO got FROM reserve_budget(p_goal, true, v_steps, g.plan_tokens_needed, greatest(claim_tokens(g), g.plan_tokens_needed),
      g.plan_cost_needed, greatest(claim_micro_usd(g), g.plan_cost_needed), g.plan_reserved, g.plan_tokens_reserved, g.plan_cost_reserved);
    IF got.spent = 'wait' THEN
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

DROP FUNCTION reserve_steps;

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
      steps_reserved = 0, tokens_reserved = 0, cost_reserved = 0, ended_at = clock_timestamp()
      WHERE goal_id = v_goal AND status IN ('pending', 'ready', 'running', 'waiting', 'reflecting');
    UPDATE goals SET status = v_end, reason = w #>> '{end,reason}', detail = w #>> '{end,detail}', answer = w #>> '{end,answer}',
      citations = w #> '{end,citations}', ended_at = clock_timestamp(), live_tasks = 0, plan_wanted = 0, steps_reserved = 0,
      tokens_reserved = 0, cost_reserved = 0, plan_round = plan_round + 1 WHERE id = v_goal;
    PERFORM give_back_slice(v_goal);
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

-- As before, with the wall clock's warning moved along. The caller holds the goal's row.
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
    UPDATE goals SET deadline_at = deadline_at + (clock_timestamp() - asleep_at),
      wall_warn_at = wall_warn_at + (clock_timestamp() - asleep_at), asleep_at = NULL WHERE id = p_goal;
  END IF;
END $$;
