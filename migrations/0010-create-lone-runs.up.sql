-- What runs alone in the process of an embedded database (W8): the mark is set before it begins and taken off after it, so
-- one that is found at a later claim says that the process ended in the middle. At most a row or two at any time.
-- Locks: none. Old workers survive it: they do not know of it.

CREATE TABLE lone_runs (
  -- A task, or a goal for its planner.
  subject_id text PRIMARY KEY,
  began_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
