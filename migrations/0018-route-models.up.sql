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

-- A window is counted in 120 parts, of which the oldest counts whole; one more is for requests that are under way to the provider.
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
  u record;
  q record;
  too_many record;
  v_tokens bigint;
  v_share float8;
  v_wait_ms float8;
  v_step_ms float8;
  v_next timestamptz;
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
    SELECT coalesce(sum(b.requests), 0) AS requests, coalesce(sum(b.tokens), 0) AS tokens,
        coalesce(sum(b.requests) FILTER (WHERE b.tenant_id = p_tenant), 0) AS own_requests,
        coalesce(sum(b.tokens) FILTER (WHERE b.tenant_id = p_tenant), 0) AS own_tokens
      INTO u FROM model_buckets b WHERE b.scope = s.scope AND b.bucket > v_bucket - kept;
    -- Others who wait, and what they have not had yet of an equal share.
    SELECT count(*) AS others INTO q FROM model_queues m WHERE m.scope = s.scope AND m.tenant_id <> p_tenant AND m.waits_until > v_now;
    v_share := 1.0 / (q.others + 1);
    SELECT q.others AS others,
        coalesce(sum(greatest(0, s.requests * v_share - used.requests)), 0) AS requests,
        coalesce(sum(greatest(0, s.tokens * v_share - used.tokens)), 0) AS tokens
      INTO q FROM model_queues m CROSS JOIN LATERAL (
        SELECT coalesce(sum(b.requests), 0) AS requests, coalesce(sum(b.tokens), 0) AS tokens FROM model_buckets b
          WHERE b.scope = s.scope AND b.tenant_id = m.tenant_id AND b.bucket > v_bucket - kept) used
      WHERE m.scope = s.scope AND m.tenant_id <> p_tenant AND m.waits_until > v_now;

    SELECT m.next_at INTO v_next FROM model_queues m WHERE m.scope = s.scope AND m.tenant_id = p_tenant AND m.waits_until > v_now;
    CONTINUE WHEN
      (s.requests IS NULL OR u.requests < s.requests AND (u.own_requests + 1 <= s.requests * v_share OR u.requests + 1 + q.requests <= s.requests))
      AND (s.tokens IS NULL OR u.tokens + v_tokens <= s.tokens
        AND (u.own_tokens + v_tokens <= s.tokens * v_share OR u.tokens + v_tokens + q.tokens <= s.tokens OR u.own_tokens = 0))
      AND (s.tenant_requests IS NULL OR u.own_requests < s.tenant_requests)
      AND (s.tenant_tokens IS NULL OR u.own_tokens + v_tokens <= s.tenant_tokens)
      -- Whoever comes goes behind those of its tenant who wait, unless so much is free that they cannot be coming any more.
      AND (p_waited OR v_next IS NULL OR v_next <= v_now
        OR coalesce(least(s.requests - u.requests - q.requests, s.tenant_requests - u.own_requests) > greatest(2, s.requests * 0.05),
          u.tokens + v_tokens + q.tokens <= s.tokens * 0.8));

    -- When enough of what was taken is out of the window; of its own, where others wait, what is above its share.
    SELECT greatest(u.requests + 1 - s.requests, 0) AS requests,
        greatest(u.tokens + v_tokens - s.tokens, 0) AS tokens,
        greatest(u.own_requests + 1 - s.tenant_requests, CASE WHEN q.others > 0 THEN u.own_requests + 1 - s.requests * v_share END, 0) AS own_requests,
        greatest(u.own_tokens + v_tokens - s.tenant_tokens, CASE WHEN q.others > 0 THEN u.own_tokens + v_tokens - s.tokens * v_share END, 0) AS own_tokens
      INTO too_many;
    v_wait_ms := 0;
    IF too_many.requests > 0 OR too_many.tokens > 0 OR too_many.own_requests > 0 OR too_many.own_tokens > 0 THEN
      SELECT coalesce(min((w.bucket + kept) * v_part_ms) - extract(epoch FROM v_now) * 1000, p_window_ms) INTO v_wait_ms FROM (
        SELECT b.bucket,
          sum(sum(b.requests)) OVER (ORDER BY b.bucket) AS requests,
          sum(sum(b.tokens)) OVER (ORDER BY b.bucket) AS tokens,
          sum(coalesce(sum(b.requests) FILTER (WHERE b.tenant_id = p_tenant), 0)) OVER (ORDER BY b.bucket) AS own_requests,
          sum(coalesce(sum(b.tokens) FILTER (WHERE b.tenant_id = p_tenant), 0)) OVER (ORDER BY b.bucket) AS own_tokens
        FROM model_buckets b WHERE b.scope = s.scope AND b.bucket > v_bucket - kept GROUP BY b.bucket) w
        WHERE w.requests >= too_many.requests AND w.tokens >= too_many.tokens
          AND w.own_requests >= too_many.own_requests AND w.own_tokens >= too_many.own_tokens;
    END IF;
    v_step_ms := p_window_ms * greatest(
      coalesce(1.0 / (s.requests * v_share), 0), coalesce(1.0 / s.tenant_requests, 0),
      coalesce(v_tokens / (s.tokens * v_share), 0), coalesce(v_tokens::float8 / s.tenant_tokens, 0));
    v_wait_ms := least(greatest(v_wait_ms, 0), p_window_ms * 1.1);
    -- One who waited and came too early waits for the next that is free, others behind all who wait.
    IF p_waited THEN
      v_wait_ms := v_wait_ms + v_step_ms * (1 + random());
    ELSE
      v_wait_ms := greatest(v_wait_ms, coalesce(extract(epoch FROM v_next - v_now) * 1000, 0)) + v_step_ms;
    END IF;
    INSERT INTO model_queues AS m (scope, tenant_id, next_at, waits_until)
      VALUES (s.scope, p_tenant, v_now + make_interval(secs => v_wait_ms / 1000), v_now + make_interval(secs => v_wait_ms / 1000 + 5))
      ON CONFLICT (scope, tenant_id) DO UPDATE SET
        next_at = CASE WHEN p_waited THEN m.next_at ELSE excluded.next_at END,
        waits_until = greatest(m.waits_until, excluded.waits_until);
    RETURN jsonb_build_object('scope', s.scope, 'wait_ms', ceil(v_wait_ms));
  END LOOP;

  INSERT INTO model_buckets AS b (scope, bucket, tenant_id, requests, tokens)
    SELECT x.scope, v_bucket, p_tenant, 1, p_tokens FROM jsonb_to_recordset(p_scopes) AS x(scope text) ORDER BY 1
    ON CONFLICT (scope, bucket, tenant_id) DO UPDATE SET requests = b.requests + 1, tokens = b.tokens + excluded.tokens;
  DELETE FROM model_buckets b WHERE b.bucket < v_bucket - 2 * kept
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
