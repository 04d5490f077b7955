-- A login that holds its own row must not hold up everybody's leases: Vault renews and leases one after the other.
SET LOCAL lock_timeout = '2s';
ALTER ROLE "{{name}}" VALID UNTIL '{{expiration}}';
