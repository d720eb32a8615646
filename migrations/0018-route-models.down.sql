DROP FUNCTION used_model_slots, take_model_slots;
DROP TABLE model_tests, model_views, model_queues, model_buckets, model_limits, model_breakers;
ALTER TABLE tasks DROP COLUMN models;
ALTER TABLE goals DROP COLUMN models;
