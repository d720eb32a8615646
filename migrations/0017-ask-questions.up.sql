-- What intake made of a goal, what its planner asks its submitter, and what the guards on its plans have counted. Files that a tool's
-- long result was put into say so.
-- Locks: ACCESS EXCLUSIVE on goals and artifacts for an instant (columns with constant defaults, a check that is not looked through).
-- Old workers survive it: they ask nothing, and a goal that waits for an answer is not given to them.

ALTER TABLE goals
  ADD COLUMN intake jsonb,
  -- [{about, question, answer, by, at}], in order; `by` is null where the deadline answered.
  ADD COLUMN clarifications jsonb NOT NULL DEFAULT '[]',
  -- How long its submitter is waited for; null where nobody is asked.
  ADD COLUMN questions_wait_ms bigint CHECK (questions_wait_ms > 0),
  ADD COLUMN guards jsonb NOT NULL DEFAULT '{}';

ALTER TABLE artifacts DROP CONSTRAINT artifacts_origin_check;
ALTER TABLE artifacts ADD CONSTRAINT artifacts_origin_check CHECK (origin IN ('attached', 'written', 'observed')) NOT VALID;

CREATE TABLE questions (
  id text PRIMARY KEY,
  tenant_id text NOT NULL REFERENCES tenants,
  goal_id text NOT NULL REFERENCES goals ON DELETE CASCADE,
  -- What made the planner ask: the text itself, or a guard on plans.
  about text NOT NULL CHECK (about IN ('intake', 'drift', 'thrash', 'stall')),
  text text NOT NULL CHECK (length(text) BETWEEN 1 AND 8000),
  -- What is taken where nobody answers in time.
  default_answer text NOT NULL CHECK (length(default_answer) BETWEEN 1 AND 8000),
  status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'answered', 'withdrawn')),
  deadline_at timestamptz NOT NULL CHECK (isfinite(deadline_at)),
  answer text,
  -- Null where the deadline answered.
  answered_by text,
  asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  answered_at timestamptz,
  CHECK ((status = 'answered') = (answer IS NOT NULL))
);
-- A goal waits for one answer at a time.
CREATE UNIQUE INDEX questions_open_of_goal ON questions (goal_id) WHERE status = 'open';
CREATE INDEX questions_of_goal ON questions (goal_id, asked_at);
CREATE INDEX questions_due ON questions (deadline_at) WHERE status = 'open';

GRANT SELECT, UPDATE ON questions TO outerloop_api;
ALTER TABLE questions ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON questions TO outerloop_api USING (tenant_id = api_tenant()) WITH CHECK (tenant_id = api_tenant());

-- Nobody is asked about a goal that has ended.
CREATE FUNCTION withdraw_questions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE questions SET status = 'withdrawn', answered_at = clock_timestamp() WHERE goal_id = NEW.id AND status = 'open';
  RETURN NULL;
END $$;
CREATE TRIGGER goals_ended AFTER UPDATE OF status ON goals FOR EACH ROW
  WHEN (OLD.status IN ('waiting', 'paused') AND NEW.ended_at IS NOT NULL) EXECUTE FUNCTION withdraw_questions();

