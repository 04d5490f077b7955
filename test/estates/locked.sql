-- A table that another session holds
-- database: estates
-- schema: locked
-- held: LOCK TABLE locked.held IN ACCESS EXCLUSIVE MODE; LOCK TABLE locked.also_held IN EXCLUSIVE MODE
-- verdict: green

CREATE TABLE held (id integer PRIMARY KEY, note text);
CREATE TABLE also_held (id integer PRIMARY KEY, note text);
CREATE TABLE free (id serial PRIMARY KEY, note text);
CREATE TABLE other (id integer PRIMARY KEY, note text);
CREATE VIEW over_held AS SELECT * FROM held;

-- changed by hand, each with who, which check and which object it has to be found in:
GRANT DELETE ON locked.held TO estates_report; -- report tables.DELETE locked.held
GRANT UPDATE (note) ON locked.also_held TO estates_report; -- report tables.UPDATE locked.also_held
GRANT TRUNCATE ON locked.held TO estates_service; -- service tables.TRUNCATE locked.held
GRANT TRIGGER ON locked.free TO estates_report; -- report tables.TRIGGER locked.free
GRANT REFERENCES ON locked.other TO estates_service; -- service tables.REFERENCES locked.other
GRANT SELECT ON locked.also_held TO PUBLIC; -- - public locked.also_held
GRANT INSERT ON locked.free TO estates_stranger; -- - undeclared-roles locked.free
GRANT SELECT ON locked.held TO estates_service WITH GRANT OPTION; -- service nothing-else locked.held
GRANT CREATE ON SCHEMA locked TO estates_report; -- report schema.CREATE locked
ALTER DEFAULT PRIVILEGES FOR ROLE estates_owner IN SCHEMA locked GRANT REFERENCES ON TABLES TO estates_report; -- report tables.REFERENCES locked.leasehold_probe
CREATE TABLE locked.stray (id integer); GRANT UPDATE ON locked.stray TO estates_report; -- report tables.UPDATE locked.stray
CREATE FUNCTION locked.become() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT current_user::text'; -- report nothing-else locked.become()
REVOKE SELECT ON locked.other FROM estates_report; -- report tables.SELECT locked.other
REVOKE INSERT ON locked.held FROM estates_service; -- service tables.INSERT locked.held
REVOKE UPDATE ON locked.also_held FROM estates_service; -- service tables.UPDATE locked.also_held
REVOKE DELETE ON locked.free FROM estates_service; -- service tables.DELETE locked.free
REVOKE SELECT ON locked.free FROM estates_service; -- service tables.SELECT locked.free
ALTER DEFAULT PRIVILEGES FOR ROLE estates_owner IN SCHEMA locked REVOKE DELETE ON TABLES FROM estates_service; -- service tables.DELETE locked.leasehold_probe
REVOKE USAGE, UPDATE ON SEQUENCE locked.free_id_seq FROM estates_service; -- service sequences.USAGE locked.free_id_seq
GRANT UPDATE ON SEQUENCE locked.free_id_seq TO estates_report; -- report sequences.UPDATE locked.free_id_seq
REVOKE SELECT ON locked.over_held FROM estates_report; -- report tables.SELECT locked.over_held
