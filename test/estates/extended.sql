-- Extensions in the schema, with relations too, and in a schema of their own
-- database: estates
-- schema: extended
-- verdict: green

RESET ROLE;
CREATE EXTENSION pgcrypto SCHEMA extended;
CREATE EXTENSION pg_trgm SCHEMA extended;
CREATE EXTENSION pg_stat_statements SCHEMA extended;
CREATE SCHEMA types;
GRANT USAGE ON SCHEMA types TO PUBLIC;
CREATE EXTENSION citext SCHEMA types;
SET LOCAL ROLE estates_owner;
CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email types.citext UNIQUE, hash text DEFAULT extended.crypt('x', extended.gen_salt('md5')));
CREATE INDEX ON users USING gin (hash extended.gin_trgm_ops);
CREATE TABLE words (id serial PRIMARY KEY, word text);
CREATE TABLE letters (id integer PRIMARY KEY, letter text);
CREATE TABLE pages (id integer PRIMARY KEY, page text);

-- changed by hand, each with who, which check and which object it has to be found in:
GRANT DELETE ON extended.users TO estates_report; -- report tables.DELETE extended.users
GRANT UPDATE (word) ON extended.words TO estates_report; -- report tables.UPDATE extended.words
GRANT TRUNCATE ON extended.users TO estates_service; -- service tables.TRUNCATE extended.users
GRANT TRIGGER ON extended.letters TO estates_report; -- report tables.TRIGGER extended.letters
GRANT REFERENCES ON extended.pages TO estates_service; -- service tables.REFERENCES extended.pages
GRANT SELECT ON extended.words TO PUBLIC; -- - public extended.words
GRANT INSERT ON extended.letters TO estates_stranger; -- - undeclared-roles extended.letters
GRANT SELECT ON extended.users TO estates_service WITH GRANT OPTION; -- service nothing-else extended.users
GRANT CREATE ON SCHEMA extended TO estates_report; -- report schema.CREATE extended
ALTER DEFAULT PRIVILEGES FOR ROLE estates_owner IN SCHEMA extended GRANT REFERENCES ON TABLES TO estates_report; -- report tables.REFERENCES extended.leasehold_probe
CREATE TABLE extended.stray (id integer); GRANT UPDATE ON extended.stray TO estates_report; -- report tables.UPDATE extended.stray
CREATE FUNCTION extended.become() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT current_user::text'; -- report nothing-else extended.become()
REVOKE SELECT ON extended.pages FROM estates_report; -- report tables.SELECT extended.pages
REVOKE INSERT ON extended.users FROM estates_service; -- service tables.INSERT extended.users
REVOKE UPDATE ON extended.words FROM estates_service; -- service tables.UPDATE extended.words
REVOKE DELETE ON extended.letters FROM estates_service; -- service tables.DELETE extended.letters
REVOKE SELECT ON extended.letters FROM estates_service; -- service tables.SELECT extended.letters
ALTER DEFAULT PRIVILEGES FOR ROLE estates_owner IN SCHEMA extended REVOKE DELETE ON TABLES FROM estates_service; -- service tables.DELETE extended.leasehold_probe
REVOKE USAGE, UPDATE ON SEQUENCE extended.words_id_seq FROM estates_service; -- service sequences.USAGE extended.words_id_seq
GRANT UPDATE ON SEQUENCE extended.words_id_seq TO estates_report; -- report sequences.UPDATE extended.words_id_seq
GRANT DELETE ON extended.pg_stat_statements TO estates_report; -- report nothing-else extended.pg_stat_statements
