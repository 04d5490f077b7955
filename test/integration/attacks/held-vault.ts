/** Whose token is tried. */
export type Holder =
  "operator" | "planner" | "deliverer" | "verifier" | "schema-admin" | "readwrite" | "readonly";

/** A request, sent as it is spelled, and the statuses that count as refused. */
export interface VaultTry {
  readonly who: readonly Holder[];
  readonly method: string;
  readonly path: string;
  readonly body?: object;
  /** Such as X-Vault-Wrap-TTL. */
  readonly headers?: Readonly<Record<string, string>>;
  /** @default - 403 */
  readonly expected?: readonly number[];
}

const TRUSTED = ["operator", "planner", "deliverer", "verifier"] as const;
const PERSONAS = ["schema-admin", "readwrite", "readonly"] as const;
const ALL = [...TRUSTED, ...PERSONAS] as const;
const POLICIES = TRUSTED.map((who) => `leasehold-local-${who}`);
const wrapped = (ttl: string) => ({ headers: { "X-Vault-Wrap-TTL": ttl } });
const all = (
  who: readonly Holder[],
  tries: readonly (readonly [method: string, path: string, body?: object])[],
): VaultTry[] => tries.map(([method, path, body]) => ({ who, method, path, body }));

/** Of a path that is spelled in another way, Vault may also say that there is no such path or name, or where the clean one is. */
const SPELLED = [301, 307, 308, 400, 403, 404, 405];

/** Other ways to write a path, by which a policy could be got around. */
function spellings(path: string): string[] {
  const parts = path.split("/");
  const [last, above] = [parts.at(-1)!, parts.slice(0, -1).join("/")];
  const encoded = (text: string) => `%${text.charCodeAt(0).toString(16)}${text.slice(1)}`;
  return [
    `${path}/`,
    `${path}//`,
    `/${path}`,
    `${above}//${last}`,
    `${above}/./${last}`,
    `${above}/x/../${last}`,
    `${above}/%2e/${last}`,
    `${above}/x/%2e%2e/${last}`,
    `${above}/x%2f..%2f${last}`,
    `${above}%2f${last}`,
    `${above}/${encoded(last)}`,
    encoded(path),
    `${above}/${last.toUpperCase()}`,
    path.toUpperCase(),
    `${path}%00`,
    `${path}%20`,
    `${path}%23`,
    `${path}%3f`,
    `${above}/+`,
    `${above}/*`,
    `${above}/%2a`,
    `${above}/%2b`,
  ];
}
const spelled = (
  who: readonly Holder[],
  method: string,
  path: string,
  body?: object,
  more: object = {},
): VaultTry[] =>
  spellings(path).map((each) => ({ who, method, path: each, body, expected: SPELLED, ...more }));

