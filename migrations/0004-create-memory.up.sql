-- Long-term memory. Vectors of different models differ in length, so the column has none and each length that is in use
-- has an index of its own.
-- Locks: none on existing tables. Old workers: there are none.

CREATE TABLE memory_entries (
  id text PRIMARY KEY,
  tenant_id text NOT NULL REFERENCES tenants,
  session_id text,
  goal_id text REFERENCES goals ON DELETE SET NULL,
  task_id text,
  kind text NOT NULL CHECK (kind IN ('task_result', 'observation', 'lesson', 'note', 'answer')),
  text text NOT NULL CHECK (length(text) BETWEEN 1 AND 20000),
  embedding vector NOT NULL,
  embedding_model text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX memory_entries_recent ON memory_entries (tenant_id, created_at DESC);
CREATE INDEX memory_entries_of_goal ON memory_entries (goal_id, created_at) WHERE goal_id IS NOT NULL;
CREATE INDEX memory_entries_384 ON memory_entries USING hnsw ((embedding::vector(384)) vector_cosine_ops)
  WHERE vector_dims(embedding) = 384;
CREATE INDEX memory_entries_1536 ON memory_entries USING hnsw ((embedding::vector(1536)) vector_cosine_ops)
  WHERE vector_dims(embedding) = 1536;
