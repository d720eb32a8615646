-- For which goals somebody watches what models are writing, so that workers send it for those alone. Deployments with Redis keep it there.
-- Unlogged: a row is good for half a minute, and one that a crash of the server takes is written again within ten seconds.
-- No foreign key, since a goal that is pruned under its watcher must not fail the rows of others; no row-level security and no grant,
-- since only ingress' own upkeep and workers reach it, as the owner: who may watch a goal is decided where its events are asked for.
-- Locks: none on what is there. Old workers survive it: they send no such text.

CREATE UNLOGGED TABLE goal_watches (
  goal_id text PRIMARY KEY CHECK (length(goal_id) BETWEEN 1 AND 100),
  until timestamptz NOT NULL CHECK (isfinite(until))
);
CREATE INDEX goal_watches_until ON goal_watches (until);
