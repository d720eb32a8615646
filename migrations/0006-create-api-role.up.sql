-- The role by which people reach data: every row it sees or writes is its tenant's, whatever the query says.
-- Workers connect as the owner, whose policy is to see all, and name the tenant in every guard.
-- Locks: ACCESS EXCLUSIVE on each table, for an instant. Old workers survive it: they connect as the owner.

-- Both may have been done by an administrator, for an owner who may not.
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'outerloop_api') THEN
    CREATE ROLE outerloop_api NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;

DO $$ BEGIN
  IF NOT pg_has_role(current_user, 'outerloop_api', 'MEMBER') THEN
    EXECUTE format('GRANT outerloop_api TO %I', current_user);
  END IF;
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO outerloop_api', current_schema());
END $$;

GRANT SELECT ON tenants, api_keys TO outerloop_api;
GRANT INSERT, UPDATE ON api_keys TO outerloop_api;
GRANT SELECT, INSERT, UPDATE ON sessions, goals, tasks TO outerloop_api;
GRANT SELECT, INSERT ON idempotency_keys, events, artifacts, blobs TO outerloop_api;
GRANT SELECT ON task_dependencies, steps, prompts TO outerloop_api;
GRANT SELECT, INSERT, DELETE ON memory_entries TO outerloop_api;

CREATE FUNCTION api_tenant() RETURNS text LANGUAGE sql STABLE AS $$ SELECT current_setting('outerloop.tenant', true) $$;

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['api_keys', 'sessions', 'goals', 'tasks', 'task_dependencies', 'idempotency_keys', 'events', 'artifacts', 'blobs', 'steps', 'memory_entries'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY own_tenant ON %I TO outerloop_api USING (tenant_id = api_tenant()) WITH CHECK (tenant_id = api_tenant())', name);
  END LOOP;
END $$;
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON tenants TO outerloop_api USING (id = api_tenant());
