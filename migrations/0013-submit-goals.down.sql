-- Locks: none.
DROP FUNCTION submit_goals;
