-- Group commit: what nearly all writes and claims are is applied for a whole batch at once, a statement a table; the rest goes
-- on one by one as before, in the same transaction and under the same locks. Plans are inserted a statement a table too.
-- Locks: none but on the catalogue. Old workers survive it: what they call is called as before.

-- A write that needs nothing rare: it holds its claim, it journals, settles and reserves well within its goal's budgets, and at most
-- moves its task on to its reflection or to its end; or, a planner's, brings tasks that need no others but one another, or ends a
-- goal that has no live ones. With where its rows are numbered from and what it holds before and after.
CREATE TYPE plain_write AS (
  ord integer, id text, goal text, task text, fence bigint, goal_status text,
  plan jsonb, plan_read integer, task_from integer, ending jsonb,
  tenant_id text, session_id text, retention text, goal_day date,
  steps jsonb, files jsonb, memory jsonb, blobs jsonb, events jsonb,
  steps_n integer, files_n integer, events_n integer,
  step_from bigint, file_from bigint, event_from bigint,
  settled_steps integer, settled_tokens bigint, settled_micro_usd bigint, cost_unknown boolean,
  move text, result text,
  own_steps integer, own_tokens bigint, own_micro_usd bigint,
  held_steps integer, held_tokens bigint, held_micro_usd bigint
);

-- As lease_lives was, planned once a session instead of once a call.
CREATE OR REPLACE FUNCTION lease_lives(p_lease text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN p_lease IS NOT NULL AND EXISTS (SELECT FROM leases WHERE id = p_lease AND expires_at > clock_timestamp());
END $$;

CREATE OR REPLACE FUNCTION held_by(p_goal text, p_task text) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT jsonb_build_object('steps', coalesce(t.steps_reserved, g.plan_reserved), 'tokens', coalesce(t.tokens_reserved, g.plan_tokens_reserved),
      'micro_usd', coalesce(t.cost_reserved, g.plan_cost_reserved), 'money', g.budget_micro_usd IS NOT NULL OR g.lent_micro_usd IS NOT NULL)
    FROM goals g LEFT JOIN tasks t ON t.id = p_task WHERE g.id = p_goal);
END $$;

-- Whether a plan's tasks need nothing but one another, and their names are free.
CREATE FUNCTION is_plain_plan(p_goal text, p_tasks jsonb) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN NOT p_tasks @? '$[*].parent ? (@ != null)'
    AND (SELECT count(DISTINCT value ->> 'key') FROM jsonb_array_elements(p_tasks)) = jsonb_array_length(p_tasks)
    AND NOT EXISTS (SELECT FROM jsonb_array_elements(p_tasks) i JOIN tasks t ON t.goal_id = p_goal AND t.key = i.value ->> 'key')
    AND NOT EXISTS (SELECT FROM jsonb_array_elements(p_tasks) i, jsonb_array_elements_text(i.value -> 'depends_on') d
      WHERE d.value NOT IN (SELECT o.value ->> 'id' FROM jsonb_array_elements(p_tasks) o));
END $$;

-- Which writes of a batch are plain. The caller holds the goals in p_locked. All of a goal's writes are, or none, so that they keep
-- their order.
CREATE FUNCTION find_plain_writes(p_writes jsonb, p_locked text[]) RETURNS plain_write[] LANGUAGE plpgsql STABLE AS $$
DECLARE
  found plain_write[];
