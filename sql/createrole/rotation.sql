-- As a renewal: a static login can hold its own row as well.
SET LOCAL lock_timeout = '2s';
ALTER ROLE "{{name}}" PASSWORD '{{password}}';
