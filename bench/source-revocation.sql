-- And with which it revokes one: PostgreSQL refuses the second to a login that is no superuser and not in the leased role (42501).
REVOKE ALL PRIVILEGES ON ALL TABLES IN SCHEMA :"schema" FROM "{{name}}";
DROP OWNED BY "{{name}}";
DROP ROLE IF EXISTS "{{name}}";
