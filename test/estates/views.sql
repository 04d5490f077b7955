-- Views: with and without security_invoker, over each other, over another schema's table, with a function; materialized ones with and without data
-- database: estates
-- schema: views
-- verdict: green

CREATE TABLE orders (id integer PRIMARY KEY, customer text, amount numeric, at timestamptz DEFAULT now());
CREATE TABLE customers (id integer PRIMARY KEY, name text, secret text);
INSERT INTO orders VALUES (1, 'ada', 10), (2, 'grace', 20);
CREATE FUNCTION heavy(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE LOG 'leasehold-trap heavy'; RETURN $1; END $$;
CREATE VIEW totals AS SELECT customer, sum(amount) AS total FROM orders GROUP BY customer;
CREATE VIEW top AS SELECT * FROM totals WHERE total > 15;
CREATE VIEW invoked WITH (security_invoker = true) AS SELECT id, name FROM customers;
CREATE VIEW guarded WITH (security_barrier) AS SELECT id, name FROM customers WHERE id < 10;
CREATE VIEW computed AS SELECT id, views.heavy(1) AS heavy FROM orders;
CREATE VIEW elsewhere AS SELECT username FROM django.auth_user;
CREATE VIEW constants AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW filled AS SELECT customer, count(*) AS orders FROM orders GROUP BY customer;
CREATE MATERIALIZED VIEW empty AS SELECT * FROM orders WITH NO DATA;
CREATE UNIQUE INDEX ON filled (customer);

-- changed by hand, each with who, which check and which object it has to be found in:
GRANT DELETE ON views.orders TO estates_report; -- report tables.DELETE views.orders
GRANT UPDATE (name) ON views.customers TO estates_report; -- report tables.UPDATE views.customers
GRANT TRUNCATE ON views.orders TO estates_service; -- service tables.TRUNCATE views.orders
GRANT TRIGGER ON views.totals TO estates_report; -- report tables.TRIGGER views.totals
GRANT REFERENCES ON views.filled TO estates_service; -- service tables.REFERENCES views.filled
GRANT SELECT ON views.customers TO PUBLIC; -- - public views.customers
GRANT INSERT ON views.totals TO estates_stranger; -- - undeclared-roles views.totals
GRANT SELECT ON views.orders TO estates_service WITH GRANT OPTION; -- service nothing-else views.orders
GRANT CREATE ON SCHEMA views TO estates_report; -- report schema.CREATE views
ALTER DEFAULT PRIVILEGES FOR ROLE estates_owner IN SCHEMA views GRANT REFERENCES ON TABLES TO estates_report; -- report tables.REFERENCES views.leasehold_probe
CREATE TABLE views.stray (id integer); GRANT UPDATE ON views.stray TO estates_report; -- report tables.UPDATE views.stray
CREATE FUNCTION views.become() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT current_user::text'; -- report nothing-else views.become()
REVOKE SELECT ON views.filled FROM estates_report; -- report tables.SELECT views.filled
REVOKE INSERT ON views.orders FROM estates_service; -- service tables.INSERT views.orders
REVOKE UPDATE ON views.customers FROM estates_service; -- service tables.UPDATE views.customers
REVOKE DELETE ON views.totals FROM estates_service; -- service tables.DELETE views.totals
REVOKE SELECT ON views.totals FROM estates_service; -- service tables.SELECT views.totals
ALTER DEFAULT PRIVILEGES FOR ROLE estates_owner IN SCHEMA views REVOKE DELETE ON TABLES FROM estates_service; -- service tables.DELETE views.leasehold_probe
REVOKE EXECUTE ON ROUTINE views.heavy(integer) FROM estates_report; -- report functions.EXECUTE views.heavy(integer)
REVOKE SELECT ON views.top FROM estates_report; -- report tables.SELECT views.top
REVOKE SELECT ON views.empty FROM estates_report; -- report tables.SELECT views.empty
REVOKE SELECT ON views.invoked FROM estates_report; -- report tables.SELECT views.invoked
GRANT DELETE ON views.guarded TO estates_report; -- report tables.DELETE views.guarded
REVOKE SELECT ON django.auth_user FROM estates_owner; -- report tables.SELECT views.elsewhere
