-- Vectors that were paid for once, by the text that they stand for; who embeds with which model; and who re-embeds which memory after
-- the model was changed.
-- Locks: SHARE on memory_entries for as long as its indexes take to build (each reads all entries once; those of lengths that nobody
-- has yet stay empty). Old workers survive it: they do not know of it.

-- Of one tenant, so that nobody learns by how quick an answer comes whether somebody else has embedded the same text; and gone with it.
-- Nothing is granted to the role by which people reach data.
CREATE TABLE embedding_cache (
  tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  model text NOT NULL,
  dimensions integer NOT NULL CHECK (dimensions > 0),
  -- SHA-256 of the text.
  hash bytea NOT NULL CHECK (length(hash) = 32),
  embedding vector NOT NULL,
  used_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, model, dimensions, hash)
);
CREATE INDEX embedding_cache_used ON embedding_cache (used_at);
ALTER TABLE embedding_cache ENABLE ROW LEVEL SECURITY;

-- A row a model that processes embed with. Of those seen lately the one that came last is the one that memories are brought to: while
-- processes of two settings live side by side, as during an upgrade, they do not undo one another's work.
CREATE TABLE embedding_models (
  model text NOT NULL,
  dimensions integer NOT NULL CHECK (dimensions > 0),
  first_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (model, dimensions)
);
ALTER TABLE embedding_models ENABLE ROW LEVEL SECURITY;

-- Memories that somebody re-embeds just now, or that are left alone for a while since no model takes them.
CREATE TABLE embedding_claims (
  entry_id text PRIMARY KEY REFERENCES memory_entries ON DELETE CASCADE,
  holder text NOT NULL,
  until timestamptz NOT NULL
);
ALTER TABLE embedding_claims ENABLE ROW LEVEL SECURITY;

-- Which models and lengths there are, and the newest entries of one, of all tenants. Of another collation than what a search compares, which
-- so cannot take it for the index of a tenant's entries.
CREATE INDEX memory_entries_of_model ON memory_entries (embedding_model COLLATE "C", (vector_dims(embedding)), created_at DESC);

-- The other lengths that embedding models commonly have. For any other all entries of a tenant are compared.
CREATE INDEX memory_entries_768 ON memory_entries USING hnsw ((embedding::halfvec(768)) halfvec_cosine_ops) WHERE vector_dims(embedding) = 768;
CREATE INDEX memory_entries_1024 ON memory_entries USING hnsw ((embedding::halfvec(1024)) halfvec_cosine_ops) WHERE vector_dims(embedding) = 1024;
CREATE INDEX memory_entries_3072 ON memory_entries USING hnsw ((embedding::halfvec(3072)) halfvec_cosine_ops) WHERE vector_dims(embedding) = 3072;
