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
