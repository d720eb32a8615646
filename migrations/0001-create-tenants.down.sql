DROP TABLE leases, api_keys, tenants;
