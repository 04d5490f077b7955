-- Procedures, aggregates, types, domains, generated columns, volatile and immutable defaults, large objects
-- database: estates
-- schema: routines
-- verdict: green

CREATE FUNCTION checked(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE LOG 'leasehold-trap checked'; RETURN true; END $$;
CREATE FUNCTION next_code() RETURNS text LANGUAGE plpgsql VOLATILE AS $$ BEGIN RAISE LOG 'leasehold-trap next_code'; RETURN 'x'; END $$;
CREATE FUNCTION fixed(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE LOG 'leasehold-trap fixed'; RETURN $1; END $$;
CREATE PROCEDURE tidy(INOUT done integer) LANGUAGE plpgsql AS $$ BEGIN RAISE LOG 'leasehold-trap tidy'; done := 1; END $$;
CREATE FUNCTION add_up(numeric, numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2';
CREATE AGGREGATE total(numeric) (SFUNC = add_up, STYPE = numeric, INITCOND = '0');
CREATE FUNCTION median_of(numeric[]) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT $1[1]';
CREATE FUNCTION collected(numeric[], numeric) RETURNS numeric[] LANGUAGE sql IMMUTABLE AS 'SELECT $1 || $2';
CREATE AGGREGATE middle(ORDER BY numeric) (SFUNC = collected, STYPE = numeric[], FINALFUNC = median_of, INITCOND = '{}');
CREATE TYPE pair AS (a integer, b text);
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TYPE floats AS RANGE (subtype = float8);
CREATE DOMAIN email AS text DEFAULT routines.fixed('nobody') CHECK (routines.checked(VALUE));
CREATE TABLE people (id serial PRIMARY KEY, address email, mood mood, pair pair);
CREATE TABLE coded (id integer PRIMARY KEY, code text DEFAULT routines.next_code());
CREATE TABLE fixed (code text DEFAULT routines.fixed('a'), id integer PRIMARY KEY, loud text GENERATED ALWAYS AS (routines.fixed('b')) STORED);
CREATE TABLE "Odd name" ("select" integer, "with ""quote"" in it" text, CHECK (routines.checked('c')));
CREATE SEQUENCE numbers;
CREATE FUNCTION many(integer, VARIADIC text[]) RETURNS SETOF integer LANGUAGE sql AS 'SELECT 1';
SELECT lo_create(0);

-- changed by hand, each with who, which check and which object it has to be found in:
GRANT DELETE ON routines.people TO estates_report; -- report tables.DELETE routines.people
GRANT UPDATE (code) ON routines.coded TO estates_report; -- report tables.UPDATE routines.coded
GRANT TRUNCATE ON routines.people TO estates_service; -- service tables.TRUNCATE routines.people
GRANT TRIGGER ON routines.fixed TO estates_report; -- report tables.TRIGGER routines.fixed
GRANT REFERENCES ON routines."Odd name" TO estates_service; -- service tables.REFERENCES routines."Odd name"
GRANT SELECT ON routines.coded TO PUBLIC; -- - public routines.coded
GRANT INSERT ON routines.fixed TO estates_stranger; -- - undeclared-roles routines.fixed
GRANT SELECT ON routines.people TO estates_service WITH GRANT OPTION; -- service nothing-else routines.people
GRANT CREATE ON SCHEMA routines TO estates_report; -- report schema.CREATE routines
ALTER DEFAULT PRIVILEGES FOR ROLE estates_owner IN SCHEMA routines GRANT REFERENCES ON TABLES TO estates_report; -- report tables.REFERENCES routines.leasehold_probe
CREATE TABLE routines.stray (id integer); GRANT UPDATE ON routines.stray TO estates_report; -- report tables.UPDATE routines.stray
CREATE FUNCTION routines.become() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT current_user::text'; -- report nothing-else routines.become()
REVOKE SELECT ON routines."Odd name" FROM estates_report; -- report tables.SELECT routines."Odd name"
REVOKE INSERT ON routines.people FROM estates_service; -- service tables.INSERT routines.people
REVOKE UPDATE ON routines.coded FROM estates_service; -- service tables.UPDATE routines.coded
REVOKE DELETE ON routines.fixed FROM estates_service; -- service tables.DELETE routines.fixed
REVOKE SELECT ON routines.fixed FROM estates_service; -- service tables.SELECT routines.fixed
ALTER DEFAULT PRIVILEGES FOR ROLE estates_owner IN SCHEMA routines REVOKE DELETE ON TABLES FROM estates_service; -- service tables.DELETE routines.leasehold_probe
REVOKE USAGE, UPDATE ON SEQUENCE routines.numbers FROM estates_service; -- service sequences.USAGE routines.numbers
GRANT UPDATE ON SEQUENCE routines.numbers TO estates_report; -- report sequences.UPDATE routines.numbers
REVOKE EXECUTE ON ROUTINE routines.tidy(integer) FROM estates_report; -- report functions.EXECUTE routines.tidy(integer)
REVOKE EXECUTE ON FUNCTION routines.total(numeric) FROM estates_service; -- service functions.EXECUTE routines.total(numeric)
DO $$ BEGIN EXECUTE pg_catalog.format('GRANT SELECT ON LARGE OBJECT %s TO estates_report', (SELECT max(oid) FROM pg_largeobject_metadata)); END $$; -- report nothing-else large object
