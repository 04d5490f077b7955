-- Views whose owner, or whose reader, lacks what they read; a procedure made before the deploy
-- database: red
-- schema: broken
-- verdict: red
-- finds: report tables.SELECT broken.over_base
-- finds: report tables.SELECT broken.over_view
-- finds: report tables.SELECT broken.by_function
-- finds: report tables.SELECT broken.by_invoker
-- finds: service tables.SELECT broken.over_base
-- finds: admin tables.SELECT broken.base
-- finds: report functions.EXECUTE broken.hidden()
-- finds: report tables.SELECT broken.hidden_base

CREATE TABLE base (id integer PRIMARY KEY, note text);
CREATE FUNCTION hidden() RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE VIEW over_base AS SELECT id FROM base;
CREATE VIEW over_view AS SELECT id FROM over_base;
CREATE VIEW by_function AS SELECT broken.hidden() AS one;
CREATE VIEW fine AS SELECT 1 AS one;
CREATE TABLE hidden_base (id integer PRIMARY KEY, note text);
CREATE VIEW by_invoker WITH (security_invoker) AS SELECT id FROM hidden_base;
REVOKE SELECT ON base FROM red_owner;
REVOKE EXECUTE ON FUNCTION hidden() FROM red_report;
REVOKE SELECT (id), SELECT ON hidden_base FROM red_report;
