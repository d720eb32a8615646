-- Back to full precision. Locks: SHARE on memory_entries for as long as the indexes take to build.
DROP FUNCTION nearest_memories;
DROP INDEX memory_entries_384;
DROP INDEX memory_entries_1536;
CREATE INDEX memory_entries_384 ON memory_entries USING hnsw ((embedding::vector(384)) vector_cosine_ops)
  WHERE vector_dims(embedding) = 384;
CREATE INDEX memory_entries_1536 ON memory_entries USING hnsw ((embedding::vector(1536)) vector_cosine_ops)
  WHERE vector_dims(embedding) = 1536;