-- The goal waits for its submitter. The caller holds its row.
CREATE FUNCTION ask_question(p_goal text, p_ask jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  q questions%ROWTYPE;
BEGIN
  INSERT INTO questions (id, tenant_id, goal_id, about, text, default_answer, deadline_at)
    SELECT p_ask ->> 'id', tenant_id, p_goal, p_ask ->> 'about', p_ask ->> 'text', p_ask ->> 'default',
      clock_timestamp() + make_interval(secs => (p_ask ->> 'for_ms')::float8 / 1000)
    FROM goals WHERE id = p_goal
    RETURNING * INTO q;
  UPDATE goals SET status = 'waiting' WHERE id = p_goal;
  PERFORM append_events(p_goal, jsonb_build_array(jsonb_build_object('type', 'goal.asked', 'data', jsonb_build_object('id', q.id, 'about', q.about,
    'text', q.text, 'default', q.default_answer, 'deadline_at', q.deadline_at))));
END $$;

-- The answer, and the goal goes on. The caller holds its row. Null by whom: the deadline.
CREATE FUNCTION answer_question(p_goal text, p_question text, p_answer text, p_by text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  q questions%ROWTYPE;
BEGIN
  UPDATE questions SET status = 'answered', answer = p_answer, answered_by = p_by, answered_at = clock_timestamp()
    WHERE id = p_question AND goal_id = p_goal AND status = 'open' RETURNING * INTO q;
  IF NOT FOUND THEN RETURN; END IF;
  UPDATE goals SET
    clarifications = clarifications || jsonb_build_array(jsonb_build_object('about', q.about, 'question', q.text, 'answer', p_answer,
      'by', p_by, 'at', to_char(q.answered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))),
    status = CASE WHEN status = 'waiting' THEN 'running' ELSE status END,
    paused_from = CASE WHEN paused_from = 'waiting' THEN 'running' ELSE paused_from END,
    plan_wanted = greatest(plan_wanted, 1), dispatched_at = NULL,
    due_at = CASE WHEN due_at = 'infinity' THEN due_at ELSE clock_timestamp() END
    WHERE id = p_goal;
  PERFORM append_events(p_goal, jsonb_build_array(jsonb_build_object('type', 'goal.answered', 'data', jsonb_build_object('id', q.id, 'about', q.about,
    'answer', p_answer, 'by', p_by))));
  PERFORM settle_sleep(p_goal);
END $$;

CREATE OR REPLACE FUNCTION guard_write(w jsonb, g goals, t tasks) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_goal text := w ->> 'goal';
  v_task text := w ->> 'task';
  v_id text := w ->> 'id';
  v_move text := w #>> '{move,to}';
  v_end text := w #>> '{end,to}';
BEGIN
  -- Guards (W2, W3): a stale fence changes nothing; else the same write again is a win. One that won and whose claim somebody else
  -- has taken since is told so: what it does next would be done twice.
  IF v_task IS NULL THEN
    IF g.fence = (w ->> 'fence')::bigint AND g.last_write = v_id THEN RETURN jsonb_build_object('outcome', 'won', 'goal_status', g.status); END IF;
    IF g.fence <> (w ->> 'fence')::bigint OR g.lease_id IS NULL
      OR g.status <> 'planning' AND NOT (g.status = 'paused' AND g.paused_from = 'planning') THEN
      RETURN jsonb_build_object('outcome', 'stale', 'goal_status', g.status);
    END IF;
  ELSE
    IF t.id IS NULL THEN RETURN jsonb_build_object('outcome', 'stale', 'why', 'no such task'); END IF;
    IF t.fence = (w ->> 'fence')::bigint AND t.last_write = v_id THEN RETURN jsonb_build_object('outcome', 'won', 'goal_status', g.status); END IF;
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
  IF v_task IS NULL AND v_end IS NOT NULL AND g.live_tasks > 0 AND (g.exhausted IS NULL OR v_end <> 'failed')
    AND NOT coalesce((w #>> '{end,force}')::boolean, false) THEN
    RETURN jsonb_build_object('outcome', 'refused', 'why', 'tasks are live', 'goal_status', g.status);
  END IF;
  IF v_task IS NULL AND (v_end IS NOT NULL OR w ?| ARRAY['plan', 'ask']) AND g.status = 'paused' THEN
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

CREATE OR REPLACE FUNCTION journal_write(w jsonb, g goals) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_goal text := w ->> 'goal';
  v_task text := w ->> 'task';
  v_id text := w ->> 'id';
  v_n integer;
BEGIN
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
    FROM jsonb_array_elements(w -> 'steps') WITH ORDINALITY s
    -- An external call that is sent again has its intent in the journal already.
    WHERE s.value ->> 'phase' = 'result' OR NOT w ? 'effects' OR NOT EXISTS (SELECT FROM steps i WHERE i.retention = g.retention AND i.goal_day = g.goal_day
      AND i.subject_id = coalesce(v_task, v_goal) AND i.attempt = (s.value ->> 'attempt')::integer AND i.seq = (s.value ->> 'seq')::integer AND i.phase = 'intent');
  GET DIAGNOSTICS v_n = ROW_COUNT;

  -- Stored effects ride in the same transaction as their journal entry, so they happen exactly once (W10).
  INSERT INTO artifacts (retention, goal_day, tenant_id, goal_id, version, path, mode, origin, bytes, hash, task_id)
    SELECT g.retention, g.goal_day, g.tenant_id, v_goal, g.file_seq + f.ordinality, f.value ->> 'path', f.value ->> 'mode', coalesce(f.value ->> 'origin', 'written'),
      decode(f.value ->> 'base64', 'base64'), f.value ->> 'hash', v_task
    FROM jsonb_array_elements(w -> 'files') WITH ORDINALITY f;
  IF w ? 'waits' THEN
    INSERT INTO waits (id, tenant_id, goal_id, task_id, attempt, seq, kind, name, subject, hash, deadline_at, on_deadline)
      SELECT i.value ->> 'id', g.tenant_id, v_goal, v_task, (i.value ->> 'attempt')::integer, (i.value ->> 'seq')::integer,
        i.value ->> 'kind', i.value ->> 'name', coalesce(i.value -> 'subject', '{}'), i.value ->> 'hash',
        coalesce((i.value ->> 'until')::timestamptz, clock_timestamp() + make_interval(secs => (i.value ->> 'for_ms')::float8 / 1000)),
        i.value ->> 'on_deadline'
      FROM jsonb_array_elements(w -> 'waits') i;
    -- A signal that came early is there already.
    UPDATE tasks SET wakes = wakes + 1 WHERE id = ANY (match_signals(v_goal)) AND id = v_task;
  END IF;
  IF w ? 'effects' THEN
    INSERT INTO effects (tenant_id, goal_id, key, send_key, root_id, task_id, attempt, seq, tool, version, args, status, fence)
      SELECT g.tenant_id, v_goal, i.value ->> 'key', i.value ->> 'send_key', i.value ->> 'root', v_task, (i.value ->> 'attempt')::integer,
        (i.value ->> 'seq')::integer, i.value ->> 'tool', i.value ->> 'version', i.value -> 'args', 'intended', (w ->> 'fence')::bigint
      FROM jsonb_array_elements(w -> 'effects') i WHERE i.value ->> 'status' = 'intended'
      ON CONFLICT (goal_id, key) DO UPDATE SET send_key = excluded.send_key, task_id = excluded.task_id, attempt = excluded.attempt,
        seq = excluded.seq, version = excluded.version, args = excluded.args, status = 'intended', fence = excluded.fence,
        turn = effects.turn + 1, result = NULL, intended_at = clock_timestamp(), ended_at = NULL;
    UPDATE effects SET status = i.value ->> 'status', result = i.value -> 'result', ended_at = clock_timestamp()
      FROM jsonb_array_elements(w -> 'effects') i
      WHERE i.value ->> 'status' <> 'intended' AND effects.goal_id = v_goal AND effects.key = i.value ->> 'key';
  END IF;
  -- A write without memories takes no lock on their table: an index being built there holds up no other work.
  IF jsonb_array_length(coalesce(w -> 'memory', '[]')) > 0 THEN
    INSERT INTO memory_entries (id, tenant_id, session_id, goal_id, task_id, kind, text, embedding, embedding_model)
      SELECT m.value ->> 'id', g.tenant_id, g.session_id, v_goal, v_task, m.value ->> 'kind', m.value ->> 'text',
        (m.value ->> 'embedding')::vector, m.value ->> 'embedding_model'
      FROM jsonb_array_elements(w -> 'memory') m;
  END IF;
  RETURN v_n;
END $$;

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
  v_ends boolean := w #>> '{move,to}' IS NOT NULL OR w ?| ARRAY['plan', 'end', 'release', 'ask'];
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

CREATE OR REPLACE FUNCTION settle_sleep(p_goal text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  g goals%ROWTYPE;
  asleep boolean;
BEGIN
  SELECT * INTO g FROM goals WHERE id = p_goal;
  IF g.waiting_tasks = 0 AND g.asleep_at IS NULL AND g.status <> 'waiting' THEN RETURN; END IF;
  IF g.status = 'waiting' AND g.exhausted IS NOT NULL THEN
    -- What was under way has used its budget up: nobody is asked any more, and the planner ends it.
    UPDATE questions SET status = 'withdrawn', answered_at = clock_timestamp() WHERE goal_id = p_goal AND status = 'open';
    UPDATE goals SET status = 'running', plan_wanted = greatest(plan_wanted, 1), due_at = clock_timestamp(), dispatched_at = NULL
      WHERE id = p_goal RETURNING * INTO g;
  END IF;
  -- While a person is asked what the goal means, nothing of it begins.
  asleep := g.status = 'waiting' OR g.waiting_tasks > 0 AND g.status = 'running' AND g.plan_wanted = 0 AND g.exhausted IS NULL
    AND NOT EXISTS (SELECT FROM tasks WHERE goal_id = p_goal AND status IN ('ready', 'running', 'reflecting'));
  IF asleep AND g.asleep_at IS NULL THEN
    UPDATE goals SET asleep_at = clock_timestamp() WHERE id = p_goal;
  ELSIF NOT asleep AND g.asleep_at IS NOT NULL THEN
    UPDATE goals SET deadline_at = deadline_at + (clock_timestamp() - asleep_at),
      wall_warn_at = wall_warn_at + (clock_timestamp() - asleep_at), asleep_at = NULL WHERE id = p_goal;
  END IF;
END $$;

CREATE OR REPLACE FUNCTION move_task(w jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  t tasks%ROWTYPE;
  v_goal text := w ->> 'goal';
  v_task text := w ->> 'task';
  v_move text := w #>> '{move,to}';
  v_why text;
  v_n integer;
  v_new text[];
BEGIN
  SELECT * INTO t FROM tasks WHERE id = v_task;
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
      wait = CASE WHEN v_move = 'waiting' THEN open_waits(id, attempt) END,
      ended_at = CASE WHEN v_move IN ('done', 'failed', 'abandoned', 'split') THEN clock_timestamp() END
      WHERE id = v_task;
  END IF;

  IF v_move = 'done' THEN
    UPDATE tasks SET blockers = blockers - 1 WHERE id IN (SELECT task_id FROM task_dependencies WHERE depends_on = v_task);
    UPDATE tasks SET status = 'ready', due_at = CASE WHEN due_at = 'infinity' THEN due_at ELSE clock_timestamp() END
      WHERE id IN (SELECT task_id FROM task_dependencies WHERE depends_on = v_task) AND status = 'pending' AND blockers = 0;
    UPDATE goals SET live_tasks = live_tasks - 1, done_since_plan = done_since_plan + 1,
      plan_wanted = plan_wanted + CASE
        WHEN planning = 'every-step' OR planning = 'every-n' AND done_since_plan + 1 >= planning_every
          -- What came out asks for another plan than the one that is followed.
          OR coalesce((w #>> '{move,replan}')::boolean, false) THEN 1 ELSE 0 END
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
      SELECT d.task_id, n, v_goal, t.tenant_id FROM task_dependencies d, unnest(v_new) n WHERE d.depends_on = v_task;
    UPDATE tasks SET blockers = blockers - 1 + cardinality(v_new) WHERE id IN (SELECT task_id FROM task_dependencies WHERE depends_on = v_task);
    DELETE FROM task_dependencies WHERE depends_on = v_task;
    UPDATE goals SET live_tasks = live_tasks - 1, plan_wanted = plan_wanted + 1 WHERE id = v_goal;
  END IF;
  IF v_move = 'waiting' THEN
    PERFORM append_events(v_goal, jsonb_build_array(jsonb_build_object('type', 'task.waiting', 'task', v_task,
      'data', jsonb_build_object('key', t.key, 'on', open_waits(v_task, t.attempt)))));
  END IF;
  -- Nothing left to do: the planner says what now.
  UPDATE goals SET plan_wanted = plan_wanted + 1 WHERE id = v_goal AND live_tasks = 0 AND plan_wanted = 0;
END $$;

CREATE OR REPLACE FUNCTION move_goal(w jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_goal text := w ->> 'goal';
  v_end text := w #>> '{end,to}';
  v_why text;
BEGIN
  IF w ?| ARRAY['intake', 'guards'] THEN
    UPDATE goals SET intake = coalesce(w -> 'intake', intake), guards = coalesce(w -> 'guards', guards) WHERE id = v_goal;
  END IF;
  IF w ?| ARRAY['plan', 'end', 'release', 'ask'] THEN
    UPDATE goals SET lease_id = NULL, dispatched_at = NULL, expired_claims = 0,
      due_at = CASE WHEN due_at = 'infinity' THEN due_at
        ELSE clock_timestamp() + make_interval(secs => coalesce((w #>> '{release,due_in_ms}')::float8, 0) / 1000) END,
      steps_reserved = steps_reserved - plan_reserved, plan_reserved = 0 WHERE id = v_goal;
  END IF;
  IF w ? 'ask' THEN
    -- The planner is asked again when the answer is there: what it wanted stays wanted.
    PERFORM ask_question(v_goal, w -> 'ask');
  ELSIF w ? 'plan' THEN
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

CREATE OR REPLACE FUNCTION fire_due_waits(p_limit integer) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_goal text;
  -- A value, so that the index on deadlines serves the comparison.
  v_now timestamptz := clock_timestamp();
  fired integer := 0;
  newest jsonb := '{}';
  due waits[];
  asked questions[];
BEGIN
  FOR v_goal IN
    SELECT DISTINCT goal_id FROM (
      (SELECT goal_id FROM waits WHERE status = 'open' AND deadline_at <= v_now ORDER BY deadline_at LIMIT p_limit)
      UNION ALL
      (SELECT goal_id FROM questions WHERE status = 'open' AND deadline_at <= v_now ORDER BY deadline_at LIMIT p_limit)) x
  LOOP
    PERFORM FROM goals WHERE id = v_goal FOR NO KEY UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND;
    WITH ended AS (
      UPDATE waits SET status = 'resolved', resolved_at = clock_timestamp(), resolution = jsonb_build_object('by', 'deadline')
      WHERE goal_id = v_goal AND status = 'open' AND deadline_at <= v_now
      RETURNING waits.*
    ) SELECT array_agg(ended::waits ORDER BY seq) INTO due FROM ended;
    asked := ARRAY(SELECT q FROM questions q WHERE q.goal_id = v_goal AND q.status = 'open' AND q.deadline_at <= v_now);
    CONTINUE WHEN due IS NULL AND cardinality(asked) = 0;
    fired := fired + coalesce(cardinality(due), 0) + cardinality(asked);
    PERFORM answer_question(v_goal, q.id, q.default_answer, NULL) FROM unnest(asked) q;
    PERFORM append_events(v_goal, (
      SELECT jsonb_agg(jsonb_build_object('type', 'approval.decided', 'task', d.task_id, 'data', jsonb_build_object('id', d.id, 'tool', d.name, 'decision', 'expired')))
      FROM unnest(due) d WHERE d.kind IN ('approval', 'outcome')));
    PERFORM wake_tasks(v_goal, ARRAY(SELECT d.task_id FROM unnest(due) d));
    newest := newest || jsonb_build_object(v_goal, (SELECT event_seq FROM goals WHERE id = v_goal));
  END LOOP;
  RETURN jsonb_strip_nulls(jsonb_build_object('fired', fired, 'events', newest,
    'next_ms', extract(epoch FROM least((SELECT deadline_at FROM waits WHERE status = 'open' ORDER BY deadline_at LIMIT 1),
      (SELECT deadline_at FROM questions WHERE status = 'open' ORDER BY deadline_at LIMIT 1)) - clock_timestamp()) * 1000));
END $$;

CREATE OR REPLACE FUNCTION find_plain_changes(p_writes jsonb, p_locked text[]) RETURNS plain_change[] LANGUAGE plpgsql STABLE AS $$
DECLARE
  found plain_change[];
  no_tenant_budgets boolean := NOT EXISTS (SELECT FROM tenant_budgets);
BEGIN
  WITH given AS (
    SELECT i.ordinality::integer AS ord, i.value ->> 'id' AS id, i.value ->> 'goal' AS goal, i.value ->> 'task' AS task,
      (i.value ->> 'fence')::bigint AS fence, i.value #>> '{move,to}' AS move, i.value #>> '{end,to}' AS ends,
      (i.value #>> '{plan,read}')::integer AS plan_read, coalesce(jsonb_array_length(i.value #> '{plan,tasks}'), 0) AS plan_n,
      coalesce(jsonb_array_length(i.value -> 'steps'), 0) AS steps_n, coalesce(jsonb_array_length(i.value -> 'files'), 0) AS files_n,
      coalesce(jsonb_array_length(i.value -> 'events'), 0) AS events_n, coalesce(jsonb_array_length(i.value -> 'memory'), 0) AS memory_n,
      coalesce(jsonb_array_length(i.value -> 'blobs'), 0) AS blobs_n,
      coalesce((s.settle ->> 'steps')::integer, 0) AS settled_steps, coalesce((s.settle ->> 'tokens')::bigint, 0) AS settled_tokens,
      coalesce((s.settle ->> 'cost_micro_usd')::bigint, 0) AS settled_micro_usd, coalesce((s.settle ->> 'cost_unknown')::boolean, false) AS cost_unknown,
      -- What ends a claim reserves nothing for it.
      CASE WHEN s.stays THEN coalesce((i.value ->> 'reserve')::integer, 0) ELSE 0 END AS wants_steps,
      CASE WHEN s.stays THEN greatest((s.hold ->> 'need_tokens')::bigint, (s.hold ->> 'tokens')::bigint, 0) ELSE 0 END AS wants_tokens,
      CASE WHEN s.stays THEN greatest((s.hold ->> 'need_micro_usd')::bigint, (s.hold ->> 'micro_usd')::bigint, 0) ELSE 0 END AS wants_micro_usd,
      -- What was held for a model call goes back with the call; all of it where the claim ends.
      NOT s.stays OR i.value @? '$.steps[*] ? (@.kind == "model" && @.phase == "result")' AS lets_go,
      NOT i.value ?| ARRAY['release', 'waits', 'effects', 'tasks', 'intake', 'guards', 'ask'] AND NOT coalesce(i.value -> 'move' ? 'replan', false) AND NOT coalesce((i.value ->> 'backoff')::boolean, false)
        AND CASE WHEN i.value ? 'task' THEN NOT i.value ? 'move' OR i.value #>> '{move,to}' IN ('reflecting', 'done')
          ELSE (i.value ? 'plan') <> (i.value ? 'end') END AS is_usual
    FROM jsonb_array_elements(p_writes) WITH ORDINALITY i, LATERAL (
      SELECT i.value -> 'settle' AS settle, i.value -> 'hold' AS hold, i.value ? 'task' AND NOT i.value ? 'move' AS stays) s
  ), measured AS (
    SELECT n.*, g.status AS goal_status, g.tenant_id, g.session_id, g.retention, g.goal_day, g.step_seq, g.file_seq, g.event_seq,
      g.steps_used + g.steps_reserved AS goal_steps, g.steps_used, g.budget_steps,
      g.tokens_used + g.tokens_reserved AS goal_tokens, g.tokens_used, g.budget_tokens, g.warned,
      g.task_seq, CASE WHEN n.task IS NULL THEN g.plan_reserved ELSE t.steps_reserved END AS own_steps,
      CASE WHEN n.task IS NULL THEN g.plan_tokens_reserved ELSE t.tokens_reserved END AS own_tokens,
      CASE WHEN n.task IS NULL THEN g.plan_cost_reserved ELSE t.cost_reserved END AS own_micro_usd,
      CASE WHEN n.task IS NULL OR n.move = 'done' THEN 0 ELSE greatest(t.steps_reserved - n.settled_steps, 0) + n.wants_steps END AS held_steps,
      greatest(CASE WHEN n.lets_go THEN 0 ELSE t.tokens_reserved END, n.wants_tokens) AS held_tokens,
      greatest(CASE WHEN n.lets_go THEN 0 ELSE t.cost_reserved END, n.wants_micro_usd) AS held_micro_usd,
      coalesce(n.is_usual AND CASE WHEN n.task IS NULL
          THEN g.fence = n.fence AND g.status = 'planning' AND g.lease_id IS NOT NULL AND g.last_write IS DISTINCT FROM n.id
            AND g.plan_tokens_needed = 0 AND g.plan_cost_needed = 0 AND count(*) OVER (PARTITION BY n.goal) = 1
            AND CASE WHEN n.plan_read IS NULL THEN g.live_tasks = 0 ELSE is_plain_plan(n.goal, p_writes #> ARRAY[(n.ord - 1)::text, 'plan', 'tasks']) END
          -- One write a claim; who sends two has lost track.
          ELSE t.fence = n.fence AND t.lease_id IS NOT NULL AND t.status IN ('running', 'reflecting') AND t.last_write IS DISTINCT FROM n.id
            AND t.steps_needed = 0 AND t.tokens_needed = 0 AND t.cost_needed = 0 AND count(*) OVER (PARTITION BY n.goal, n.task) = 1 END
        AND g.status IN ('planning', 'running') AND g.exhausted IS NULL AND clock_timestamp() < g.deadline_at
        AND g.waiting_tasks = 0 AND g.asleep_at IS NULL AND g.budget_micro_usd IS NULL
        AND g.lent_until IS NULL AND (no_tenant_budgets OR NOT EXISTS (SELECT FROM tenant_budgets b WHERE b.tenant_id = g.tenant_id)), false) AS is_plain
    FROM given n
      LEFT JOIN LATERAL (SELECT * FROM goals WHERE id = n.goal OFFSET 0) g ON g.id = ANY (p_locked)
      LEFT JOIN LATERAL (SELECT * FROM tasks WHERE id = n.task OFFSET 0) t ON t.goal_id = n.goal
  ), judged AS (
    SELECT m.*,
      bool_and(m.is_plain) OVER whole
      -- Whatever the order, each gets all that it asks for, and no warning is due.
      AND m.goal_steps + sum(m.settled_steps + m.wants_steps) OVER whole <= m.budget_steps
      AND m.goal_tokens + sum(m.settled_tokens + m.wants_tokens) OVER whole < m.budget_tokens
      AND (m.steps_used + sum(m.settled_steps) OVER whole < m.budget_steps * 0.8 OR 'steps' = ANY (m.warned))
      AND (m.tokens_used + sum(m.settled_tokens) OVER whole < m.budget_tokens * 0.8 OR 'tokens' = ANY (m.warned)) AS fits,
      m.step_seq + sum(m.steps_n) OVER so_far - m.steps_n AS step_from,
      m.file_seq + sum(m.files_n) OVER so_far - m.files_n AS file_from,
      m.event_seq + sum(m.events_n) OVER so_far - m.events_n AS event_from
    FROM measured m WINDOW whole AS (PARTITION BY m.goal), so_far AS (PARTITION BY m.goal ORDER BY m.ord)
  )
  SELECT array_agg(ROW(ord, id, goal, task, fence,
      CASE WHEN ends IS NOT NULL THEN ends WHEN plan_read IS NOT NULL THEN 'running' ELSE goal_status END,
      tenant_id, session_id, retention, goal_day, plan_n, plan_read, task_seq, ends, steps_n, files_n, events_n, memory_n, blobs_n,
      step_from, file_from, event_from, settled_steps, settled_tokens, settled_micro_usd, cost_unknown, move,
      held_steps, held_tokens, held_micro_usd, held_steps - own_steps, held_tokens - own_tokens, held_micro_usd - own_micro_usd)::plain_change ORDER BY ord)
    INTO found FROM judged WHERE fits;
  RETURN coalesce(found, '{}');
END $$;

CREATE OR REPLACE FUNCTION apply_plain_changes(p_writes jsonb, p plain_change[], p_at timestamp with time zone) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  has record;
BEGIN
  SELECT sum(w.steps_n) AS steps, sum(w.files_n) AS files, sum(w.memory_n) AS memory, sum(w.blobs_n) AS blobs, sum(w.events_n) AS events,
    count(w.task) AS tasks, count(*) - count(w.task) AS plans, bool_or(w.move = 'done') AS done
    INTO has FROM unnest(p) w;
  -- What no write of the batch brings takes no lock on its table.
  IF has.blobs > 0 THEN
    INSERT INTO blobs (retention, goal_day, tenant_id, goal_id, hash, body)
      SELECT w.retention, w.goal_day, w.tenant_id, w.goal, b.hash, b.body
      FROM unnest(p) w, jsonb_to_recordset(p_writes #> ARRAY[(w.ord - 1)::text, 'blobs']) AS b(hash text, body text)
      WHERE w.blobs_n > 0 ON CONFLICT DO NOTHING;
  END IF;
  IF has.steps > 0 THEN
    INSERT INTO steps (retention, goal_day, tenant_id, goal_id, subject_id, attempt, seq, phase, stage, kind, name, number, input, output, ok,
        request_hash, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cost_micro_usd, duration_ms, fence, write_id, at)
      SELECT w.retention, w.goal_day, w.tenant_id, w.goal, coalesce(w.task, w.goal), s.attempt, s.seq, s.phase, s.stage, s.kind, s.name, w.step_from + s.ordinality,
        coalesce(s.input, '{}'), coalesce(s.output, 'null'), s.ok, s.request_hash, coalesce(s.input_tokens, 0), coalesce(s.cached_input_tokens, 0),
        coalesce(s.output_tokens, 0), coalesce(s.reasoning_tokens, 0), s.cost_micro_usd, coalesce(s.duration_ms, 0), w.fence, w.id, p_at
      FROM unnest(p) w, ROWS FROM (jsonb_to_recordset(p_writes #> ARRAY[(w.ord - 1)::text, 'steps']) AS (attempt integer, seq integer, phase text, stage text,
        kind text, name text, input jsonb, output jsonb, ok boolean, request_hash text, input_tokens integer, cached_input_tokens integer,
        output_tokens integer, reasoning_tokens integer, cost_micro_usd bigint, duration_ms integer)) WITH ORDINALITY s
      WHERE w.steps_n > 0;
  END IF;
  IF has.files > 0 THEN
    INSERT INTO artifacts (retention, goal_day, tenant_id, goal_id, version, path, mode, origin, bytes, hash, task_id)
      SELECT w.retention, w.goal_day, w.tenant_id, w.goal, w.file_from + f.ordinality, f.path, f.mode, coalesce(f.origin, 'written'), decode(f.base64, 'base64'), f.hash, w.task
      FROM unnest(p) w, ROWS FROM (jsonb_to_recordset(p_writes #> ARRAY[(w.ord - 1)::text, 'files']) AS (path text, mode text, origin text, base64 text, hash text))
        WITH ORDINALITY f
      WHERE w.files_n > 0;
  END IF;
  IF has.memory > 0 THEN
    INSERT INTO memory_entries (id, tenant_id, session_id, goal_id, task_id, kind, text, embedding, embedding_model)
      SELECT m.id, w.tenant_id, w.session_id, w.goal, w.task, m.kind, m.text, m.embedding::vector, m.embedding_model
      FROM unnest(p) w, jsonb_to_recordset(p_writes #> ARRAY[(w.ord - 1)::text, 'memory']) AS m(id text, kind text, text text, embedding text, embedding_model text)
      WHERE w.memory_n > 0;
  END IF;
  IF has.events > 0 THEN
    INSERT INTO events (retention, goal_day, tenant_id, goal_id, seq, type, task_id, data, at)
      SELECT w.retention, w.goal_day, w.tenant_id, w.goal, w.event_from + e.ordinality, e.type, e.task, coalesce(e.data, '{}'), p_at
      FROM unnest(p) w, ROWS FROM (jsonb_to_recordset(p_writes #> ARRAY[(w.ord - 1)::text, 'events']) AS (type text, task text, data jsonb)) WITH ORDINALITY e
      WHERE w.events_n > 0;
  END IF;

  -- One write a claim: a batch of planners has no others.
  IF has.plans > 0 THEN PERFORM apply_plan_changes(p_writes, p, p_at); END IF;
  IF has.tasks = 0 THEN RETURN; END IF;

  UPDATE tasks t SET last_write = w.id, steps_reserved = w.held_steps,
      tokens_reserved = CASE WHEN w.move IS NULL THEN w.held_tokens ELSE 0 END, cost_reserved = CASE WHEN w.move IS NULL THEN w.held_micro_usd ELSE 0 END,
      backoffs = CASE WHEN w.steps_n > 0 THEN 0 ELSE t.backoffs END,
      -- What gets on is not what ends its process (W8).
      expired_claims = CASE WHEN w.steps_n > 0 OR w.move = 'reflecting' THEN 0 ELSE t.expired_claims END,
      status = coalesce(w.move, t.status), lease_id = CASE WHEN w.move IS NULL THEN t.lease_id END,
      dispatched_at = CASE WHEN w.move IS NULL THEN t.dispatched_at END, wait = CASE WHEN w.move IS NULL THEN t.wait END,
      result = CASE WHEN w.move IS NULL THEN t.result ELSE coalesce(p_writes #>> ARRAY[(w.ord - 1)::text, 'move', 'result'], t.result) END,
      due_at = CASE WHEN w.move IS NULL OR t.due_at = 'infinity' AND w.move = 'reflecting' THEN t.due_at ELSE p_at END,
      ended_at = CASE WHEN w.move = 'done' THEN p_at ELSE t.ended_at END
    FROM unnest(p) w WHERE t.id = w.task;
  IF has.done THEN
    UPDATE tasks t SET blockers = t.blockers - d.n,
        status = CASE WHEN t.status = 'pending' AND t.blockers = d.n THEN 'ready' ELSE t.status END,
        due_at = CASE WHEN t.status = 'pending' AND t.blockers = d.n AND t.due_at <> 'infinity' THEN p_at ELSE t.due_at END
      FROM (SELECT d.task_id, count(*) AS n FROM unnest(p) w JOIN task_dependencies d ON d.depends_on = w.task WHERE w.move = 'done' GROUP BY 1) d
      WHERE t.id = d.task_id;
  END IF;

  UPDATE goals g SET
      step_seq = g.step_seq + s.steps, file_seq = g.file_seq + s.files, event_seq = g.event_seq + s.events,
      steps_used = g.steps_used + s.settled_steps, steps_reserved = g.steps_reserved + s.more_steps,
      tokens_used = g.tokens_used + s.settled_tokens, tokens_reserved = g.tokens_reserved + s.more_tokens,
      cost_micro_usd = g.cost_micro_usd + s.settled_micro_usd, cost_reserved = g.cost_reserved + s.more_micro_usd,
      cost_unknown = g.cost_unknown OR s.cost_unknown,
      live_tasks = g.live_tasks - s.done, done_since_plan = g.done_since_plan + s.done,
      plan_wanted = g.plan_wanted + CASE
        WHEN s.done > 0 AND g.planning = 'every-step' THEN s.done
        -- As many of them as come at or after the nth.
        WHEN s.done > 0 AND g.planning = 'every-n' AND g.done_since_plan + s.done >= g.planning_every
          THEN least(s.done, g.done_since_plan + s.done - g.planning_every + 1)
        -- Nothing left to do: the planner says what now.
        WHEN s.done > 0 AND g.live_tasks = s.done AND g.plan_wanted = 0 THEN 1
        ELSE 0 END
    FROM (
      SELECT goal, sum(steps_n) AS steps, sum(files_n) AS files, sum(events_n) AS events, sum(settled_steps) AS settled_steps,
        sum(settled_tokens) AS settled_tokens, sum(settled_micro_usd) AS settled_micro_usd, bool_or(cost_unknown) AS cost_unknown,
        sum(more_steps) AS more_steps, sum(more_tokens) AS more_tokens, sum(more_micro_usd) AS more_micro_usd,
        count(*) FILTER (WHERE move = 'done') AS done
      FROM unnest(p) WHERE task IS NOT NULL GROUP BY goal) s
    WHERE g.id = s.goal;
END $$;
