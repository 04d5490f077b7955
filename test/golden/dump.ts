import { Client } from "pg";
import { VaultClient } from "../../clients/vault-client";

/**
 * What differs between two deployments of the same configuration, or between two servers' versions, and is left out.
 * Everything else is compared.
 */
export const VOLATILE = {
  postgres: {
    // Identities and hashes; the log-in's password is proven by using it.
    pg_roles: ["oid", "rolpassword"],
  },
  vault: [
    // Identities of one mount.
    "accessor",
    "uuid",
    // The server's version, and what only one product answers.
    "running_plugin_version",
    "running_sha256",
    "plugin_version",
    "deprecation_status",
    "external_entropy_access",
    "skip_static_role_import_rotation",
    "skip_import_rotation",
    "verify_connection",
    "token_strictly_bind_ip",
    "allow_slashes_in_identity_templates",
    "allow_wildcards_in_identity_templates",
    "cas_required",
    "rotation_schedule",
    "rotation_window",
    "disable_automated_rotation",
    "rotation_policy",
    "alias_metadata",
    // When a policy was written, and how often.
    "modified",
    "version",
    // The moment of a static role's first password, and the CA of the run's own servers.
    "last_vault_rotation",
    "tls_ca",
  ],
} as const;

/** Every query names what it shows; each of its rows is one object of the dump. */
const POSTGRES_QUERIES: Readonly<Record<string, string>> = {
  // As text, since JSON has no infinity.
  pg_roles: "SELECT r.*, rolvaliduntil::text FROM pg_roles r",
  pg_auth_members: `
    SELECT to_jsonb(m) - ARRAY['oid', 'roleid', 'member', 'grantor'] AS options, roleid::regrole::text AS role,
           member::regrole::text AS member, grantor::regrole::text AS grantor
    FROM pg_auth_members m`,
  pg_db_role_setting: `
    SELECT coalesce(datname, '') AS database, setrole::regrole::text AS role, setconfig
    FROM pg_db_role_setting LEFT JOIN pg_database d ON d.oid = setdatabase`,
  databases: "SELECT datname, datdba::regrole::text AS owner, datacl::text[] AS acl FROM pg_database",
  schemas: `
    SELECT nspname, nspowner::regrole::text AS owner, nspacl::text[] AS acl FROM pg_namespace
    WHERE nspname NOT IN ('pg_toast')`,
  relations: `
    SELECT relnamespace::regnamespace::text AS schema, relname, relkind, relowner::regrole::text AS owner,
           relacl::text[] AS acl
    FROM pg_class WHERE relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema', 'pg_toast')`,
  columns: `
    SELECT attrelid::regclass::text AS relation, attname, attacl::text[] AS acl FROM pg_attribute
    WHERE attacl IS NOT NULL AND attrelid >= 16384`,
  functions: `
    SELECT pronamespace::regnamespace::text AS schema, oid::regprocedure::text AS function, proowner::regrole::text AS owner,
           proacl::text[] AS acl, prosecdef, proconfig, prosrc
    FROM pg_proc WHERE pronamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')`,
  types:
    "SELECT oid::regtype::text AS type, typowner::regrole::text AS owner, typacl::text[] AS acl FROM pg_type WHERE oid >= 16384",
  languages: "SELECT lanname, lanowner::regrole::text AS owner, lanacl::text[] AS acl FROM pg_language",
  tablespaces: "SELECT spcname, spcowner::regrole::text AS owner, spcacl::text[] AS acl FROM pg_tablespace",
  parameters: "SELECT parname, paracl::text[] AS acl FROM pg_parameter_acl",
  foreign_data_wrappers: "SELECT fdwname, fdwacl::text[] AS acl FROM pg_foreign_data_wrapper",
  pg_default_acl: `
    SELECT defaclrole::regrole::text AS owner, CASE WHEN defaclnamespace = 0 THEN '' ELSE defaclnamespace::regnamespace::text END AS schema,
           defaclobjtype AS type, defaclacl::text[] AS acl
    FROM pg_default_acl`,
  extensions: "SELECT extname, extowner::regrole::text AS owner FROM pg_extension",
};

