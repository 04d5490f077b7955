-- As a member's, and every session acts as the owner from its start: what it creates is the owner's.
SET LOCAL lock_timeout = '5s';
CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' CONNECTION LIMIT :limit IN ROLE :"group";
ALTER ROLE "{{name}}" SET search_path = :"schema";
ALTER ROLE "{{name}}" SET role = :"owner";
COMMENT ON ROLE "{{name}}" IS :'mark';
