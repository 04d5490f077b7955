-- Tables without a key in a publication of all tables
-- database: estates
-- schema: published
-- verdict: green

CREATE TABLE keyless (note text, id integer);
CREATE TABLE keyed (id serial PRIMARY KEY, note text);
CREATE TABLE full_identity (id integer, note text);
CREATE TABLE by_index (id integer NOT NULL, note text);
CREATE UNIQUE INDEX by_id ON by_index (id);
ALTER TABLE full_identity REPLICA IDENTITY FULL;
ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_id;
RESET ROLE;
CREATE PUBLICATION everything FOR ALL TABLES;

-- changed by hand, each with who, which check and which object it has to be found in:
GRANT DELETE ON published.keyless TO estates_report; -- report tables.DELETE published.keyless
GRANT UPDATE (note) ON published.keyed TO estates_report; -- report tables.UPDATE published.keyed
GRANT TRUNCATE ON published.keyless TO estates_service; -- service tables.TRUNCATE published.keyless
GRANT TRIGGER ON published.full_identity TO estates_report; -- report tables.TRIGGER published.full_identity
GRANT REFERENCES ON published.by_index TO estates_service; -- service tables.REFERENCES published.by_index
GRANT SELECT ON published.keyed TO PUBLIC; -- - public published.keyed
GRANT INSERT ON published.full_identity TO estates_stranger; -- - undeclared-roles published.full_identity
GRANT SELECT ON published.keyless TO estates_service WITH GRANT OPTION; -- service nothing-else published.keyless
GRANT CREATE ON SCHEMA published TO estates_report; -- report schema.CREATE published
ALTER DEFAULT PRIVILEGES FOR ROLE estates_owner IN SCHEMA published GRANT REFERENCES ON TABLES TO estates_report; -- report tables.REFERENCES published.leasehold_probe
CREATE TABLE published.stray (id integer); GRANT UPDATE ON published.stray TO estates_report; -- report tables.UPDATE published.stray
CREATE FUNCTION published.become() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT current_user::text'; -- report nothing-else published.become()
REVOKE SELECT ON published.by_index FROM estates_report; -- report tables.SELECT published.by_index
REVOKE INSERT ON published.keyless FROM estates_service; -- service tables.INSERT published.keyless
REVOKE UPDATE ON published.keyed FROM estates_service; -- service tables.UPDATE published.keyed
REVOKE DELETE ON published.full_identity FROM estates_service; -- service tables.DELETE published.full_identity
REVOKE SELECT ON published.full_identity FROM estates_service; -- service tables.SELECT published.full_identity
ALTER DEFAULT PRIVILEGES FOR ROLE estates_owner IN SCHEMA published REVOKE DELETE ON TABLES FROM estates_service; -- service tables.DELETE published.leasehold_probe
REVOKE USAGE, UPDATE ON SEQUENCE published.keyed_id_seq FROM estates_service; -- service sequences.USAGE published.keyed_id_seq
GRANT UPDATE ON SEQUENCE published.keyed_id_seq TO estates_report; -- report sequences.UPDATE published.keyed_id_seq
