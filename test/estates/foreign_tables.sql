-- Foreign tables of a server that does not answer
-- database: estates
-- schema: foreign_tables
-- verdict: green

RESET ROLE;
CREATE EXTENSION postgres_fdw SCHEMA foreign_tables;
CREATE SERVER nowhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1', dbname 'nowhere');
GRANT USAGE ON FOREIGN SERVER nowhere TO estates_owner;
SET LOCAL ROLE estates_owner;
CREATE FOREIGN TABLE remote_orders (id integer, note text) SERVER nowhere OPTIONS (use_remote_estimate 'true');
CREATE FOREIGN TABLE remote_items (id integer, note text) SERVER nowhere;
CREATE TABLE cache (id serial PRIMARY KEY, note text);
CREATE TABLE local_items (id integer PRIMARY KEY, note text);
CREATE VIEW both_items AS SELECT id, note FROM local_items UNION ALL SELECT id, note FROM remote_items;

-- changed by hand, each with who, which check and which object it has to be found in:
GRANT DELETE ON foreign_tables.remote_orders TO estates_report; -- report tables.DELETE foreign_tables.remote_orders
GRANT UPDATE (note) ON foreign_tables.cache TO estates_report; -- report tables.UPDATE foreign_tables.cache
GRANT TRUNCATE ON foreign_tables.remote_orders TO estates_service; -- service tables.TRUNCATE foreign_tables.remote_orders
GRANT TRIGGER ON foreign_tables.local_items TO estates_report; -- report tables.TRIGGER foreign_tables.local_items
GRANT REFERENCES ON foreign_tables.remote_items TO estates_service; -- service tables.REFERENCES foreign_tables.remote_items
GRANT SELECT ON foreign_tables.cache TO PUBLIC; -- - public foreign_tables.cache
GRANT INSERT ON foreign_tables.local_items TO estates_stranger; -- - undeclared-roles foreign_tables.local_items
GRANT SELECT ON foreign_tables.remote_orders TO estates_service WITH GRANT OPTION; -- service nothing-else foreign_tables.remote_orders
GRANT CREATE ON SCHEMA foreign_tables TO estates_report; -- report schema.CREATE foreign_tables
ALTER DEFAULT PRIVILEGES FOR ROLE estates_owner IN SCHEMA foreign_tables GRANT REFERENCES ON TABLES TO estates_report; -- report tables.REFERENCES foreign_tables.leasehold_probe
CREATE TABLE foreign_tables.stray (id integer); GRANT UPDATE ON foreign_tables.stray TO estates_report; -- report tables.UPDATE foreign_tables.stray
CREATE FUNCTION foreign_tables.become() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT current_user::text'; -- report nothing-else foreign_tables.become()
REVOKE SELECT ON foreign_tables.remote_items FROM estates_report; -- report tables.SELECT foreign_tables.remote_items
REVOKE INSERT ON foreign_tables.remote_orders FROM estates_service; -- service tables.INSERT foreign_tables.remote_orders
REVOKE UPDATE ON foreign_tables.cache FROM estates_service; -- service tables.UPDATE foreign_tables.cache
REVOKE DELETE ON foreign_tables.local_items FROM estates_service; -- service tables.DELETE foreign_tables.local_items
REVOKE SELECT ON foreign_tables.local_items FROM estates_service; -- service tables.SELECT foreign_tables.local_items
ALTER DEFAULT PRIVILEGES FOR ROLE estates_owner IN SCHEMA foreign_tables REVOKE DELETE ON TABLES FROM estates_service; -- service tables.DELETE foreign_tables.leasehold_probe
REVOKE USAGE, UPDATE ON SEQUENCE foreign_tables.cache_id_seq FROM estates_service; -- service sequences.USAGE foreign_tables.cache_id_seq
GRANT UPDATE ON SEQUENCE foreign_tables.cache_id_seq TO estates_report; -- report sequences.UPDATE foreign_tables.cache_id_seq
REVOKE SELECT ON foreign_tables.both_items FROM estates_report; -- report tables.SELECT foreign_tables.both_items
GRANT USAGE ON FOREIGN SERVER nowhere TO estates_report; -- report nothing-else nowhere
