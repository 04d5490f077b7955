-- Makes a login in one of the declared groups. None of the arguments is run as SQL.
DECLARE
  declared pg_catalog.record;
  is_verifier pg_catalog.bool;
BEGIN
  -- Without sequential scans, since a session keeps its plans: those made while there are few roles cost more with each role.
  PERFORM
    pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),
    pg_catalog.set_config('enable_seqscan', 'off', true),
    pg_catalog.set_config('lock_timeout', '5s', true);
  -- Until the deploy that makes it has taken EXECUTE from others.
  IF SESSION_USER OPERATOR(pg_catalog.<>) :'caller' THEN
    RAISE insufficient_privilege USING MESSAGE = pg_catalog.format('this function of %s is for %I alone', :'mark', :'caller');
  END IF;
  -- PostgreSQL would cut a longer name, and make a login that none of the others finds.
  IF (login OPERATOR(pg_catalog.~) :'leased' AND pg_catalog.octet_length(login) OPERATOR(pg_catalog.<=) 63) IS NOT TRUE THEN
    RAISE invalid_parameter_value USING MESSAGE = pg_catalog.format('%L is not the name of a leased login', login);
  END IF;
  IF (valid_until OPERATOR(pg_catalog.~) '^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}[+-][0-9]{4}$') IS NOT TRUE THEN
    RAISE invalid_parameter_value USING MESSAGE = pg_catalog.format('%L is not a time such as 2026-01-31 23:59:59+0000', valid_until);
  END IF;
  IF (secret OPERATOR(pg_catalog.~) '.') IS NOT TRUE THEN
    RAISE invalid_parameter_value USING MESSAGE = 'a leased login must have a password';
  END IF;
  SELECT * INTO declared
    FROM (VALUES :groups) AS known (role, heir, schema, sessions)
    WHERE known.role OPERATOR(pg_catalog.=) group_role;
  IF NOT FOUND THEN
    RAISE insufficient_privilege USING MESSAGE = pg_catalog.format('%L is not the group role of a persona', group_role);
  END IF;
  is_verifier := secret OPERATOR(pg_catalog.~)
    '^SCRAM-SHA-256[$][0-9]{4,7}:[A-Za-z0-9+/]+=*[$][A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$';
  EXECUTE pg_catalog.format(
    'CREATE ROLE %I LOGIN PASSWORD %L VALID UNTIL %L CONNECTION LIMIT %s IN ROLE %I',
    login, CASE WHEN NOT is_verifier THEN secret END, valid_until, declared.sessions, declared.role
  );
  -- As Vault sends it. CREATE ROLE hashes once more, to see whether it is an empty password's, which takes as long as all the rest.
  IF is_verifier THEN
    UPDATE pg_catalog.pg_authid SET rolpassword = secret WHERE rolname OPERATOR(pg_catalog.=) login;
  END IF;
  -- What ALTER ROLE … SET does, which PostgreSQL rejects for "role" in a function that runs as its owner.
  INSERT INTO pg_catalog.pg_db_role_setting (setdatabase, setrole, setconfig)
    SELECT 0, oid, ARRAY[
        pg_catalog.concat('search_path=', :path),
        pg_catalog.concat('role=', declared.heir)
      ]:settings
      FROM pg_catalog.pg_roles
      WHERE rolname OPERATOR(pg_catalog.=) login;
  EXECUTE pg_catalog.format('COMMENT ON ROLE %I IS %L', login, :'mark');
  -- While a deploy switches how leases are made: one that is stopped on the way has Vault end this login without the functions.
  IF pg_catalog.current_setting('server_version_num')::pg_catalog.int4 OPERATOR(pg_catalog.>=) 160000 AND EXISTS (
    SELECT FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) SESSION_USER AND rolcreaterole
  ) THEN
    EXECUTE pg_catalog.format('GRANT %I TO %I WITH ADMIN TRUE, INHERIT FALSE, SET FALSE', login, SESSION_USER);
  END IF;
END
