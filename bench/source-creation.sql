-- The three statements with which the first source (nanvc's database example) leases a login.
CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';
GRANT :"group" TO "{{name}}";
ALTER ROLE "{{name}}" SET search_path = :"schema";
