DROP FUNCTION outerloop_load(text);
ALTER TABLE leases DROP COLUMN journal_format;
