-- Three transactions, of which Vault begins the first and commits the last. In each the search path is pinned, every name and
-- operator is qualified, and no lock is waited for longer than 0.2 s: what a leased login holds open holds up nobody.
--
-- 1. The login is closed and that is committed, so that no client which reconnects gets a session between the end of its
-- sessions and the end of the role. Where the login holds its own row, its group goes first, and CONNECT with it.
DO $revocation$
BEGIN
  PERFORM
    pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),
    pg_catalog.set_config('lock_timeout', '200ms', true);
  IF pg_catalog.to_regrole('"{{name}}"') IS NOT NULL THEN
    BEGIN
      ALTER ROLE "{{name}}" NOLOGIN CONNECTION LIMIT 0;
    EXCEPTION WHEN lock_not_available OR internal_error THEN
      FOR attempt IN 1..5 LOOP
        BEGIN
          REVOKE :"group" FROM "{{name}}";
          EXIT;
        EXCEPTION WHEN lock_not_available OR internal_error THEN
          NULL;
        END;
      END LOOP;
    END;
  END IF;
END
$revocation$;
COMMIT;
BEGIN;
-- 2. A login that holds its own row loses its sessions until it lets go, for 2 s. To end them Vault's login, which is no
-- superuser, joins the leased role.
DO $revocation$
DECLARE
  deadline CONSTANT pg_catalog.timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) '2 s'::pg_catalog.interval;
BEGIN
  PERFORM
    pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),
    pg_catalog.set_config('lock_timeout', '200ms', true);
  IF EXISTS (
    SELECT FROM pg_catalog.pg_roles
    WHERE rolname OPERATOR(pg_catalog.=) '{{name}}' AND rolcanlogin
  ) THEN
    GRANT "{{name}}" TO CURRENT_USER;
    LOOP
      PERFORM pg_catalog.pg_stat_clear_snapshot();
      PERFORM pg_catalog.pg_terminate_backend(pid)
        FROM pg_catalog.pg_stat_activity
        WHERE usename OPERATOR(pg_catalog.=) '{{name}}';
      BEGIN
        ALTER ROLE "{{name}}" NOLOGIN CONNECTION LIMIT 0;
        EXIT;
      EXCEPTION WHEN lock_not_available OR internal_error THEN
        IF pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) deadline THEN
          RAISE lock_not_available USING
            MESSAGE = 'the login {{name}} can not be closed: its row is held by a transaction that does not end',
            HINT = 'What it has prepared, see pg_prepared_xacts, leasehold deploy ends. Vault tries again.';
        END IF;
      END;
    END LOOP;
  END IF;
END
$revocation$;
COMMIT;
BEGIN;
-- 3. Its sessions end, what it made goes to :"heir", and the role goes. What stands in the way for 1 s is left where it is: the
-- role stays, closed, in no group, and its comment says that it was revoked, so that verify finds it and deploy drops it; so does
-- one with so much to hand over, such as each column's privileges of many tables, that it takes longer than 3 s.
SET LOCAL statement_timeout = '3s';
DO $revocation$
DECLARE
  leased pg_catalog.oid;
  starting pg_catalog.int4[];
  sessions pg_catalog.bool;
  entries pg_catalog.int8;
  other pg_catalog.record;
  deadline CONSTANT pg_catalog.timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) '1 s'::pg_catalog.interval;
  reason pg_catalog.text;
