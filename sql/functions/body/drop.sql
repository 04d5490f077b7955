-- Ends the sessions of a closed login, hands over what it made to its group's heir, and drops it. What stands in the way for 1 s is
-- left where it is: the role stays, closed, in no group, and its comment says that it was revoked, so that verify finds it and
-- deploy drops it; so does one with so much to hand over that it takes longer than the caller's statement_timeout.
DECLARE
  leased pg_catalog.record;
  heir pg_catalog.text;
  starting pg_catalog.int4[];
  entries pg_catalog.int8;
  other pg_catalog.record;
  deadline CONSTANT pg_catalog.timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) '1 s'::pg_catalog.interval;
  reason pg_catalog.text;
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
  IF leased.rolcanlogin THEN
    RAISE object_not_in_prerequisite_state USING MESSAGE = pg_catalog.format('the login %I is not closed', login);
  END IF;
  SELECT known.heir INTO heir
    FROM (VALUES :groups) AS known (role, heir, schema, sessions)
    WHERE known.role OPERATOR(pg_catalog.=) group_role;
  IF NOT FOUND THEN
    RAISE insufficient_privilege USING MESSAGE = pg_catalog.format('%L is not the group role of a persona', group_role);
  END IF;
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
  -- Until its sessions have ended: what they SET ROLE to they keep as long as they last.
  FOR i IN 0..100 LOOP
    PERFORM pg_catalog.pg_terminate_backend(pid)
      FROM pg_catalog.pg_stat_activity
      WHERE usesysid OPERATOR(pg_catalog.=) leased.oid;
    EXIT WHEN NOT FOUND;
    PERFORM pg_catalog.pg_sleep(0.005), pg_catalog.pg_stat_clear_snapshot();
  END LOOP;
  -- What it owns and what is granted to it, in every database.
  SELECT pg_catalog.count(*) INTO entries FROM (
    SELECT FROM pg_catalog.pg_shdepend
    WHERE refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_authid'::pg_catalog.regclass
      AND refobjid OPERATOR(pg_catalog.=) leased.oid
    LIMIT 1001
  ) AS named;
  IF entries OPERATOR(pg_catalog.>) 1000 THEN
    -- So much to hand over that others would wait for it: program_limit_exceeded.
    reason := '54000';
  ELSIF EXISTS (
    SELECT FROM pg_catalog.pg_prepared_xacts AS prepared
    WHERE owner OPERATOR(pg_catalog.=) login
      OR EXISTS (
        SELECT FROM pg_catalog.pg_authid
        WHERE oid OPERATOR(pg_catalog.=) leased.oid AND pg_authid.xmax OPERATOR(pg_catalog.=) prepared.transaction
      )
      OR EXISTS (
        SELECT FROM pg_catalog.pg_locks
        WHERE pid IS NULL
          AND classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_authid'::pg_catalog.regclass
          AND objid OPERATOR(pg_catalog.=) leased.oid
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
            AND refobjid OPERATOR(pg_catalog.=) leased.oid
            AND (
              dbid OPERATOR(pg_catalog.=) 0
              OR dbid OPERATOR(pg_catalog.=) (
                SELECT oid FROM pg_catalog.pg_database
                WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
              )
            )
        ) THEN
          EXECUTE pg_catalog.format('REASSIGN OWNED BY %I TO %I', login, heir);
          EXECUTE pg_catalog.format('DROP OWNED BY %I', login);
        END IF;
        EXECUTE pg_catalog.format('DROP ROLE %I', login);
        RETURN;
      EXCEPTION
        WHEN lock_not_available OR internal_error OR deadlock_detected THEN
          reason := SQLSTATE;
          -- Another leased login that holds a lock on this one, in a transaction that it leaves open.
          PERFORM pg_catalog.pg_terminate_backend(pid)
            FROM pg_catalog.pg_stat_activity
            WHERE pg_catalog.starts_with(pg_catalog.shobj_description(usesysid, 'pg_authid'), 'leasehold ')
              AND EXISTS (
                SELECT FROM pg_catalog.pg_locks
                WHERE pg_locks.pid OPERATOR(pg_catalog.=) pg_stat_activity.pid
                  AND classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_authid'::pg_catalog.regclass
                  AND objid OPERATOR(pg_catalog.=) leased.oid
              );
          PERFORM pg_catalog.pg_stat_clear_snapshot();
        WHEN OTHERS OR query_canceled THEN
          reason := SQLSTATE;
          EXIT;
      END;
      EXIT WHEN pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) deadline;
    END LOOP;
  END IF;
  FOR other IN
    SELECT pg_catalog.pg_get_userbyid(roleid) AS role, pg_catalog.pg_get_userbyid(grantor) AS grantor
      FROM pg_catalog.pg_auth_members
      WHERE member OPERATOR(pg_catalog.=) leased.oid
  LOOP
    EXECUTE pg_catalog.format('REVOKE %I FROM %I GRANTED BY %I', other.role, login, other.grantor);
  END LOOP;
  BEGIN
    EXECUTE pg_catalog.format('ALTER ROLE %I PASSWORD NULL', login);
  EXCEPTION WHEN lock_not_available OR internal_error THEN
    -- A prepared transaction holds the row, and nobody logs in with it anyhow.
    NULL;
  END;
  EXECUTE pg_catalog.format(
    'COMMENT ON ROLE %I IS %L',
    login, pg_catalog.format('%s: revoked, not dropped (%s); heir %s', :'mark', reason, heir)
  );
END
