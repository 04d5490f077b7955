SELECT leasehold.set_password('{{name}}', '{{password}}');
