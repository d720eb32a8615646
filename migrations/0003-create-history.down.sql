DROP FUNCTION drop_history_partition(text, date, timestamptz);
DROP FUNCTION ensure_history_partition(text, date);
DROP TABLE prompts, artifacts, events, blobs, steps;
