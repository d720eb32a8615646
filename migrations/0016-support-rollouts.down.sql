DROP INDEX signals_of_task;
DROP INDEX idempotency_keys_of_goal;
DROP FUNCTION outerloop_load(text);
ALTER TABLE leases DROP COLUMN journal_format;
-- Loads the extension, whose settings follow.
SELECT '[1]'::vector;
CREATE OR REPLACE FUNCTION nearest_memories(p_model text, p_dimensions integer, p_tenants text[], p_vectors text[], p_limit integer)
  RETURNS TABLE (query integer, id text, kind text, text text, created_at timestamptz, similarity float8) LANGUAGE plpgsql STABLE
  SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = on SET hnsw.iterative_scan = 'strict_order' AS $$
DECLARE
  few CONSTANT integer := 200;
  n bigint;
BEGIN
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
ALTER FUNCTION nearest_memories SET hnsw.ef_search = 80;
