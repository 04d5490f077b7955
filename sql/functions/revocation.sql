-- Three transactions, of which Vault begins the first and commits the last. The first closes the login, or takes its groups where
-- it holds its own row; the second ends the sessions that hold it.
SELECT leasehold.close('{{name}}');
COMMIT;
BEGIN;
SELECT leasehold.close('{{name}}');
COMMIT;
BEGIN;
-- A function can't bound itself: of what a login has made, handing over fires the event triggers of others.
SET LOCAL statement_timeout = '3s';
SELECT leasehold.drop('{{name}}', :'group');
