SELECT leasehold.renew('{{name}}', '{{expiration}}');
