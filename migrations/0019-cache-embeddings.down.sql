-- Locks: ACCESS EXCLUSIVE on memory_entries for an instant.
DROP INDEX memory_entries_3072;
DROP INDEX memory_entries_1024;
DROP INDEX memory_entries_768;
DROP INDEX memory_entries_of_model;
DROP TABLE embedding_claims;
DROP TABLE embedding_models;
DROP TABLE embedding_cache;
