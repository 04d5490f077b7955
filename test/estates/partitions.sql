-- Tables in parts, by time, with a default and a part in parts; inheritance; an index on an expression
-- database: estates
-- schema: partitions
-- verdict: green

CREATE FUNCTION bucket(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE LOG 'leasehold-trap bucket'; RETURN lower($1); END $$;
CREATE TABLE events (at timestamptz NOT NULL, kind text, payload jsonb) PARTITION BY RANGE (at);
CREATE TABLE events_2026_10 PARTITION OF events FOR VALUES FROM ('2026-10-01') TO ('2026-11-01');
CREATE TABLE events_2026_11 PARTITION OF events FOR VALUES FROM ('2026-11-01') TO ('2026-12-01') PARTITION BY LIST (kind);
CREATE TABLE events_2026_11_login PARTITION OF events_2026_11 FOR VALUES IN ('login');
CREATE TABLE events_default PARTITION OF events DEFAULT;
CREATE TABLE indexed (id integer PRIMARY KEY, name text);
CREATE INDEX ON indexed (partitions.bucket(name)) WHERE partitions.bucket('x') = 'x';
CREATE TABLE parent (id integer PRIMARY KEY, note text);
CREATE TABLE child (more text) INHERITS (parent);

-- changed by hand, each with who, which check and which object it has to be found in:
GRANT DELETE ON partitions.events TO estates_report; -- report tables.DELETE partitions.events
GRANT UPDATE (kind) ON partitions.events_2026_10 TO estates_report; -- report tables.UPDATE partitions.events_2026_10
GRANT TRUNCATE ON partitions.events TO estates_service; -- service tables.TRUNCATE partitions.events
GRANT TRIGGER ON partitions.indexed TO estates_report; -- report tables.TRIGGER partitions.indexed
GRANT REFERENCES ON partitions.parent TO estates_service; -- service tables.REFERENCES partitions.parent
GRANT SELECT ON partitions.events_2026_10 TO PUBLIC; -- - public partitions.events_2026_10
GRANT INSERT ON partitions.indexed TO estates_stranger; -- - undeclared-roles partitions.indexed
GRANT SELECT ON partitions.events TO estates_service WITH GRANT OPTION; -- service nothing-else partitions.events
GRANT CREATE ON SCHEMA partitions TO estates_report; -- report schema.CREATE partitions
ALTER DEFAULT PRIVILEGES FOR ROLE estates_owner IN SCHEMA partitions GRANT REFERENCES ON TABLES TO estates_report; -- report tables.REFERENCES partitions.leasehold_probe
CREATE TABLE partitions.stray (id integer); GRANT UPDATE ON partitions.stray TO estates_report; -- report tables.UPDATE partitions.stray
CREATE FUNCTION partitions.become() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT current_user::text'; -- report nothing-else partitions.become()
REVOKE SELECT ON partitions.parent FROM estates_report; -- report tables.SELECT partitions.parent
REVOKE INSERT ON partitions.events FROM estates_service; -- service tables.INSERT partitions.events
REVOKE UPDATE ON partitions.events_2026_10 FROM estates_service; -- service tables.UPDATE partitions.events_2026_10
REVOKE DELETE ON partitions.indexed FROM estates_service; -- service tables.DELETE partitions.indexed
REVOKE SELECT ON partitions.indexed FROM estates_service; -- service tables.SELECT partitions.indexed
ALTER DEFAULT PRIVILEGES FOR ROLE estates_owner IN SCHEMA partitions REVOKE DELETE ON TABLES FROM estates_service; -- service tables.DELETE partitions.leasehold_probe
REVOKE EXECUTE ON ROUTINE partitions.bucket(text) FROM estates_report; -- report functions.EXECUTE partitions.bucket(text)
REVOKE SELECT ON partitions.events_2026_11_login FROM estates_report; -- report tables.SELECT partitions.events_2026_11_login
REVOKE SELECT ON partitions.child FROM estates_report; -- report tables.SELECT partitions.child
REVOKE SELECT ON partitions.events_default FROM estates_report; -- report tables.SELECT partitions.events_default