BEGIN
  WITH given AS (
    SELECT i.ordinality::integer AS ord, r.*,
      coalesce(jsonb_array_length(r.steps), 0) AS steps_n, coalesce(jsonb_array_length(r.files), 0) AS files_n,
      coalesce(jsonb_array_length(r.events), 0) AS events_n,
      coalesce((r.settle ->> 'steps')::integer, 0) AS settled_steps, coalesce((r.settle ->> 'tokens')::bigint, 0) AS settled_tokens,
      coalesce((r.settle ->> 'cost_micro_usd')::bigint, 0) AS settled_micro_usd, coalesce((r.settle ->> 'cost_unknown')::boolean, false) AS cost_unknown,
      -- What ends a claim reserves nothing for it.
      CASE WHEN r.move IS NULL AND r.task IS NOT NULL THEN coalesce(r.reserve, 0) ELSE 0 END AS wants_steps,
      CASE WHEN r.move IS NULL AND r.task IS NOT NULL THEN greatest((r.hold ->> 'need_tokens')::bigint, (r.hold ->> 'tokens')::bigint, 0) ELSE 0 END AS wants_tokens,
      CASE WHEN r.move IS NULL AND r.task IS NOT NULL THEN greatest((r.hold ->> 'need_micro_usd')::bigint, (r.hold ->> 'micro_usd')::bigint, 0) ELSE 0 END AS wants_micro_usd,
      -- What was held for a model call goes back with the call; all of it where the claim ends.
      r.move IS NOT NULL OR coalesce(r.steps @? '$[*] ? (@.kind == "model" && @.phase == "result")', false) AS lets_go,
      NOT i.value ?| ARRAY['release', 'waits', 'effects', 'tasks'] AND NOT coalesce(r.backoff, false)
        AND CASE WHEN r.task IS NULL THEN (r.plan IS NULL) <> (r."end" IS NULL) ELSE r.move IS NULL OR r.move ->> 'to' IN ('reflecting', 'done') END AS is_usual
    FROM jsonb_array_elements(p_writes) WITH ORDINALITY i, jsonb_to_record(i.value) AS r(id text, goal text, task text, fence bigint,
      steps jsonb, files jsonb, memory jsonb, blobs jsonb, events jsonb, settle jsonb, reserve integer, hold jsonb, backoff boolean, move jsonb,
      plan jsonb, "end" jsonb)
  ), measured AS (
    SELECT n.*, g.status AS goal_status, g.tenant_id, g.session_id, g.retention, g.goal_day, g.step_seq, g.file_seq, g.event_seq,
      g.steps_used + g.steps_reserved AS goal_steps, g.steps_used, g.budget_steps,
      g.tokens_used + g.tokens_reserved AS goal_tokens, g.tokens_used, g.budget_tokens, g.warned,
      g.task_seq, CASE WHEN n.task IS NULL THEN g.plan_reserved ELSE t.steps_reserved END AS own_steps,
      CASE WHEN n.task IS NULL THEN g.plan_tokens_reserved ELSE t.tokens_reserved END AS own_tokens,
      CASE WHEN n.task IS NULL THEN g.plan_cost_reserved ELSE t.cost_reserved END AS own_micro_usd,
      CASE WHEN n.task IS NULL OR n.move ->> 'to' = 'done' THEN 0 ELSE greatest(t.steps_reserved - n.settled_steps, 0) + n.wants_steps END AS held_steps,
      greatest(CASE WHEN n.lets_go THEN 0 ELSE t.tokens_reserved END, n.wants_tokens) AS held_tokens,
      greatest(CASE WHEN n.lets_go THEN 0 ELSE t.cost_reserved END, n.wants_micro_usd) AS held_micro_usd,
      coalesce(n.is_usual AND CASE WHEN n.task IS NULL
          THEN g.fence = n.fence AND g.status = 'planning' AND g.lease_id IS NOT NULL AND g.last_write IS DISTINCT FROM n.id
            AND g.plan_tokens_needed = 0 AND g.plan_cost_needed = 0 AND count(*) OVER (PARTITION BY n.goal) = 1
            AND CASE WHEN n.plan IS NULL THEN g.live_tasks = 0 ELSE is_plain_plan(n.goal, n.plan -> 'tasks') END
          -- One write a claim; who sends two has lost track.
          ELSE t.fence = n.fence AND t.lease_id IS NOT NULL AND t.status IN ('running', 'reflecting') AND t.last_write IS DISTINCT FROM n.id
            AND t.steps_needed = 0 AND t.tokens_needed = 0 AND t.cost_needed = 0 AND count(*) OVER (PARTITION BY n.task) = 1 END
        AND g.status IN ('planning', 'running') AND g.exhausted IS NULL AND clock_timestamp() < g.deadline_at
        AND g.waiting_tasks = 0 AND g.asleep_at IS NULL AND g.budget_micro_usd IS NULL
        AND g.lent_until IS NULL AND NOT EXISTS (SELECT FROM tenant_budgets b WHERE b.tenant_id = g.tenant_id), false) AS is_plain
    FROM given n LEFT JOIN goals g ON g.id = n.goal AND g.id = ANY (p_locked) LEFT JOIN tasks t ON t.id = n.task AND t.goal_id = n.goal
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
      CASE WHEN "end" IS NOT NULL THEN "end" ->> 'to' WHEN plan IS NOT NULL THEN 'running' ELSE goal_status END,
      plan -> 'tasks', (plan ->> 'read')::integer, task_seq, "end", tenant_id, session_id, retention, goal_day,
      steps, files, memory, blobs, events, steps_n, files_n, events_n, step_from, file_from, event_from,
      settled_steps, settled_tokens, settled_micro_usd, cost_unknown, move ->> 'to', move ->> 'result',
      own_steps, own_tokens, own_micro_usd, held_steps, held_tokens, held_micro_usd)::plain_write ORDER BY ord)
    INTO found FROM judged WHERE fits;
  RETURN coalesce(found, '{}');
