import { Privileges } from "../../constructs/postgres/privileges";
import type { EnvironmentInput } from "../../config/schema/schema";

/** As long as it may be: words that mean something elsewhere, then capitals, dashes and underscores. */
const long = (words: string, bytes: number) => words.padEnd(bytes - 1, "-_X").concat("_");
const longLower = (words: string, bytes: number) => long(words, bytes).toLowerCase();

const prefix = "root-default-";
const reader = longLower("reader", 128);

const lifetimes = {
  lease: { defaultTtl: "3600s", maxTtl: "1d" },
  token: { ttl: "60m", maxTtl: "24h", boundCidrs: ["127.0.0.1/8", "127.0.0.1/32", "::1/128"] },
  secretId: { ttl: "1d", uses: 100, boundCidrs: ["127.0.0.1/8", "127.0.0.1/32", "::1/128"] },
};

/** In each field that takes a text the worst that the schema lets through: keywords, lengths, what Vault and Terraform read. */
const hostileNames: EnvironmentInput = {
  name: "hostile-names",
  servers: [
    {
      name: "constructor",
      superuser: long("Superuser", 63),
      database: "all",
      container: { image: "registry.example:5000/a/b-c_d.e:V1._-", hostPort: 35_439 },
    },
    {
      name: "select".padEnd(32, "0"),
      superuser: "session_user",
      database: long("__proto__", 63),
      container: { image: "registry.example:5000/a/b-c_d.e:V1._-", hostPort: 35_440 },
    },
  ],
  vault: {
    container: { image: "hashicorp/vault:1.21.4", hostPort: 8260 },
    authMount: "Auth/token/role/sys-",
    namePrefix: prefix,
    operatorPolicy: longLower("sys-root", 128),
  },
  // Terraform reads no template here.
  backend: {
    type: "local",
    arguments: {
      path: "../../../${path.module} %{if} $${x} {{name}} '\"$$; # é😀 {environment}.{stack}",
      workspace_dir: "../../../\\{stack}`id`$(id)",
    },
  },
  databases: [
    {
      name: "all",
      schema: "user",
      owner: "current_user",
      manager: { name: "table", passwordVersion: 1_000_000, rotateRoot: true },
      vault: { mount: "system/creds/config-", connection: long("0config", 128) },
      personas: [
        {
          name: "verify-owner",
          groupRole: "None",
          appRole: `${prefix}all`,
          actsAsOwner: true,
          privileges: { ...Privileges.OWNER, database: ["TEMPORARY", "CREATE", "CONNECT"] },
          ...lifetimes,
        },
        {
          name: "0",
          groupRole: "Public",
          appRole: longLower(prefix, 128),
          privileges: Privileges.READ_WRITE,
          ...lifetimes,
        },
        {
          name: reader,
          groupRole: long("authorization", 63),
          appRole: `${prefix}root`,
          privileges: Privileges.READ,
          ...lifetimes,
        },
      ],
      workload: {
        kind: "users",
        admin: "verify-owner",
        writer: "0",
        reader,
      },
    },
    {
      name: long("_Select-FROM", 50),
      server: "select".padEnd(32, "0"),
      schema: long("_Schema-pg_catalog", 63),
      owner: long("_owner", 63),
      manager: { name: long("_manager", 63), passwordVersion: 1 },
      vault: { mount: long("0", 120).concat("/a"), connection: "config" },
      personas: [
        {
          name: "readonly",
          groupRole: "default",
          appRole: `${prefix}default`,
          privileges: Privileges.READ,
          ...lifetimes,
        },
      ],
      staticRoles: [
        {
          name: long("Static", 128),
          login: long("_login", 63),
          persona: "readonly",
          rotationPeriod: "3650d",
        },
      ],
      workload: { kind: "approle", reader: "readonly" },
    },
  ],
  verification: true,
};

export default hostileNames;
