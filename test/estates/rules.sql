-- Rules: DO INSTEAD NOTHING on delete, and one that writes beside
-- database: estates
-- schema: rules
-- verdict: green

CREATE TABLE kept (id integer PRIMARY KEY, note text);
CREATE TABLE noted (id integer PRIMARY KEY, note text);
CREATE TABLE log (at timestamptz DEFAULT now(), what text);
CREATE TABLE plain (id serial PRIMARY KEY, note text);
CREATE RULE kept AS ON DELETE TO kept DO INSTEAD NOTHING;
CREATE RULE noted AS ON INSERT TO noted DO ALSO INSERT INTO rules.log (what) VALUES ('inserted');
CREATE RULE updated AS ON UPDATE TO noted DO INSTEAD UPDATE rules.kept SET note = NEW.note WHERE id = NEW.id;

-- changed by hand, each with who, which check and which object it has to be found in:
GRANT DELETE ON rules.kept TO estates_report; -- report tables.DELETE rules.kept
GRANT UPDATE (note) ON rules.noted TO estates_report; -- report tables.UPDATE rules.noted
GRANT TRUNCATE ON rules.kept TO estates_service; -- service tables.TRUNCATE rules.kept
GRANT TRIGGER ON rules.log TO estates_report; -- report tables.TRIGGER rules.log
GRANT REFERENCES ON rules.plain TO estates_service; -- service tables.REFERENCES rules.plain
GRANT SELECT ON rules.noted TO PUBLIC; -- - public rules.noted
GRANT INSERT ON rules.log TO estates_stranger; -- - undeclared-roles rules.log
GRANT SELECT ON rules.kept TO estates_service WITH GRANT OPTION; -- service nothing-else rules.kept
GRANT CREATE ON SCHEMA rules TO estates_report; -- report schema.CREATE rules
ALTER DEFAULT PRIVILEGES FOR ROLE estates_owner IN SCHEMA rules GRANT REFERENCES ON TABLES TO estates_report; -- report tables.REFERENCES rules.leasehold_probe
CREATE TABLE rules.stray (id integer); GRANT UPDATE ON rules.stray TO estates_report; -- report tables.UPDATE rules.stray
CREATE FUNCTION rules.become() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT current_user::text'; -- report nothing-else rules.become()
REVOKE SELECT ON rules.plain FROM estates_report; -- report tables.SELECT rules.plain
REVOKE INSERT ON rules.kept FROM estates_service; -- service tables.INSERT rules.kept
REVOKE UPDATE ON rules.noted FROM estates_service; -- service tables.UPDATE rules.noted
REVOKE DELETE ON rules.log FROM estates_service; -- service tables.DELETE rules.log
REVOKE SELECT ON rules.log FROM estates_service; -- service tables.SELECT rules.log
ALTER DEFAULT PRIVILEGES FOR ROLE estates_owner IN SCHEMA rules REVOKE DELETE ON TABLES FROM estates_service; -- service tables.DELETE rules.leasehold_probe
REVOKE USAGE, UPDATE ON SEQUENCE rules.plain_id_seq FROM estates_service; -- service sequences.USAGE rules.plain_id_seq
GRANT UPDATE ON SEQUENCE rules.plain_id_seq TO estates_report; -- report sequences.UPDATE rules.plain_id_seq
