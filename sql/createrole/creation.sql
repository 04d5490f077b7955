-- A login in the persona's group, whose sessions act as :"heir" from their start: what they create is its own, and outlives
-- the login. One statement creates and grants, which halves the cost with many live leases. Its holder can't write the
-- comment, by which a leased login is told from a forged one.
SET LOCAL lock_timeout = '5s';
CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' CONNECTION LIMIT :limit IN ROLE :"group";
ALTER ROLE "{{name}}" SET search_path = :"schema";
ALTER ROLE "{{name}}" SET role = :"heir";
COMMENT ON ROLE "{{name}}" IS :'mark';
