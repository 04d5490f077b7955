-- Moves the end of a login that open has made and no revocation has closed.
BEGIN
  -- A login that holds its own row must not hold up everybody's leases: Vault renews and leases one after the other.
  PERFORM
    pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),
    pg_catalog.set_config('enable_seqscan', 'off', true),
    pg_catalog.set_config('lock_timeout', '2s', true);
  -- Until the deploy that makes it has taken EXECUTE from others.
  IF SESSION_USER OPERATOR(pg_catalog.<>) :'caller' THEN
    RAISE insufficient_privilege USING MESSAGE = pg_catalog.format('this function of %s is for %I alone', :'mark', :'caller');
  END IF;
  IF (valid_until OPERATOR(pg_catalog.~) '^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}[+-][0-9]{4}$') IS NOT TRUE THEN
    RAISE invalid_parameter_value USING MESSAGE = pg_catalog.format('%L is not a time such as 2026-01-31 23:59:59+0000', valid_until);
  END IF;
  IF (login OPERATOR(pg_catalog.~) :'leased') IS NOT TRUE OR NOT EXISTS (
    SELECT FROM pg_catalog.pg_roles
    WHERE rolname OPERATOR(pg_catalog.=) login AND rolcanlogin
      AND pg_catalog.shobj_description(oid, 'pg_authid') OPERATOR(pg_catalog.=) :'mark'
  ) THEN
    RAISE insufficient_privilege USING MESSAGE = pg_catalog.format('%L is not a login that is leased here', login);
  END IF;
  EXECUTE pg_catalog.format('ALTER ROLE %I VALID UNTIL %L', login, valid_until);
END
