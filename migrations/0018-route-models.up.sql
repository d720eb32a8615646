-- What replicas know together of the models that they call (which are away, how much of a limit is used), what goals and tasks say
-- about their models, and what operators see of it.
-- Locks: ACCESS EXCLUSIVE on goals and tasks for an instant (columns that may be null). Old workers survive it: they route by their own
-- settings alone, and their calls are not counted.

-- Models by stage, in order of preference: {"plan": ["provider/model", …], …}; null where nothing was said.
ALTER TABLE goals ADD COLUMN models jsonb;
ALTER TABLE tasks ADD COLUMN models jsonb;

-- Models that are not to be called for now. One without a row may be.
CREATE TABLE model_breakers (
  -- provider/model
  target text PRIMARY KEY,
  state text NOT NULL CHECK (state IN ('open', 'cooling')),
  reason text NOT NULL,
  -- Probes that failed in a row.
  failed_probes integer NOT NULL DEFAULT 0,
  since timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- The end of cooling, or the next probe.
  held_until timestamptz NOT NULL,
  -- While somebody probes it.
  probe_until timestamptz
);

-- Held while a limit is looked at and taken from.
CREATE TABLE model_limits (scope text PRIMARY KEY);

-- What was taken of limits, in parts of their window.
CREATE TABLE model_buckets (
  scope text NOT NULL,
  bucket bigint NOT NULL,
  tenant_id text NOT NULL,
  requests integer NOT NULL,
  tokens bigint NOT NULL,
  PRIMARY KEY (scope, bucket, tenant_id)
);

-- Tenants that were sent away, until they have come back: while they wait, others keep to their share.
CREATE TABLE model_queues (
  scope text NOT NULL,
  tenant_id text NOT NULL,
  -- The turn of the one who comes next.
  next_at timestamptz NOT NULL,
  waits_until timestamptz NOT NULL,
  -- Of a call that came in its turn and was too large for what was free: others leave so much, those who came later.
  saved_tokens bigint NOT NULL DEFAULT 0,
  saved_since timestamptz,
  PRIMARY KEY (scope, tenant_id)
);