BEGIN
  PERFORM
    pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),
    pg_catalog.set_config('lock_timeout', '200ms', true);
  leased := pg_catalog.to_regrole('"{{name}}"');
  IF leased IS NOT NULL THEN
    -- Logins that have begun show whose they are only at their end: those get 0.2 s to come through.
    FOR i IN 0..40 LOOP
      SELECT pg_catalog.array_agg(pid) INTO starting
        FROM pg_catalog.pg_locks AS held
        WHERE locktype OPERATOR(pg_catalog.=) 'virtualxid'
          AND (i OPERATOR(pg_catalog.=) 0 OR pid OPERATOR(pg_catalog.=) ANY (starting))
          AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_stat_activity AS known
            WHERE known.pid OPERATOR(pg_catalog.=) held.pid AND datid IS NOT NULL
          );
      EXIT WHEN starting IS NULL;
      PERFORM pg_catalog.pg_sleep(0.005), pg_catalog.pg_stat_clear_snapshot();
    END LOOP;
    sessions := EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE usesysid OPERATOR(pg_catalog.=) leased);
    -- What it owns and what is granted to it, in every database.
    SELECT pg_catalog.count(*) INTO entries FROM (
      SELECT FROM pg_catalog.pg_shdepend
      WHERE refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_authid'::pg_catalog.regclass
        AND refobjid OPERATOR(pg_catalog.=) leased
      LIMIT 1001
    ) AS named;
    -- Ending its sessions and handing over take a membership, and a login without either costs none.
    IF sessions OR entries OPERATOR(pg_catalog.>) 0 THEN
      GRANT "{{name}}" TO CURRENT_USER;
    END IF;
    IF sessions THEN
      PERFORM pg_catalog.pg_terminate_backend(pid)
        FROM pg_catalog.pg_stat_activity
        WHERE usesysid OPERATOR(pg_catalog.=) leased;
      -- Until they have ended: what they SET ROLE to they keep as long as they last.
      FOR i IN 1..100 LOOP
        PERFORM pg_catalog.pg_sleep(0.005), pg_catalog.pg_stat_clear_snapshot();
        EXIT WHEN NOT EXISTS (
          SELECT FROM pg_catalog.pg_stat_activity WHERE usesysid OPERATOR(pg_catalog.=) leased
        );
      END LOOP;
    END IF;
    IF entries OPERATOR(pg_catalog.>) 1000 THEN
      -- So much to hand over that others would wait for it: program_limit_exceeded.
      reason := '54000';
    ELSIF EXISTS (
      SELECT FROM pg_catalog.pg_prepared_xacts
      WHERE owner OPERATOR(pg_catalog.=) '{{name}}'
        OR EXISTS (
          SELECT FROM pg_catalog.pg_locks
          WHERE pid IS NULL
            AND classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_authid'::pg_catalog.regclass
            AND objid OPERATOR(pg_catalog.=) leased
        )
    ) THEN
      -- It keeps its locks and has no session to end: its own, as whose nobody finds it once the role is gone, or one that its
      -- group owns and that holds the role. object_in_use.
      reason := '55006';
    ELSE
      LOOP
        BEGIN
          -- Both fire event triggers, which DROP ROLE does not.
          IF entries OPERATOR(pg_catalog.>) 0 AND EXISTS (
            SELECT FROM pg_catalog.pg_shdepend
            WHERE refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_authid'::pg_catalog.regclass
              AND refobjid OPERATOR(pg_catalog.=) leased
              AND (
                dbid OPERATOR(pg_catalog.=) 0
                OR dbid OPERATOR(pg_catalog.=) (
                  SELECT oid FROM pg_catalog.pg_database
                  WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
                )
              )
          ) THEN
            REASSIGN OWNED BY "{{name}}" TO :"heir";
            DROP OWNED BY "{{name}}";
          END IF;
          DROP ROLE "{{name}}";
          reason := NULL;
          EXIT;
        EXCEPTION
          WHEN lock_not_available OR internal_error OR deadlock_detected THEN
            reason := SQLSTATE;
            -- Another leased login that holds a lock on this one, in a transaction that it leaves open.
            FOR other IN
              SELECT pid, usename
                FROM pg_catalog.pg_stat_activity
                WHERE pg_catalog.starts_with(pg_catalog.shobj_description(usesysid, 'pg_authid'), 'leasehold ')
                  AND EXISTS (
                    SELECT FROM pg_catalog.pg_locks
                    WHERE pg_locks.pid OPERATOR(pg_catalog.=) pg_stat_activity.pid
                      AND classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_authid'::pg_catalog.regclass
                      AND objid OPERATOR(pg_catalog.=) leased
                  )
            LOOP
              BEGIN
                EXECUTE pg_catalog.format('GRANT %I TO CURRENT_USER', other.usename);
                PERFORM pg_catalog.pg_terminate_backend(other.pid);
              EXCEPTION WHEN OTHERS THEN
                NULL;
              END;
            END LOOP;
            PERFORM pg_catalog.pg_stat_clear_snapshot();
          WHEN OTHERS OR query_canceled THEN
            reason := SQLSTATE;
            EXIT;
        END;
        EXIT WHEN pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) deadline;
      END LOOP;
    END IF;
    IF reason IS NOT NULL THEN
      FOR other IN
        SELECT pg_catalog.pg_get_userbyid(roleid) AS role
          FROM pg_catalog.pg_auth_members
          WHERE member OPERATOR(pg_catalog.=) leased
      LOOP
        EXECUTE pg_catalog.format('REVOKE %I FROM "{{name}}"', other.role);
      END LOOP;
      BEGIN
        ALTER ROLE "{{name}}" PASSWORD NULL;
      EXCEPTION WHEN lock_not_available OR internal_error THEN
        -- A prepared transaction holds the row, and nobody logs in with it anyhow.
        NULL;
      END;
      EXECUTE pg_catalog.format(
        'COMMENT ON ROLE "{{name}}" IS %L',
        pg_catalog.format('%s: revoked, not dropped (%s); heir %s', :'mark', reason, :'heir')
      );
    END IF;
  END IF;
END
$revocation$;
