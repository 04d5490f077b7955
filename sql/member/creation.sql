-- A login in the persona's group. One statement creates and grants, which halves the cost with many live leases.
CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' IN ROLE :"group";
ALTER ROLE "{{name}}" SET search_path = :"schema";
