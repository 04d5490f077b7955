-- sql/revocation.sql of 0.1.0 (commit b32b2e3), for bench/ to measure today's beside it, on servers of its own alone: its search path is not pinned.
-- A transaction of its own, committed before the next one begins: from then on no login starts. A client that reconnects in a
-- loop would otherwise get a session between the end of its sessions and the end of the role, and keep what it SET ROLE to.
DO $revocation$
BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{{name}}') THEN
    ALTER ROLE "{{name}}" NOLOGIN;
  END IF;
END
$revocation$;
COMMIT;
BEGIN;
-- One block, so that it holds or fails as one. Vault's login is not a superuser: it joins the leased role first, which lets
-- it end the role's sessions and hand over what the role owns. A role that is gone is fine.
-- Logins that have begun show whose they are only at their end: those get 0.2 s to come through.
DO $revocation$
DECLARE
  starting integer[];
BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{{name}}') THEN
    GRANT "{{name}}" TO CURRENT_USER;
    FOR i IN 0..40 LOOP
      SELECT array_agg(pid) INTO starting FROM pg_catalog.pg_locks AS held
        WHERE locktype = 'virtualxid' AND (i = 0 OR pid = ANY (starting))
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS known WHERE known.pid = held.pid AND datid IS NOT NULL);
      EXIT WHEN starting IS NULL;
      PERFORM pg_catalog.pg_sleep(0.005), pg_catalog.pg_stat_clear_snapshot();
    END LOOP;
    PERFORM pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE usename = '{{name}}';
    REASSIGN OWNED BY "{{name}}" TO :"owner";
    DROP OWNED BY "{{name}}";
    DROP ROLE "{{name}}";
  END IF;
END
$revocation$;