/** Ways out that no token of ours has, whoever holds it. */
const NOBODY: readonly (readonly [string, string, object?])[] = [
  // Tokens, of each kind.
  ["POST", "auth/token/create", {}],
  ["POST", "auth/token/create", { policies: ["root"] }],
  ["POST", "auth/token/create", { policies: ["leasehold-local-operator"], no_parent: true }],
  ["POST", "auth/token/create", { type: "batch" }],
  ["POST", "auth/token/create", { ttl: "768h", explicit_max_ttl: "0s", period: "768h" }],
  ["POST", "auth/token/create", { id: "root" }],
  ["POST", "auth/token/create", { entity_alias: "root" }],
  ["POST", "auth/token/create-orphan", {}],
  ["POST", "auth/token/create/root", {}],
  ["POST", "auth/token/roles/wide", { allowed_policies: ["root"], orphan: true }],
  ["LIST", "auth/token/roles"],
  ["LIST", "auth/token/accessors"],
  ["POST", "auth/token/lookup", { token: "other" }],
  ["POST", "auth/token/lookup-accessor", { accessor: "other" }],
  ["POST", "auth/token/renew", { token: "other" }],
  ["POST", "auth/token/renew-accessor", { accessor: "other" }],
  ["POST", "auth/token/revoke-accessor", { accessor: "other" }],
  ["POST", "auth/token/revoke-orphan", { token: "other" }],
  ["POST", "auth/token/tidy", {}],
  // What the default policy would give.
  ["POST", "cubbyhole/x", { a: "b" }],
  ["GET", "cubbyhole/x"],
  ["LIST", "cubbyhole/"],
  ["POST", "sys/capabilities-accessor", { accessor: "x", paths: ["sys/seal"] }],
  ["POST", "sys/tools/random/8", {}],
  ["POST", "sys/tools/hash", { input: "YQ==" }],
  ["POST", "sys/wrapping/wrap", { a: "b" }],
  ["GET", "identity/oidc/provider/default/authorize"],
  // Who is who.
  ["POST", "identity/entity", { name: "x", policies: ["root"] }],
  ["POST", "identity/entity-alias", { name: "x", canonical_id: "x", mount_accessor: "x" }],
  ["POST", "identity/group", { name: "x", policies: ["root"] }],
  ["LIST", "identity/entity/id"],
  ["POST", "identity/lookup/entity", { name: "x" }],
  ["POST", "identity/oidc/key/x", {}],
  ["GET", "identity/oidc/token/x"],
  // Vault itself.
  ["GET", "sys/raw/sys/policy/root"],
  ["PUT", "sys/raw/sys/policy/root", { value: "x" }],
  ["LIST", "sys/raw/"],
  ["GET", "sys/storage/raft/snapshot"],
  ["GET", "sys/storage/raft/configuration"],
  ["POST", "sys/storage/raft/remove-peer", { server_id: "x" }],
  ["PUT", "sys/seal", {}],
  ["PUT", "sys/rotate", {}],
  ["POST", "sys/rotate/config", { max_operations: 1_000_000 }],
  ["GET", "sys/key-status"],
  ["LIST", "sys/plugins/catalog"],
  ["GET", "sys/plugins/catalog/database"],
  ["PUT", "sys/plugins/catalog/database/evil", { sha256: "00", command: "sh" }],
  ["DELETE", "sys/plugins/catalog/database/postgresql-database-plugin"],
  ["PUT", "sys/plugins/reload/backend", { plugin: "postgresql-database-plugin" }],
  ["GET", "sys/audit"],
  [
    "PUT",
    "sys/audit/file",
    { type: "file", options: { file_path: "/tmp/leasehold-audit", log_raw: "true" } },
  ],
  ["POST", "sys/audit-hash/file", { input: "x" }],
  ["GET", "sys/config/state/sanitized"],
  ["PUT", "sys/config/cors", { allowed_origins: ["*"] }],
  ["PUT", "sys/config/auditing/request-headers/x", { hmac: false }],
  ["PUT", "sys/config/ui/headers/x", { values: ["x"] }],
  ["GET", "sys/host-info"],
  ["GET", "sys/in-flight-req"],
  ["GET", "sys/pprof/heap"],
  ["GET", "sys/monitor"],
  ["POST", "sys/loggers", { level: "trace" }],
  ["POST", "sys/quotas/rate-limit/x", { rate: 1 }],
  ["PUT", "sys/quotas/config", { enable_rate_limit_audit_logging: true }],
  ["GET", "sys/version-history?list=true"],
  ["GET", "sys/internal/counters/tokens"],
  ["GET", "sys/internal/counters/entities"],
  ["GET", "sys/internal/ui/mounts/secret"],
  ["POST", "sys/mfa/method/totp/x", {}],
  ["POST", "sys/namespaces/x", {}],
  ["LIST", "sys/namespaces"],
  // Other mounts and auth methods.
  ["POST", "sys/mounts/secret", { type: "kv" }],
  ["POST", "sys/mounts/cubbyhole/tune", { max_lease_ttl: "1h" }],
  ["DELETE", "sys/mounts/identity"],
  ["POST", "sys/remount", { from: "database", to: "theirs" }],
  ["POST", "sys/auth/userpass", { type: "userpass" }],
  ["DELETE", "sys/auth/token"],
  ["POST", "sys/auth/token/tune", { max_lease_ttl: "1h" }],
  ["POST", "auth/userpass/users/x", { password: "x", token_policies: ["root"] }],
  // Policies, by both of their paths.
  ...["root", "default", "other"].flatMap((name): [string, string, object][] => [
    ["PUT", `sys/policies/acl/${name}`, { policy: 'path "*" { capabilities = ["sudo"] }' }],
  ]),
  ...POLICIES.flatMap((name): [string, string, object?][] => [
    ["PUT", `sys/policies/acl/${name}`, { policy: 'path "*" { capabilities = ["sudo"] }' }],
    ["PUT", `sys/policy/${name}`, { policy: 'path "*" { capabilities = ["sudo"] }' }],
    ["PUT", `sys/policies/acl/${name.toUpperCase()}`, { policy: 'path "*" { capabilities = ["sudo"] }' }],
    ["DELETE", `sys/policies/acl/${name}`],
  ]),
  ["PUT", "sys/policy/db-readonly-role", { policy: 'path "*" { capabilities = ["sudo"] }' }],
  ["GET", "sys/policy"],
  ["POST", "sys/policies/password/x", { policy: "length = 1" }],
  // Leases of others.
  ["PUT", "sys/leases/revoke-prefix/auth", {}],
  ["PUT", "sys/leases/revoke-prefix/auth/approle/login", {}],
  ["PUT", "sys/leases/revoke-prefix/sys", {}],
  ["PUT", "sys/leases/revoke-force/database", {}],
  ["PUT", "sys/leases/revoke-force/database/creds/readonly_role", {}],
  ["PUT", "sys/revoke-force/database", {}],
  ["PUT", "sys/leases/tidy", {}],
  ["GET", "sys/leases/count"],
  ["LIST", "sys/leases/lookup/auth/approle/login/"],
  // Credentials that are nobody's here.
  ["GET", "database/creds/readonly_role/x"],
  ["GET", "database/static-creds/x"],
  ["GET", "database/creds/"],
  ["LIST", "database/creds"],
  ["POST", "database/reset/postgres-example", {}],
  ["POST", "database/reload/postgresql-database-plugin", {}],
  ["LIST", "auth/approle/role/db-readonly-role/secret-id"],
  ["POST", "auth/approle/role/db-readonly-role/custom-secret-id", { secret_id: "mine" }],
  ["POST", "auth/approle/role/db-readonly-role/secret-id/lookup", { secret_id: "x" }],
  ["POST", "auth/approle/role/db-readonly-role/secret-id-accessor/lookup", { secret_id_accessor: "x" }],
  ["POST", "auth/approle/role/db-readonly-role/secret-id-accessor/destroy", { secret_id_accessor: "x" }],
  ["POST", "auth/approle/tidy/secret-id", {}],
];

