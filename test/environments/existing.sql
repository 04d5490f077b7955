-- What is there before: an owner who logs in, a colleague in it, tables in public and in a schema of the owner's.
CREATE ROLE app_owner LOGIN PASSWORD 'not-a-secret' CONNECTION LIMIT 7;
ALTER ROLE app_owner SET statement_timeout = '60s';
CREATE ROLE colleague LOGIN IN ROLE app_owner;
CREATE ROLE nightly LOGIN;
-- Whose password is to be Vault's.
CREATE ROLE batch LOGIN PASSWORD 'not-a-secret';
CREATE SCHEMA billing AUTHORIZATION app_owner;
GRANT CREATE ON SCHEMA public TO app_owner;
SET ROLE app_owner;
CREATE TABLE public.customers (id integer PRIMARY KEY, name text);
CREATE TABLE billing.invoices (id integer PRIMARY KEY);
CREATE FUNCTION billing.total() RETURNS integer LANGUAGE sql AS 'SELECT 1';
RESET ROLE;
