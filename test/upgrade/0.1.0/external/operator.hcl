path "sys/mounts/database" {
  capabilities = ["create", "read", "update", "delete"]
  allowed_parameters = {
    "type" = ["database"]
    "*" = []
  }
}

path "database/config/*" {
  capabilities = ["create", "read", "update", "delete"]
}

path "database/roles/*" {
  capabilities = ["create", "read", "update", "delete"]
}

path "database/static-roles/*" {
  capabilities = ["create", "read", "update", "delete"]
}

path "database/rotate-root/*" {
  capabilities = ["update"]
}

path "sys/leases/revoke-prefix/database/*" {
  capabilities = ["update", "sudo"]
}

path "sys/auth/approle" {
  capabilities = ["create", "update", "delete", "sudo"]
  allowed_parameters = {
    "type" = ["approle"]
    "*" = []
  }
}

path "sys/mounts/auth/approle" {
  capabilities = ["read"]
}

path "sys/mounts/auth/approle/tune" {
  capabilities = ["read"]
}

path "auth/approle/role/+/role-id" {
  capabilities = ["read"]
}

path "auth/approle/role/+" {
  capabilities = ["create", "read", "update", "delete"]
  allowed_parameters = {
    "bind_secret_id" = [true]
    "*" = []
  }
}

path "sys/policies/acl/app-*" {
  capabilities = ["create", "read", "update", "delete"]
}

path "sys/policies/acl/leasehold-external-planner" {
  capabilities = ["create", "read", "update", "delete"]
}

path "sys/policies/acl/leasehold-external-deliverer" {
  capabilities = ["create", "read", "update", "delete"]
}

path "sys/policies/acl/leasehold-external-verifier" {
  capabilities = ["create", "read", "update", "delete"]
}

path "sys/policies/acl/leasehold-external-operator" {
  capabilities = ["read"]
}

path "sys/generate-root-token/attempt" {
  capabilities = ["create", "read", "update", "delete"]
}

path "sys/generate-root-token/update" {
  capabilities = ["create", "update"]
}

path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}
