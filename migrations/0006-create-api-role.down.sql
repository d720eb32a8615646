DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['api_keys', 'sessions', 'goals', 'tasks', 'task_dependencies', 'idempotency_keys', 'events', 'artifacts', 'blobs', 'steps', 'memory_entries', 'tenants'] LOOP
    EXECUTE format('DROP POLICY own_tenant ON %I', name);
    EXECUTE format('ALTER TABLE %I DISABLE ROW LEVEL SECURITY', name);
  END LOOP;
END $$;
DROP FUNCTION api_tenant();
-- The role may serve other databases of this cluster: only what it was given here goes.
DROP OWNED BY outerloop_api;
