-- What is there before: tables of an owner's in two schemas, one with a name that has to be quoted, and columns that can't be written.
CREATE ROLE shop_owner NOLOGIN;
CREATE SCHEMA sales AUTHORIZATION shop_owner;
CREATE SCHEMA billing AUTHORIZATION shop_owner;
SET ROLE shop_owner;
CREATE TABLE sales.customers (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  email text,
  "Full name" text,
  initial text GENERATED ALWAYS AS (left(email, 1)) STORED
);
CREATE TABLE sales."Order-items" (id serial PRIMARY KEY, paid boolean);
CREATE TABLE sales.refunds (id integer);
CREATE VIEW sales.open_orders AS SELECT id FROM sales."Order-items" WHERE NOT paid;
CREATE TABLE billing.invoices (id integer PRIMARY KEY, total numeric);
CREATE FUNCTION billing.total() RETURNS integer LANGUAGE sql AS 'SELECT 1';
RESET ROLE;
