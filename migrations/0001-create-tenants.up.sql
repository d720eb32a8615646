-- Who may ask: tenants, their hashed keys, and the processes that hold claims.
-- Locks: none on existing tables. Old workers: there are none.

CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE tenants (
  id text PRIMARY KEY CHECK (id ~ '^[a-z0-9_-]{1,64}$'),
  name text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO tenants (id, name) VALUES ('default', 'Default');

-- A key is 192 random bits, so one round of SHA-256 is enough: there is nothing to guess by dictionary.
CREATE TABLE api_keys (
  id text PRIMARY KEY,
  tenant_id text NOT NULL REFERENCES tenants,
  name text NOT NULL,
  role text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
  hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
  created_at timestamptz NOT NULL DEFAULT now(),
  revoked_at timestamptz
);

CREATE INDEX api_keys_tenant ON api_keys (tenant_id);

-- One row a process, renewed by it every few seconds. A claim names the lease, so renewing costs one row however
-- much a process holds. No tenant: a process works for all of them.
CREATE TABLE leases (
  id text PRIMARY KEY,
  service text NOT NULL,
  host text NOT NULL,
  pid integer NOT NULL,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL
);
