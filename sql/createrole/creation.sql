-- A login in the persona's group, whose sessions act as :"heir" from their start: what they create is its own, and outlives
-- the login. The group comes last: each check of ADMIN walks all leased roles, on lists that a grant has PostgreSQL build anew.
-- The login's holder can't write the comment, by which a leased login is told from a forged one.
SET LOCAL lock_timeout = '5s';
CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' CONNECTION LIMIT :limit;
ALTER ROLE "{{name}}" SET search_path = :"schemas";
ALTER ROLE "{{name}}" SET role = :"heir";
COMMENT ON ROLE "{{name}}" IS :'mark';
GRANT :"group" TO "{{name}}";
