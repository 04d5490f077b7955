-- Event triggers: one that raises for whoever is neither the owner nor a superuser, one that logs each command
-- database: watched
-- schema: watched
-- verdict: green

CREATE TABLE things (id serial PRIMARY KEY, note text);
CREATE TABLE items (id integer PRIMARY KEY, note text);
CREATE TABLE parts (id integer PRIMARY KEY, note text);
CREATE TABLE pieces (id integer PRIMARY KEY, note text);
RESET ROLE;
CREATE SCHEMA ops;
CREATE FUNCTION ops.guard() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
  RAISE LOG 'leasehold-trap guard %', tg_tag;
END $$;
REVOKE EXECUTE ON FUNCTION ops.guard() FROM PUBLIC;
CREATE EVENT TRIGGER guard ON ddl_command_start WHEN TAG IN ('CREATE TABLE', 'DROP TABLE', 'ALTER TABLE', 'CREATE FUNCTION', 'CREATE SEQUENCE') EXECUTE FUNCTION ops.guard();
CREATE EVENT TRIGGER dropped ON sql_drop EXECUTE FUNCTION ops.guard();

-- changed by hand, each with who, which check and which object it has to be found in:
GRANT DELETE ON watched.things TO watched_report; -- report tables.DELETE watched.things
GRANT UPDATE (note) ON watched.items TO watched_report; -- report tables.UPDATE watched.items
GRANT TRUNCATE ON watched.things TO watched_service; -- service tables.TRUNCATE watched.things
GRANT TRIGGER ON watched.parts TO watched_report; -- report tables.TRIGGER watched.parts
GRANT REFERENCES ON watched.pieces TO watched_service; -- service tables.REFERENCES watched.pieces
GRANT SELECT ON watched.items TO PUBLIC; -- - public watched.items
GRANT INSERT ON watched.parts TO watched_stranger; -- - undeclared-roles watched.parts
GRANT SELECT ON watched.things TO watched_service WITH GRANT OPTION; -- service nothing-else watched.things
GRANT CREATE ON SCHEMA watched TO watched_report; -- report schema.CREATE watched
CREATE TABLE watched.stray (id integer); GRANT UPDATE ON watched.stray TO watched_report; -- report tables.UPDATE watched.stray
CREATE FUNCTION watched.become() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT current_user::text'; -- report nothing-else watched.become()
REVOKE SELECT ON watched.pieces FROM watched_report; -- report tables.SELECT watched.pieces
REVOKE INSERT ON watched.things FROM watched_service; -- service tables.INSERT watched.things
REVOKE UPDATE ON watched.items FROM watched_service; -- service tables.UPDATE watched.items
REVOKE DELETE ON watched.parts FROM watched_service; -- service tables.DELETE watched.parts
REVOKE SELECT ON watched.parts FROM watched_service; -- service tables.SELECT watched.parts
REVOKE USAGE, UPDATE ON SEQUENCE watched.things_id_seq FROM watched_service; -- service sequences.USAGE watched.things_id_seq
GRANT UPDATE ON SEQUENCE watched.things_id_seq TO watched_report; -- report sequences.UPDATE watched.things_id_seq
ALTER DEFAULT PRIVILEGES FOR ROLE watched_owner IN SCHEMA watched GRANT DELETE ON TABLES TO watched_report; -- report nothing-else later tables
ALTER ROLE watched_report CREATEDB; -- report attributes.CREATEDB watched_report has CREATEDB
