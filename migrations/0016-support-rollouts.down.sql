DROP INDEX signals_of_task;
DROP INDEX idempotency_keys_of_goal;
DROP FUNCTION outerloop_load(text);
ALTER TABLE leases DROP COLUMN journal_format;