type Row = Record<string, unknown>;

/** The whole of what a deployment changed in one database and on its server, in a stable order. */
export async function dumpPostgres(client: Client): Promise<Record<string, Row[]>> {
  const dump: Record<string, Row[]> = {};
  for (const [name, query] of Object.entries(POSTGRES_QUERIES)) {
    const { rows } = await client.query<Row>(query);
    const left: readonly string[] = name === "pg_roles" ? VOLATILE.postgres.pg_roles : [];
    dump[name] = rows
      .map((row) => Object.fromEntries(Object.entries(row).filter(([key]) => !left.includes(key))))
      .map((row) => (Array.isArray(row["acl"]) ? { ...row, acl: [...(row["acl"] as string[])].sort() } : row))
      .map(withNumberedIds)
      .sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  }
  return dump;
}

/** pg_toast and temporary schemas carry numbers of the session that made them. */
function withNumberedIds(row: Row): Row {
  return Object.fromEntries(
    Object.entries(row).map(([key, value]) => [
      key,
      typeof value === "string" ? value.replace(/pg_(toast_)?temp_\d+/g, "pg_$1temp_N") : value,
    ]),
  );
}

/** Vault's answers for every mount, connection, role, AppRole and policy. Wants a root token, to see the whole. */
export async function dumpVault(vault: VaultClient): Promise<Record<string, unknown>> {
  const dump: Record<string, unknown> = {};
  const read = async (path: string) => {
    dump[path] = stable((await vault.call("GET", path)).data);
  };
  const list = async (path: string): Promise<string[]> => {
    const { status, body } = await vault.request("LIST", path);
    return status === 404 ? [] : [...((body.data?.["keys"] ?? []) as string[])].sort();
  };
  const paths = (mounts: object, type: string) =>
    Object.entries(mounts)
      .filter(([, mount]) => (mount as { type: string }).type === type)
      .map(([path]) => path.slice(0, -1));

  const mounts = (await vault.call("GET", "sys/mounts")).data!;
  const auths = (await vault.call("GET", "sys/auth")).data!;
  dump["sys/mounts"] = stable(mounts);
  dump["sys/auth"] = stable(auths);
  for (const mount of paths(mounts, "database")) {
    for (const kind of ["config", "roles", "static-roles"]) {
      for (const name of await list(`${mount}/${kind}`)) await read(`${mount}/${kind}/${name}`);
    }
  }
  for (const mount of paths(auths, "approle")) {
    for (const name of await list(`auth/${mount}/role`)) await read(`auth/${mount}/role/${name}`);
  }
  for (const name of await list("sys/policies/acl")) {
    // Of these the server says what they are.
    if (name !== "root" && name !== "default") await read(`sys/policies/acl/${name}`);
  }
  return dump;
}

function stable(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(stable);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !(VOLATILE.vault as readonly string[]).includes(key))
      // Of a connection, which HashiCorp's Vault alone answers; a static role's is seconds.
      .filter(([key, item]) => key !== "rotation_period" || item !== 0)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [
        key,
        // The operator's policy pins a connection's URL.
        key === "connection_url" || key === "policy"
          ? withoutPlace(String(item))
          : // A set, which the provider sends in whatever order.
            key === "token_policies"
            ? [...(item as string[])].sort()
            : stable(item),
      ]),
  );
}

/** A connection URL, or a policy that pins one, without where PostgreSQL listens, and the run's own CA. */
function withoutPlace(url: string): string {
  return url
    .replace(/@[^/]+\//g, "@HOST:PORT/")
    .replace(/(sslrootcert=)[^&"]+/g, "$1FILE")
    .replace(/("tls_ca" = \[")[^"]+/g, "$1PEM");
}