const DATABASE_ROLE = { db_name: "postgres-example", creation_statements: ["SELECT 1"] };
const CREDS = ["readonly_role", "readwrite_role", "schema_admin_role", "maker_role"].map(
  (role) => `database/creds/${role}`,
);
const STATIC = ["report", "keeper"].map((role) => `database/static-creds/${role}`);
/** What the operator manages and nobody else writes. */
const MANAGED: readonly (readonly [string, string, object?])[] = [
  ["POST", "database/roles/readonly_role", DATABASE_ROLE],
  ["DELETE", "database/roles/readonly_role"],
  ["POST", "database/roles/other", DATABASE_ROLE],
  [
    "POST",
    "database/static-roles/report",
    { db_name: "postgres-example", username: "vault", rotation_period: "1h" },
  ],
  ["POST", "database/config/postgres-example", { plugin_name: "postgresql-database-plugin" }],
  ["DELETE", "database/config/postgres-example"],
  ["POST", "database/rotate-root/postgres-example", {}],
  ["POST", "auth/approle/role/db-readonly-role", { token_policies: ["root"] }],
  ["POST", "auth/approle/role/db-readonly-role", { bind_secret_id: false }],
  ["POST", "auth/approle/role/db-readonly-role/role-id", { role_id: "mine" }],
  ["POST", "auth/approle/role/db-readonly-role/policies", { token_policies: ["root"] }],
  ["POST", "auth/approle/role/db-readonly-role/token-ttl", { token_ttl: "768h" }],
  ["POST", "auth/approle/role/db-readonly-role/period", { token_period: "768h" }],
  ["DELETE", "auth/approle/role/db-readonly-role"],
  ["PUT", "sys/policies/acl/db-readonly-role", { policy: 'path "*" { capabilities = ["sudo"] }' }],
  ["DELETE", "sys/policies/acl/db-readonly-role"],
  ["DELETE", "sys/mounts/database"],
  ["POST", "sys/mounts/database/tune", { max_lease_ttl: "768h" }],
  ["DELETE", "sys/auth/approle"],
  ["PUT", "sys/leases/revoke-prefix/database", {}],
  ["PUT", "sys/leases/revoke-prefix/database/creds/readonly_role", {}],
];
const SECRET_ID = "auth/approle/role/db-readonly-role/secret-id";
const MYSQL = {
  plugin_name: "mysql-database-plugin",
  connection_url: "x:y@tcp(127.0.0.1:1)/?allowAllFiles=true",
};
const ELSEWHERE = {
  connection_url: "postgresql://{{username}}:{{password}}@127.0.0.1:1/nanvc?sslmode=disable",
};
const PASSFILE = {
  plugin_name: "postgresql-database-plugin",
  connection_url: "postgresql://vault@127.0.0.1:1/nanvc?passfile=/etc/hostname",
};
const config = (name: string, body: object) => ["POST", `database/config/${name}`, body] as const;

