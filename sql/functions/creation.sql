SELECT leasehold.open('{{name}}', :'group', '{{password}}', '{{expiration}}');
