-- Row security a tenant, forced, by current_setting
-- database: estates
-- schema: tenants
-- verdict: green

CREATE TABLE tenants (id uuid PRIMARY KEY, name text);
CREATE TABLE documents (id serial PRIMARY KEY, tenant_id uuid NOT NULL REFERENCES tenants, body text);
CREATE TABLE members (id integer PRIMARY KEY, tenant_id uuid NOT NULL, email text);
CREATE TABLE settings (id integer PRIMARY KEY, value text);
CREATE FUNCTION allowed(uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$ BEGIN RAISE LOG 'leasehold-trap allowed'; RETURN true; END $$;
ALTER TABLE documents ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE members ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON documents USING (tenant_id = current_setting('app.tenant_id')::uuid);
CREATE POLICY tenant ON members USING (tenants.allowed(tenant_id)) WITH CHECK (tenants.allowed(tenant_id));

-- changed by hand, each with who, which check and which object it has to be found in:
GRANT DELETE ON tenants.documents TO estates_report; -- report tables.DELETE tenants.documents
GRANT UPDATE (email) ON tenants.members TO estates_report; -- report tables.UPDATE tenants.members
GRANT TRUNCATE ON tenants.documents TO estates_service; -- service tables.TRUNCATE tenants.documents
GRANT TRIGGER ON tenants.tenants TO estates_report; -- report tables.TRIGGER tenants.tenants
GRANT REFERENCES ON tenants.settings TO estates_service; -- service tables.REFERENCES tenants.settings
GRANT SELECT ON tenants.members TO PUBLIC; -- - public tenants.members
GRANT INSERT ON tenants.tenants TO estates_stranger; -- - undeclared-roles tenants.tenants
GRANT SELECT ON tenants.documents TO estates_service WITH GRANT OPTION; -- service nothing-else tenants.documents
GRANT CREATE ON SCHEMA tenants TO estates_report; -- report schema.CREATE tenants
ALTER DEFAULT PRIVILEGES FOR ROLE estates_owner IN SCHEMA tenants GRANT REFERENCES ON TABLES TO estates_report; -- report tables.REFERENCES tenants.leasehold_probe
CREATE TABLE tenants.stray (id integer); GRANT UPDATE ON tenants.stray TO estates_report; -- report tables.UPDATE tenants.stray
CREATE FUNCTION tenants.become() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT current_user::text'; -- report nothing-else tenants.become()
REVOKE SELECT ON tenants.settings FROM estates_report; -- report tables.SELECT tenants.settings
REVOKE INSERT ON tenants.documents FROM estates_service; -- service tables.INSERT tenants.documents
REVOKE UPDATE ON tenants.members FROM estates_service; -- service tables.UPDATE tenants.members
REVOKE DELETE ON tenants.tenants FROM estates_service; -- service tables.DELETE tenants.tenants
REVOKE SELECT ON tenants.tenants FROM estates_service; -- service tables.SELECT tenants.tenants
ALTER DEFAULT PRIVILEGES FOR ROLE estates_owner IN SCHEMA tenants REVOKE DELETE ON TABLES FROM estates_service; -- service tables.DELETE tenants.leasehold_probe
REVOKE USAGE, UPDATE ON SEQUENCE tenants.documents_id_seq FROM estates_service; -- service sequences.USAGE tenants.documents_id_seq
GRANT UPDATE ON SEQUENCE tenants.documents_id_seq TO estates_report; -- report sequences.UPDATE tenants.documents_id_seq
REVOKE EXECUTE ON ROUTINE tenants.allowed(uuid) FROM estates_report; -- report functions.EXECUTE tenants.allowed(uuid)
