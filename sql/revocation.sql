-- One block, so that Vault sends it whole and it holds or fails as one. Vault's login is not a superuser: it joins the
-- leased role first, which lets it end the role's sessions and hand over what the role owns. A role that is gone is fine.
DO $revocation$
BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{{name}}') THEN
    GRANT "{{name}}" TO CURRENT_USER;
    PERFORM pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE usename = '{{name}}';
    REASSIGN OWNED BY "{{name}}" TO :"owner";
    DROP OWNED BY "{{name}}";
    DROP ROLE "{{name}}";
  END IF;
END
$revocation$;
