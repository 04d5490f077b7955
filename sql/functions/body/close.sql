-- Closes a leased login, so that nobody logs in with it any more. Called twice, each call in a transaction of its own: where the
-- login holds its own row, the first call takes its groups, and CONNECT with them, and the second ends the sessions that hold it.
DECLARE
  leased pg_catalog.record;
  granted pg_catalog.record;
  deadline CONSTANT pg_catalog.timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) '2 s'::pg_catalog.interval;
BEGIN
  PERFORM
    pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),
    pg_catalog.set_config('enable_seqscan', 'off', true),
    pg_catalog.set_config('lock_timeout', '200ms', true);
  -- Until the deploy that makes it has taken EXECUTE from others.
  IF SESSION_USER OPERATOR(pg_catalog.<>) :'caller' THEN
    RAISE insufficient_privilege USING MESSAGE = pg_catalog.format('this function of %s is for %I alone', :'mark', :'caller');
  END IF;
  SELECT oid, rolcanlogin, pg_catalog.shobj_description(oid, 'pg_authid') AS comment INTO leased
    FROM pg_catalog.pg_roles
    WHERE rolname OPERATOR(pg_catalog.=) login;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  IF (login OPERATOR(pg_catalog.~) :'leased') IS NOT TRUE
    OR (leased.comment OPERATOR(pg_catalog.=) :'mark' OR pg_catalog.starts_with(leased.comment, :'mark' OPERATOR(pg_catalog.||) ':')) IS NOT TRUE
  THEN
    RAISE insufficient_privilege USING MESSAGE = pg_catalog.format('%L is not a login that is leased here', login);
  END IF;
  IF NOT leased.rolcanlogin THEN
    RETURN;
  END IF;
  BEGIN
    EXECUTE pg_catalog.format('ALTER ROLE %I NOLOGIN CONNECTION LIMIT 0', login);
    RETURN;
  EXCEPTION WHEN lock_not_available OR internal_error THEN
    NULL;
  END;
  IF EXISTS (SELECT FROM pg_catalog.pg_auth_members WHERE member OPERATOR(pg_catalog.=) leased.oid) THEN
    FOR attempt IN 1..5 LOOP
      BEGIN
        FOR granted IN
          SELECT pg_catalog.pg_get_userbyid(roleid) AS role, pg_catalog.pg_get_userbyid(grantor) AS grantor
            FROM pg_catalog.pg_auth_members
            WHERE member OPERATOR(pg_catalog.=) leased.oid
        LOOP
          EXECUTE pg_catalog.format('REVOKE %I FROM %I GRANTED BY %I', granted.role, login, granted.grantor);
        END LOOP;
        RETURN;
      EXCEPTION WHEN lock_not_available OR internal_error THEN
        NULL;
      END;
    END LOOP;
  END IF;
  LOOP
    PERFORM pg_catalog.pg_stat_clear_snapshot();
    PERFORM pg_catalog.pg_terminate_backend(pid)
      FROM pg_catalog.pg_stat_activity
      WHERE usesysid OPERATOR(pg_catalog.=) leased.oid;
    BEGIN
      EXECUTE pg_catalog.format('ALTER ROLE %I NOLOGIN CONNECTION LIMIT 0', login);
      RETURN;
    EXCEPTION WHEN lock_not_available OR internal_error THEN
      IF pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) deadline THEN
        RAISE lock_not_available USING
          MESSAGE = pg_catalog.format('the login %I can not be closed: its row is held by a transaction that does not end', login),
          HINT = 'What it has prepared, see pg_prepared_xacts, leasehold deploy ends. Vault tries again.';
      END IF;
    END;
  END LOOP;
END
