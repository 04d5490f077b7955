-- As a member's, and every session acts as the owner from its start: what it creates is the owner's.
CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' IN ROLE :"group";
ALTER ROLE "{{name}}" SET search_path = :"schema";
ALTER ROLE "{{name}}" SET role = :"owner";
