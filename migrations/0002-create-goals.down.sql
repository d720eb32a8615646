DROP TABLE idempotency_keys, task_dependencies, tasks, goals, sessions;
