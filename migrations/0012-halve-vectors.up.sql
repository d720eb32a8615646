-- Vectors are indexed in half precision: a third of the time to find and to add one, and half the space. An entry of the local
-- embedder is added with less search than pgvector's default, since every finished task adds one.
-- Locks: SHARE on memory_entries for as long as the indexes take to build (about 0.3 ms an entry). Old workers survive it: until they
-- are gone their recall reads all entries of their tenant.
DROP INDEX memory_entries_384;
DROP INDEX memory_entries_1536;
CREATE INDEX memory_entries_384 ON memory_entries USING hnsw ((embedding::halfvec(384)) halfvec_cosine_ops) WITH (ef_construction = 40)
  WHERE vector_dims(embedding) = 384;
CREATE INDEX memory_entries_1536 ON memory_entries USING hnsw ((embedding::halfvec(1536)) halfvec_cosine_ops)
  WHERE vector_dims(embedding) = 1536;

-- Of each query (a tenant and a vector) the p_limit entries nearest in meaning that the model's vectors say. A tenant with few entries is
-- looked through whole: an index over everybody's would mostly find others'. For the rest the planner, whose statistics of a table that
-- grows by the second are always of yesterday, is left no way but the index of the vectors' length.
CREATE FUNCTION nearest_memories(p_model text, p_dimensions integer, p_tenants text[], p_vectors text[], p_limit integer)
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
