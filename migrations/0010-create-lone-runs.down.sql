DROP TABLE lone_runs;