export const VAULT: readonly VaultTry[] = [
  ...all(ALL, NOBODY),
  // The operator sweeps what no lease stands for.
  ...all(
    ["planner", "deliverer", "verifier", ...PERSONAS],
    [["LIST", "sys/leases/lookup/database/creds/readonly_role/"]],
  ),

  // The operator: no credential, no plugin or server but those that are declared, no policy of the trust table's.
  ...all(
    ["operator"],
    [
      ...[...CREDS, ...STATIC, "database/creds/verify-owner", "database/creds/verify-short"].map(
        (path) => ["GET", path] as const,
      ),
      ["POST", SECRET_ID, {}],
      ["PUT", SECRET_ID, {}],
      config("postgres-example", MYSQL),
      config("postgres-example", { ...MYSQL, verify_connection: false }),
      config("postgres-example", { PLUGIN_NAME: "mysql-database-plugin" }),
      config("postgres-example", { plugin_name: "custom" }),
      config("postgres-example", { plugin_name: "postgresql-database-plugin", ...ELSEWHERE }),
      config("postgres-example", ELSEWHERE),
      config("postgres-example", PASSFILE),
      config("other", MYSQL),
      config("other", PASSFILE),
      config("other", { plugin_name: "postgresql-database-plugin", ...ELSEWHERE, verify_connection: false }),
      config("postgres-example-2", { plugin_name: "postgresql-database-plugin", ...ELSEWHERE }),
      ["POST", "auth/approle/role/db-intruder", { bind_secret_id: false }],
      ["POST", "auth/approle/role/db-intruder", { token_policies: ["leasehold-local-verifier"] }],
      ["POST", "auth/approle/role/db-intruder", { token_policies: ["db-readonly-role", "root"] }],
      ["POST", "auth/approle/role/db-intruder", { policies: ["leasehold-local-operator"] }],
      [
        "POST",
        "auth/approle/role/db-readonly-role/policies",
        { token_policies: ["leasehold-local-verifier"] },
      ],
      ["POST", "auth/approle/role/db-readonly-role/bind-secret-id", { bind_secret_id: false }],
      ["POST", "auth/approle/role/intruder", { bind_secret_id: true }],
      ["POST", "sys/auth/approle", { type: "userpass" }],
      ["POST", "sys/mounts/database", { type: "kv" }],
      ["POST", "sys/mounts/database", { type: "pki" }],
      ["GET", "sys/policies/acl/root"],
      ["GET", "sys/policies/acl/default"],
      ["POST", "sys/capabilities", { token: "other", paths: ["sys/seal"] }],
    ],
  ),
  ...["5s", "60s", "1h", "0"].map((ttl): VaultTry => ({
    who: ["operator", "planner", ...PERSONAS],
    method: "POST",
    path: SECRET_ID,
    body: {},
    ...wrapped(ttl),
  })),
  ...spelled(["operator"], "PUT", "sys/policies/acl/leasehold-local-verifier", {
    policy: 'path "*" { capabilities = ["sudo"] }',
  }),
  ...spelled(["operator"], "POST", "database/config/other", MYSQL),
  ...spelled(["operator"], "GET", "database/creds/readonly_role"),

  // The planner reads, and writes nothing.
  ...all(["planner", "deliverer", "verifier", ...PERSONAS], MANAGED),
  ...all(
    ["planner", "deliverer"],
    [
      ...[...CREDS, ...STATIC, "database/creds/verify-owner"].map((path) => ["GET", path] as const),
      ["POST", "sys/leases/revoke", { lease_id: "x" }],
      ["POST", "sys/leases/renew", { lease_id: "x" }],
      ["POST", "sys/leases/lookup", { lease_id: "x" }],
      ["POST", "auth/token/revoke", { token: "other" }],
      ["POST", "sys/capabilities", { token: "other", paths: ["sys/seal"] }],
      ["POST", "database/rotate-role/report", {}],
    ],
  ),
  ...all(
    ["planner"],
    [
      ["POST", SECRET_ID, {}],
      ["GET", "sys/generate-root-token/attempt"],
    ],
  ),

  // The deliverer: wrapped secret ids within bounds, and neither a role id nor an opened one.
  ...all(
    ["deliverer"],
    [
      ["POST", SECRET_ID, {}],
      ["GET", "auth/approle/role/db-readonly-role/role-id"],
      ["GET", "auth/approle/role/db-admin-schema-role/role-id"],
      ["GET", "auth/approle/role/db-readonly-role"],
      ["LIST", "auth/approle/role"],
      ["GET", "database/roles/readonly_role"],
      ["GET", "database/config/postgres-example"],
      ["GET", "sys/policies/acl/db-readonly-role"],
      ["GET", "sys/mounts"],
      ["GET", "sys/auth"],
    ],
  ),
  ...["0", "1s", "4s", "301s", "1h", "768h"].map((ttl): VaultTry => ({
    who: ["deliverer", "verifier"],
    method: "POST",
    path: SECRET_ID,
    body: {},
    ...wrapped(ttl),
  })),
  ...spelled(["deliverer"], "GET", "auth/approle/role/db-readonly-role/role-id"),
  ...spelled(["operator", "deliverer", "verifier"], "POST", SECRET_ID, {}),

  // The verifier leases probe roles and no persona's.
  ...all(
    ["verifier"],
    [
      ...[...CREDS, ...STATIC].map((path) => ["GET", path] as const),
      ["POST", SECRET_ID, {}],
      ["POST", "sys/leases/lookup", { lease_id: "x" }],
      ["PUT", "sys/leases/revoke-prefix/database/creds", {}],
      ["LIST", "sys/leases/lookup/database/creds/"],
      ["GET", "database/config/postgres-example"],
      ["GET", "database/roles/readonly_role"],
      ["LIST", "database/roles"],
      ["GET", "auth/approle/role/db-readonly-role"],
      ["GET", "sys/policies/acl/leasehold-local-verifier"],
      ["GET", "sys/policies/acl/leasehold-local-operator"],
      ["LIST", "sys/policies/acl"],
    ],
  ),
  ...spelled(["verifier"], "PUT", "sys/leases/revoke-prefix/database/creds", {}),
  ...spelled(["verifier"], "GET", "database/creds/schema_admin_role"),
  ...spelled(["verifier"], "PUT", "sys/leases/revoke-prefix/database/creds/readonly_role", {}),

  // A persona: its own login.
  ...all(PERSONAS, [
    ...["database/creds/maker_role", "database/creds/verify-owner", "database/creds/verify-short"].map(
      (path) => ["GET", path] as const,
    ),
    ["GET", "database/roles/readonly_role"],
    ["LIST", "database/roles"],
    ["GET", "database/config/postgres-example"],
    ["LIST", "database/config"],
    ["GET", "auth/approle/role/db-readonly-role"],
    ["GET", "auth/approle/role/db-readonly-role/role-id"],
    ["POST", SECRET_ID, {}],
    ["GET", "sys/mounts"],
    ["GET", "sys/auth"],
    ["GET", "sys/policies/acl/db-readonly-role"],
    ["POST", "sys/leases/lookup", { lease_id: "x" }],
    ["POST", "sys/capabilities", { token: "other", paths: ["sys/seal"] }],
    ["POST", "auth/token/revoke", { token: "other" }],
    ["POST", "database/rotate-role/report", {}],
    ["POST", "database/rotate-role/keeper", {}],
  ]),
  ...all(
    ["readonly"],
    [
      ["GET", CREDS[1]!],
      ["GET", CREDS[2]!],
      ["GET", STATIC[1]!],
    ],
  ),
  ...all(
    ["readwrite"],
    [
      ["GET", CREDS[0]!],
      ["GET", CREDS[2]!],
      ["GET", STATIC[0]!],
      ["GET", STATIC[1]!],
    ],
  ),
  ...all(
    ["schema-admin"],
    [
      ["GET", CREDS[0]!],
      ["GET", CREDS[1]!],
      ["GET", STATIC[0]!],
    ],
  ),
  ...spelled(["readonly"], "GET", "database/creds/schema_admin_role"),
  ...spelled(["readwrite"], "GET", "database/creds/readonly_role/../schema_admin_role"),
  ...spelled(["readonly"], "GET", "database/static-creds/keeper"),

  // A namespace that is asked for by its header is none of theirs.
  ...["x", "root/x", "../", "/"].map((namespace): VaultTry => ({
    who: ALL,
    method: "GET",
    path: "database/creds/schema_admin_role/x",
    headers: { "X-Vault-Namespace": namespace },
    expected: [400, 403, 404],
  })),
];
