-- 2,000 tables of another role in the schema, made before anything was declared of it
-- database: red
-- schema: crowd
-- verdict: red
-- finds: admin tables.* it belongs to red_stranger
-- finds: service tables.* it belongs to red_stranger
-- finds: report tables.SELECT it belongs to red_stranger

RESET ROLE;
GRANT CREATE, USAGE ON SCHEMA crowd TO red_stranger;
SET LOCAL ROLE red_stranger;
DO $$ BEGIN FOR i IN 1..2000 LOOP EXECUTE pg_catalog.format('CREATE TABLE crowd.t%s (id integer, note text)', i); END LOOP; END $$;
RESET ROLE;
REVOKE CREATE, USAGE ON SCHEMA crowd FROM red_stranger;
SET LOCAL ROLE red_owner;
CREATE TABLE own (id serial PRIMARY KEY, note text);