-- What each process that calls models routes where, for people to see.
CREATE TABLE model_views (
  lease_id text PRIMARY KEY,
  service text NOT NULL,
  view jsonb NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Tests of all routes that somebody asked for; a process that calls models makes them.
CREATE TABLE model_tests (
  id text PRIMARY KEY,
  asked_by text NOT NULL,
  asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  taken_until timestamptz,
  result jsonb,
  done_at timestamptz
);

-- A window is counted in 120 parts, of which the oldest counts whole; two more are for requests that are under way to the provider.
-- p_scopes: [{scope, requests, tokens, tenant_requests, tenant_tokens}]. Takes from all of them or from none.
-- Returns {bucket} or {scope, wait_ms}: whose turn it is not, and when it comes, about.
CREATE FUNCTION take_model_slots(p_scopes jsonb, p_tenant text, p_tokens bigint, p_window_ms bigint, p_waited boolean) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
  parts CONSTANT integer := 120;
  kept CONSTANT integer := parts + 3;
  v_part_ms float8 := p_window_ms::float8 / parts;
  v_now timestamptz;
  v_bucket bigint;
  s record;
  -- What is used; what others who wait have not had yet of an equal share, and what is saved for them.
  u record;
  own model_queues%ROWTYPE;
  too_many record;
  v_tokens bigint;
  v_share float8;
  v_fits boolean;
  v_is_turn boolean;
  v_wait_ms float8;
  v_step_ms float8;
BEGIN
  INSERT INTO model_limits (scope) SELECT x.scope FROM jsonb_to_recordset(p_scopes) AS x(scope text) ORDER BY 1 ON CONFLICT DO NOTHING;
  PERFORM FROM model_limits l WHERE l.scope IN (SELECT x.scope FROM jsonb_to_recordset(p_scopes) AS x(scope text))
    ORDER BY l.scope FOR UPDATE;
  v_now := clock_timestamp();
  v_bucket := floor(extract(epoch FROM v_now) * 1000 / v_part_ms);

  FOR s IN SELECT * FROM jsonb_to_recordset(p_scopes)
    AS x(scope text, requests bigint, tokens bigint, tenant_requests bigint, tenant_tokens bigint) ORDER BY x.scope
  LOOP
    -- What is larger than a limit goes when all of it is free.
    v_tokens := least(p_tokens, s.tokens, s.tenant_tokens);
    SELECT * INTO own FROM model_queues m WHERE m.scope = s.scope AND m.tenant_id = p_tenant AND m.waits_until > v_now;
    SELECT 1.0 / (1 + count(*)) INTO v_share FROM model_queues m WHERE m.scope = s.scope AND m.tenant_id <> p_tenant AND m.waits_until > v_now;
    SELECT coalesce(sum(x.requests), 0) AS requests, coalesce(sum(x.tokens), 0) AS tokens,
        coalesce(sum(x.requests) FILTER (WHERE x.tenant_id = p_tenant), 0) AS own_requests,
        coalesce(sum(x.tokens) FILTER (WHERE x.tenant_id = p_tenant), 0) AS own_tokens,
        coalesce(sum(greatest(0, s.requests * v_share - x.requests)) FILTER (WHERE x.waits), 0) AS others_requests,
        coalesce(sum(greatest(0, s.tokens * v_share - x.tokens)) FILTER (WHERE x.waits), 0) AS others_tokens,
        coalesce(sum(x.saved_tokens) FILTER (WHERE x.waits AND x.saved_since < coalesce(own.saved_since, v_now)), 0) AS saved_tokens
      INTO u FROM (
        SELECT tenant_id, coalesce(used.requests, 0) AS requests, coalesce(used.tokens, 0) AS tokens,
          coalesce(m.waits_until > v_now AND tenant_id <> p_tenant, false) AS waits, m.saved_tokens, m.saved_since
        FROM (SELECT b.tenant_id, sum(b.requests) AS requests, sum(b.tokens) AS tokens FROM model_buckets b
            WHERE b.scope = s.scope AND b.bucket > v_bucket - kept AND b.bucket <= v_bucket GROUP BY b.tenant_id) used
          FULL JOIN (SELECT * FROM model_queues q WHERE q.scope = s.scope AND q.waits_until > v_now) m USING (tenant_id)) x;

    v_fits :=
      (s.requests IS NULL OR u.requests < s.requests
        AND (u.own_requests + 1 <= s.requests * v_share OR u.requests + 1 + u.others_requests <= s.requests OR u.own_requests = 0))
      AND (s.tokens IS NULL OR u.tokens + v_tokens + u.saved_tokens <= s.tokens
        AND (u.own_tokens + v_tokens <= s.tokens * v_share OR u.tokens + v_tokens + u.others_tokens <= s.tokens OR u.own_tokens = 0))
      AND (s.tenant_requests IS NULL OR u.own_requests < s.tenant_requests)
      AND (s.tenant_tokens IS NULL OR u.own_tokens + v_tokens <= s.tenant_tokens);
    -- Whoever comes goes behind those of its tenant who wait, unless so much is free that they cannot be coming any more.
    v_is_turn := p_waited OR own.next_at IS NULL OR own.next_at <= v_now;
    IF v_fits AND NOT v_is_turn AND coalesce(
        least(s.requests - u.requests - u.others_requests, s.tenant_requests - u.own_requests)
          >= least(greatest(2, s.requests * 0.05), s.requests, s.tenant_requests),
        u.tokens + v_tokens + u.others_tokens <= s.tokens * 0.8) THEN
      UPDATE model_queues m SET next_at = v_now, waits_until = least(m.waits_until, v_now + interval '5 seconds')
        WHERE m.scope = s.scope AND m.tenant_id = p_tenant;
      v_is_turn := true;
    END IF;
    CONTINUE WHEN v_fits AND v_is_turn;

    -- When enough of what was taken is out of the window; of its own, where others wait, what is above its share.
    SELECT greatest(u.requests + 1 - s.requests, 0) AS requests,
        greatest(u.tokens + v_tokens + u.saved_tokens - s.tokens, 0) AS tokens,
        greatest(u.own_requests + 1 - s.tenant_requests, CASE WHEN v_share < 1 THEN u.own_requests + 1 - s.requests * v_share END, 0) AS own_requests,
        greatest(u.own_tokens + v_tokens - s.tenant_tokens, CASE WHEN v_share < 1 THEN u.own_tokens + v_tokens - s.tokens * v_share END, 0) AS own_tokens
      INTO too_many;
    v_wait_ms := 0;
    IF NOT v_fits THEN
      SELECT coalesce(min((w.bucket + kept) * v_part_ms) - extract(epoch FROM v_now) * 1000, p_window_ms) INTO v_wait_ms FROM (
        SELECT b.bucket,
          sum(sum(b.requests)) OVER (ORDER BY b.bucket) AS requests,
          sum(sum(b.tokens)) OVER (ORDER BY b.bucket) AS tokens,
          sum(coalesce(sum(b.requests) FILTER (WHERE b.tenant_id = p_tenant), 0)) OVER (ORDER BY b.bucket) AS own_requests,
          sum(coalesce(sum(b.tokens) FILTER (WHERE b.tenant_id = p_tenant), 0)) OVER (ORDER BY b.bucket) AS own_tokens
        FROM model_buckets b WHERE b.scope = s.scope AND b.bucket > v_bucket - kept AND b.bucket <= v_bucket GROUP BY b.bucket) w
        WHERE w.requests >= too_many.requests AND w.tokens >= too_many.tokens
          AND w.own_requests >= least(too_many.own_requests, u.own_requests) AND w.own_tokens >= least(too_many.own_tokens, u.own_tokens);
    END IF;
    v_step_ms := p_window_ms * greatest(
      coalesce(1.0 / (s.requests * v_share), 0), coalesce(1.0 / s.tenant_requests, 0),
      coalesce(v_tokens / (s.tokens * v_share), 0), coalesce(v_tokens::float8 / s.tenant_tokens, 0));
    v_wait_ms := least(greatest(v_wait_ms, 0), p_window_ms * 1.1);
    -- One who waited and came too early waits for the next that is free, others behind all who wait.
    IF p_waited THEN
      v_wait_ms := v_wait_ms + least(v_step_ms, p_window_ms) * (0.1 + random());
    ELSE
      v_wait_ms := greatest(v_wait_ms, coalesce(extract(epoch FROM own.next_at - v_now) * 1000, 0)) + v_step_ms;
    END IF;
    INSERT INTO model_queues AS m (scope, tenant_id, next_at, waits_until, saved_tokens, saved_since)
      VALUES (s.scope, p_tenant, v_now + make_interval(secs => v_wait_ms / 1000),
        -- Those who wait longer come in turns before, and renew it; it ends soon where they were all cancelled.
        v_now + make_interval(secs => least(v_wait_ms, 2 * p_window_ms) / 1000 + 5), 0, NULL)
      ON CONFLICT (scope, tenant_id) DO UPDATE SET
        next_at = CASE WHEN p_waited AND m.waits_until > v_now THEN m.next_at ELSE excluded.next_at END,
        waits_until = greatest(m.waits_until, excluded.waits_until);
    IF p_waited AND s.tokens IS NOT NULL AND u.tokens + v_tokens > s.tokens THEN
      UPDATE model_queues m SET saved_tokens = greatest(m.saved_tokens, v_tokens), saved_since = coalesce(m.saved_since, v_now)
        WHERE m.scope = s.scope AND m.tenant_id = p_tenant;
    END IF;
    RETURN jsonb_build_object('scope', s.scope, 'wait_ms', ceil(v_wait_ms));
  END LOOP;

  INSERT INTO model_buckets AS b (scope, bucket, tenant_id, requests, tokens)
    SELECT x.scope, v_bucket, p_tenant, 1, p_tokens FROM jsonb_to_recordset(p_scopes) AS x(scope text) ORDER BY 1
    ON CONFLICT (scope, bucket, tenant_id) DO UPDATE SET requests = b.requests + 1, tokens = b.tokens + excluded.tokens;
  UPDATE model_queues m SET saved_tokens = 0, saved_since = NULL WHERE m.tenant_id = p_tenant AND m.saved_tokens > 0
    AND p_tokens >= m.saved_tokens AND m.scope IN (SELECT x.scope FROM jsonb_to_recordset(p_scopes) AS x(scope text));
  -- Also what a clock that was put back, or another window, has left in the future.
  DELETE FROM model_buckets b WHERE (b.bucket < v_bucket - 2 * kept OR b.bucket > v_bucket)
    AND b.scope IN (SELECT x.scope FROM jsonb_to_recordset(p_scopes) AS x(scope text));
  DELETE FROM model_queues m WHERE m.waits_until < v_now
    AND m.scope IN (SELECT x.scope FROM jsonb_to_recordset(p_scopes) AS x(scope text));
  RETURN jsonb_build_object('bucket', v_bucket);
END $$;

-- What of a window is used now, by scope.
CREATE FUNCTION used_model_slots(p_window_ms bigint) RETURNS TABLE (scope text, requests bigint, tokens bigint, waiting bigint)
LANGUAGE sql STABLE AS $$
  SELECT l.scope, coalesce(sum(b.requests), 0)::bigint, coalesce(sum(b.tokens), 0)::bigint,
    (SELECT count(*) FROM model_queues m WHERE m.scope = l.scope AND m.waits_until > clock_timestamp())
  FROM model_limits l LEFT JOIN model_buckets b ON b.scope = l.scope
    AND b.bucket > floor(extract(epoch FROM clock_timestamp()) * 1000 / (p_window_ms::float8 / 120)) - 120
  GROUP BY l.scope
$$;
