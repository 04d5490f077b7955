-- Sets the password of a declared static login.
BEGIN
  -- As a renewal: a static login can hold its own row as well.
  PERFORM
    pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),
    pg_catalog.set_config('enable_seqscan', 'off', true),
    pg_catalog.set_config('lock_timeout', '2s', true);
  -- Until the deploy that makes it has taken EXECUTE from others.
  IF SESSION_USER OPERATOR(pg_catalog.<>) :'caller' THEN
    RAISE insufficient_privilege USING MESSAGE = pg_catalog.format('this function of %s is for %I alone', :'mark', :'caller');
  END IF;
  IF (secret OPERATOR(pg_catalog.~) '.') IS NOT TRUE THEN
    RAISE invalid_parameter_value USING MESSAGE = 'a static login must have a password';
  END IF;
  IF NOT EXISTS (
    SELECT FROM (VALUES :logins) AS known (role)
    JOIN pg_catalog.pg_roles ON rolname OPERATOR(pg_catalog.=) known.role
    -- Whoever sets its password can log in as it.
    WHERE known.role OPERATOR(pg_catalog.=) login AND NOT (rolsuper OR rolcreaterole OR rolreplication OR rolbypassrls)
  ) THEN
    RAISE insufficient_privilege USING MESSAGE = pg_catalog.format('%L is not a static login', login);
  END IF;
  EXECUTE pg_catalog.format('ALTER ROLE %I PASSWORD %L', login, secret);
END