END $$;

-- Inserts the tasks of plain plans, and moves their goals and those that end: all but the journal of planners' writes.
CREATE FUNCTION apply_plain_plans(p plain_write[], p_at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO tasks (id, tenant_id, goal_id, retention, goal_day, key, number, root_id, text, tools, evidence, difficulty, depth, priority, front,
      status, blockers, due_at)
    SELECT i.id, w.tenant_id, w.goal, w.retention, w.goal_day, i.key, w.task_from + i.ordinality, coalesce(i.root, i.id), i.text, i.tools, i.evidence,
      i.difficulty, i.depth, g.priority, coalesce(i.front, false), CASE WHEN b.n > 0 THEN 'pending' ELSE 'ready' END, b.n, p_at
    FROM unnest(p) w JOIN goals g ON g.id = w.goal, ROWS FROM (jsonb_to_recordset(w.plan) AS (id text, key text, root text, text text, tools jsonb,
      evidence jsonb, difficulty text, depth smallint, front boolean, depends_on jsonb)) WITH ORDINALITY i,
      LATERAL (SELECT count(DISTINCT d) AS n FROM jsonb_array_elements_text(i.depends_on) d) b;
  IF EXISTS (SELECT FROM unnest(p) w WHERE w.plan @? '$[*].depends_on[*]') THEN
    INSERT INTO task_dependencies (task_id, depends_on, goal_id, tenant_id)
      SELECT DISTINCT i.value ->> 'id', d.value, w.goal, w.tenant_id
      FROM unnest(p) w, jsonb_array_elements(w.plan) i, jsonb_array_elements_text(i.value -> 'depends_on') d;
  END IF;
  INSERT INTO events (retention, goal_day, tenant_id, goal_id, seq, type, task_id, data, at)
    SELECT w.retention, w.goal_day, w.tenant_id, w.goal, w.event_from + w.events_n + i.ordinality, 'task.created', i.value ->> 'id',
      jsonb_build_object('key', i.value -> 'key', 'text', i.value -> 'text', 'parent', NULL, 'depends_on', (
        SELECT coalesce(jsonb_agg(o.value -> 'key' ORDER BY o.ordinality), '[]') FROM jsonb_array_elements(w.plan) WITH ORDINALITY o
        WHERE i.value -> 'depends_on' ? (o.value ->> 'id'))), p_at
    FROM unnest(p) w, jsonb_array_elements(w.plan) WITH ORDINALITY i
    UNION ALL
    SELECT w.retention, w.goal_day, w.tenant_id, w.goal, w.event_from + w.events_n + 1, 'goal.' || (w.ending ->> 'to'), NULL, w.ending, p_at
    FROM unnest(p) w WHERE w.ending IS NOT NULL;
  UPDATE goals g SET
      last_write = w.id, lease_id = NULL, dispatched_at = NULL, expired_claims = 0, plan_round = g.plan_round + 1,
      plan_backoffs = CASE WHEN w.steps_n > 0 THEN 0 ELSE g.plan_backoffs END,
      step_seq = g.step_seq + w.steps_n, file_seq = g.file_seq + w.files_n,
      event_seq = g.event_seq + w.events_n + coalesce(jsonb_array_length(w.plan), 1),
      steps_used = g.steps_used + w.settled_steps, tokens_used = g.tokens_used + w.settled_tokens,
      cost_micro_usd = g.cost_micro_usd + w.settled_micro_usd, cost_unknown = g.cost_unknown OR w.cost_unknown,
      steps_reserved = CASE WHEN w.ending IS NULL THEN g.steps_reserved - g.plan_reserved ELSE 0 END, plan_reserved = 0,
      tokens_reserved = CASE WHEN w.ending IS NULL THEN g.tokens_reserved - g.plan_tokens_reserved ELSE 0 END, plan_tokens_reserved = 0,
      cost_reserved = CASE WHEN w.ending IS NULL THEN g.cost_reserved - g.plan_cost_reserved ELSE 0 END, plan_cost_reserved = 0,
      due_at = CASE WHEN g.due_at = 'infinity' THEN g.due_at ELSE p_at END,
      task_seq = g.task_seq + coalesce(jsonb_array_length(w.plan), 0), live_tasks = g.live_tasks + coalesce(jsonb_array_length(w.plan), 0),
      status = w.goal_status, done_since_plan = CASE WHEN w.ending IS NULL THEN 0 ELSE g.done_since_plan END,
      plan_wanted = CASE WHEN w.ending IS NOT NULL THEN 0
        -- Nothing left to do: the planner says what now.
        WHEN g.live_tasks + jsonb_array_length(w.plan) = 0 THEN greatest(g.plan_wanted - w.plan_read, 1)
        ELSE greatest(g.plan_wanted - w.plan_read, 0) END,
      reason = CASE WHEN w.ending IS NULL THEN g.reason ELSE w.ending ->> 'reason' END,
      detail = CASE WHEN w.ending IS NULL THEN g.detail ELSE w.ending ->> 'detail' END,
      answer = CASE WHEN w.ending IS NULL THEN g.answer ELSE w.ending ->> 'answer' END,
      citations = CASE WHEN w.ending IS NULL THEN g.citations ELSE w.ending -> 'citations' END,
      ended_at = CASE WHEN w.ending IS NULL THEN g.ended_at ELSE p_at END
    FROM unnest(p) w WHERE w.task IS NULL AND g.id = w.goal;
END $$;

-- Applies plain writes, as apply_write would one after another.
CREATE FUNCTION apply_plain_writes(p plain_write[], p_at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO blobs (retention, goal_day, tenant_id, goal_id, hash, body)
    SELECT w.retention, w.goal_day, w.tenant_id, w.goal, b.hash, b.body
    FROM unnest(p) w, jsonb_to_recordset(w.blobs) AS b(hash text, body text) WHERE w.blobs IS NOT NULL ON CONFLICT DO NOTHING;
  INSERT INTO steps (retention, goal_day, tenant_id, goal_id, subject_id, attempt, seq, phase, stage, kind, name, number, input, output, ok,
      request_hash, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cost_micro_usd, duration_ms, fence, write_id, at)
    SELECT w.retention, w.goal_day, w.tenant_id, w.goal, coalesce(w.task, w.goal), s.attempt, s.seq, s.phase, s.stage, s.kind, s.name, w.step_from + s.ordinality,
      coalesce(s.input, '{}'), coalesce(s.output, 'null'), s.ok, s.request_hash, coalesce(s.input_tokens, 0), coalesce(s.cached_input_tokens, 0),
      coalesce(s.output_tokens, 0), coalesce(s.reasoning_tokens, 0), s.cost_micro_usd, coalesce(s.duration_ms, 0), w.fence, w.id, p_at
    FROM unnest(p) w, ROWS FROM (jsonb_to_recordset(w.steps) AS (attempt integer, seq integer, phase text, stage text, kind text, name text,
      input jsonb, output jsonb, ok boolean, request_hash text, input_tokens integer, cached_input_tokens integer, output_tokens integer,
      reasoning_tokens integer, cost_micro_usd bigint, duration_ms integer)) WITH ORDINALITY s;
  -- What no write of the batch brings takes no lock on its table.
  IF EXISTS (SELECT FROM unnest(p) w WHERE w.files_n > 0) THEN
    INSERT INTO artifacts (retention, goal_day, tenant_id, goal_id, version, path, mode, origin, bytes, hash, task_id)
      SELECT w.retention, w.goal_day, w.tenant_id, w.goal, w.file_from + f.ordinality, f.path, f.mode, 'written', decode(f.base64, 'base64'), f.hash, w.task
      FROM unnest(p) w, ROWS FROM (jsonb_to_recordset(w.files) AS (path text, mode text, base64 text, hash text)) WITH ORDINALITY f;
  END IF;
  IF EXISTS (SELECT FROM unnest(p) w WHERE jsonb_array_length(w.memory) > 0) THEN
    INSERT INTO memory_entries (id, tenant_id, session_id, goal_id, task_id, kind, text, embedding, embedding_model)
      SELECT m.id, w.tenant_id, w.session_id, w.goal, w.task, m.kind, m.text, m.embedding::vector, m.embedding_model
      FROM unnest(p) w, jsonb_to_recordset(w.memory) AS m(id text, kind text, text text, embedding text, embedding_model text);
  END IF;
  INSERT INTO events (retention, goal_day, tenant_id, goal_id, seq, type, task_id, data, at)
    SELECT w.retention, w.goal_day, w.tenant_id, w.goal, w.event_from + e.ordinality, e.type, e.task, coalesce(e.data, '{}'), p_at
    FROM unnest(p) w, ROWS FROM (jsonb_to_recordset(w.events) AS (type text, task text, data jsonb)) WITH ORDINALITY e;

  IF EXISTS (SELECT FROM unnest(p) w WHERE w.task IS NULL) THEN
    PERFORM apply_plain_plans(p, p_at);
    -- One write a claim: a batch of planners has no others.
    IF NOT EXISTS (SELECT FROM unnest(p) w WHERE w.task IS NOT NULL) THEN RETURN; END IF;
  END IF;

  UPDATE tasks t SET last_write = w.id, steps_reserved = w.held_steps, tokens_reserved = w.held_tokens, cost_reserved = w.held_micro_usd,
      backoffs = CASE WHEN w.steps_n > 0 THEN 0 ELSE t.backoffs END,
      -- What gets on is not what ends its process (W8).
      expired_claims = CASE WHEN w.steps_n > 0 THEN 0 ELSE t.expired_claims END
    FROM unnest(p) w WHERE t.id = w.task AND w.move IS NULL;
  IF EXISTS (SELECT FROM unnest(p) w WHERE w.move IS NOT NULL) THEN
    UPDATE tasks t SET last_write = w.id, steps_reserved = w.held_steps, tokens_reserved = 0, cost_reserved = 0,
        status = w.move, lease_id = NULL, dispatched_at = NULL, result = coalesce(w.result, t.result), wait = NULL,
        due_at = CASE WHEN t.due_at = 'infinity' AND w.move = 'reflecting' THEN t.due_at ELSE p_at END,
        backoffs = CASE WHEN w.steps_n > 0 THEN 0 ELSE t.backoffs END,
        expired_claims = CASE WHEN w.steps_n > 0 OR w.move = 'reflecting' THEN 0 ELSE t.expired_claims END,
        ended_at = CASE WHEN w.move = 'done' THEN p_at END
      FROM unnest(p) w WHERE t.id = w.task AND w.move IS NOT NULL;
    UPDATE tasks t SET blockers = t.blockers - d.n,
        status = CASE WHEN t.status = 'pending' AND t.blockers = d.n THEN 'ready' ELSE t.status END,
        due_at = CASE WHEN t.status = 'pending' AND t.blockers = d.n AND t.due_at <> 'infinity' THEN p_at ELSE t.due_at END
      FROM (SELECT d.task_id, count(*) AS n FROM unnest(p) w JOIN task_dependencies d ON d.depends_on = w.task WHERE w.move = 'done' GROUP BY 1) d
      WHERE t.id = d.task_id;
  END IF;

  UPDATE goals g SET
      step_seq = g.step_seq + s.steps, file_seq = g.file_seq + s.files, event_seq = g.event_seq + s.events,
      steps_used = g.steps_used + s.settled_steps, steps_reserved = g.steps_reserved + s.held_steps,
      tokens_used = g.tokens_used + s.settled_tokens, tokens_reserved = g.tokens_reserved + s.held_tokens,
      cost_micro_usd = g.cost_micro_usd + s.settled_micro_usd, cost_reserved = g.cost_reserved + s.held_micro_usd,
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
        sum(held_steps - own_steps) AS held_steps, sum(held_tokens - own_tokens) AS held_tokens, sum(held_micro_usd - own_micro_usd) AS held_micro_usd,
        count(*) FILTER (WHERE move = 'done') AS done
      FROM unnest(p) WHERE task IS NOT NULL GROUP BY goal) s
    WHERE g.id = s.goal;
END $$;

-- Puts what is due and not on a queue on its way, as before; the tenant's room is looked at only where something is due.
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
        AND EXISTS (SELECT FROM goals g WHERE g.id = t.goal_id AND g.status IN ('planning', 'running'))
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

-- Locks goals for a batch, always in the same order; those that somebody else holds are left out unless p_wait.
CREATE FUNCTION lock_goals(p_goals text[], p_wait boolean) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
  locked text[];
BEGIN
  IF p_wait THEN
    SELECT array_agg(id) INTO locked FROM (SELECT id FROM goals WHERE id = ANY (p_goals) ORDER BY id FOR NO KEY UPDATE) x;
  ELSE
    SELECT array_agg(id) INTO locked FROM (SELECT id FROM goals WHERE id = ANY (p_goals) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED) x;
  END IF;
  RETURN coalesce(locked, '{}');
END $$;

-- commit(batch) (W1). p_wait: wait for goals that somebody else holds instead of calling them busy.
-- Returns {writes: [{id, outcome, …}], jobs: [...], events: {goal: seq}}.
-- Statistics of tables that grow by the second are always of yesterday, so plans are made for what is right at any size.
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

-- Goals that want a plan and are not on their way to one, in the order in which they go out.
CREATE INDEX goals_due ON goals (tenant_id, priority DESC, due_at)
  WHERE dispatched_at IS NULL AND plan_wanted > 0 AND status IN ('queued', 'planning', 'running');

-- Inserts tasks of a plan or a split, as before, a statement a table. The caller holds the goal's row. Returns null, or why they cannot be.
CREATE OR REPLACE FUNCTION insert_tasks(p_goal text, p_tasks jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  g record;
  n integer := jsonb_array_length(p_tasks);
  depend boolean := p_tasks @? '$[*].depends_on[*]';
  v_now timestamptz := clock_timestamp();
  ids text[] := ARRAY(SELECT value ->> 'id' FROM jsonb_array_elements(p_tasks) WITH ORDINALITY ORDER BY ordinality);
  keys text[] := ARRAY(SELECT value ->> 'key' FROM jsonb_array_elements(p_tasks) WITH ORDINALITY ORDER BY ordinality);
  free_key text;
  tries integer;
  dead text;
BEGIN
  SELECT retention, goal_day, tenant_id, task_seq, priority INTO g FROM goals WHERE id = p_goal;

  IF (SELECT count(DISTINCT k) FROM unnest(keys) k) < n OR EXISTS (SELECT FROM tasks WHERE goal_id = p_goal AND key = ANY (keys)) THEN
    FOR i IN 1 .. n LOOP
      -- A split may have taken the name meanwhile.
      free_key := keys[i];
      tries := 1;
      WHILE free_key = ANY (keys[1 : i - 1]) OR EXISTS (SELECT FROM tasks WHERE goal_id = p_goal AND key = free_key) LOOP
        tries := tries + 1;
        free_key := left(keys[i], 50) || '+' || tries;
      END LOOP;
      keys[i] := free_key;
    END LOOP;
  END IF;
  INSERT INTO tasks (id, tenant_id, goal_id, retention, goal_day, key, number, parent_id, root_id, text, tools, evidence,
      difficulty, depth, priority, front, status, due_at)
    SELECT i.id, g.tenant_id, p_goal, g.retention, g.goal_day, keys[i.ordinality], g.task_seq + i.ordinality, i.parent, coalesce(i.root, i.id), i.text,
      i.tools, i.evidence, i.difficulty, i.depth, g.priority, coalesce(i.front, false), CASE WHEN depend THEN 'pending' ELSE 'ready' END, v_now
    FROM ROWS FROM (jsonb_to_recordset(p_tasks) AS (id text, parent text, root text, text text, tools jsonb, evidence jsonb, difficulty text,
      depth smallint, front boolean)) WITH ORDINALITY i;
  UPDATE goals SET task_seq = task_seq + n, live_tasks = live_tasks + n WHERE id = p_goal;

  IF depend THEN
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
    SELECT o.key INTO dead FROM task_dependencies d JOIN tasks o ON o.id = d.depends_on
      WHERE d.task_id = ANY (ids) AND o.status IN ('failed', 'abandoned', 'cancelled') LIMIT 1;
    IF dead IS NOT NULL THEN RETURN format('depends on %s, which will never be done', dead); END IF;
    UPDATE tasks SET status = 'ready' WHERE id = ANY (ids) AND status = 'pending' AND blockers = 0;
  END IF;

  PERFORM append_events(p_goal, (
    SELECT jsonb_agg(jsonb_build_object('type', 'task.created', 'task', t.id, 'data', jsonb_build_object('key', t.key, 'text', t.text, 'parent', p.key,
      'depends_on', CASE WHEN depend THEN (SELECT coalesce(jsonb_agg(o.key ORDER BY o.number), '[]')
        FROM task_dependencies d JOIN tasks o ON o.id = d.depends_on WHERE d.task_id = t.id) ELSE '[]' END)) ORDER BY t.number)
    FROM tasks t LEFT JOIN tasks p ON p.id = t.parent_id WHERE t.id = ANY (ids)));
  RETURN NULL;
END $$;

-- A task that is claimed with its whole batch, or handed back because its claimer has no slot for it.
CREATE TYPE plain_claim AS (
  ord integer, task text, goal text, taken boolean, starts boolean, key text, attempt integer,
  steps integer, tokens bigint, tenant_id text, retention text, goal_day date, event_n integer
);

-- Which tasks of these claims are claimed the plain way: nobody held them before, and their goals' budgets are far from spent. The
-- caller holds the goals in p_locked. All of a goal's, or none.
CREATE FUNCTION find_plain_claims(p_claims jsonb, p_locked text[]) RETURNS plain_claim[] LANGUAGE plpgsql STABLE AS $$
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
      jsonb_to_record(i.value) AS c(queue text, goal text, tasks text[], "limit" integer), goals g, tasks t
    WHERE g.id = c.goal AND g.id = ANY (p_locked) AND g.status IN ('planning', 'running')
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

-- Claims work for one process (W3), and brings what it needs to begin: one round trip for all that its workers fetched meanwhile.
-- p_claims: [{queue: plan|execute|reflect, goal, tasks, limit}]. Returns, in the same order, [{busy}] where somebody else holds the goal,
-- else {goal, tasks: [{row, steps, depends_on, notes}], left, tenant, event_seq} with goal null where nothing was claimed; for a plan
-- {goal, steps, tasks: [rows], edges: [[task, depends_on]]}.
CREATE FUNCTION claim_work(p_claims jsonb, p_lease text, p_wait boolean) RETURNS json LANGUAGE plpgsql
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
      SELECT DISTINCT value ->> 'goal' AS goal FROM jsonb_array_elements(p_claims) WHERE value ->> 'queue' = 'plan'
    ), claimed AS (
      UPDATE goals g SET status = 'planning', fence = g.fence + 1, lease_id = p_lease, dispatched_at = coalesce(g.dispatched_at, v_now),
          started_at = coalesce(g.started_at, v_now), plan_reserved = greatest(g.plan_reserved, 1),
          steps_reserved = g.steps_reserved + greatest(1 - g.plan_reserved, 0),
          plan_tokens_reserved = CASE WHEN g.plan_reserved > 0 THEN g.plan_tokens_reserved ELSE greatest(g.plan_tokens_reserved, 40000) END,
          tokens_reserved = g.tokens_reserved + CASE WHEN g.plan_reserved > 0 THEN 0 ELSE greatest(40000 - g.plan_tokens_reserved, 0) END
        FROM given n
        WHERE g.id = n.goal AND g.id = ANY (locked) AND g.plan_wanted > 0 AND g.status IN ('queued', 'running') AND g.lease_id IS NULL
          AND g.exhausted IS NULL AND g.budget_micro_usd IS NULL AND g.lent_until IS NULL AND g.plan_tokens_needed = 0 AND g.plan_cost_needed = 0
          AND v_now < g.deadline_at AND g.steps_used + g.steps_reserved < g.budget_steps
          AND g.budget_tokens - g.tokens_used - g.tokens_reserved >= 17 * 40000
          AND NOT EXISTS (SELECT FROM tenant_budgets b WHERE b.tenant_id = g.tenant_id)
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

-- As before, in the order of the tasks: whatever way the rows are found, the events tell of them in the same order.
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
    ), ended AS (
      UPDATE tasks SET status = 'cancelled', reason = 'dependency_failed', ended_at = clock_timestamp()
      WHERE id IN (SELECT task_id FROM needing) AND status = 'pending'
      RETURNING id, goal_id, key, number
    )
    SELECT * FROM ended ORDER BY number
  LOOP
    cancelled := cancelled + 1;
    PERFORM append_events(t.goal_id, jsonb_build_array(jsonb_build_object('type', 'task.abandoned', 'task', t.id,
      'data', jsonb_build_object('key', t.key, 'reason', 'dependency_failed'))));
  END LOOP;
  RETURN cancelled;
END $$;

-- As before, but that done is refused while tasks are live whatever else is spent (W6), and a claim that is gone wins nothing more.
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
