import { Privileges } from "../../../constructs/postgres/privileges";
import type { EnvironmentInput } from "../../../config/schema/schema";

/** The AppRole tutorial (https://developer.hashicorp.com/vault/tutorials/auth-methods/approle): Jenkins on a Vault in dev mode. */
const approle: EnvironmentInput = {
  name: "approle",
  servers: [
    {
      name: "postgres",
      superuser: "postgres",
      database: "builds",
      container: { image: "postgres:18.4", hostPort: 35435 },
    },
  ],
  vault: {
    container: { image: "hashicorp/vault:1.21.4", hostPort: 8230, mode: "dev" },
    authMount: "approle",
    namePrefix: "jenkins-",
  },
  databases: [
    {
      name: "builds",
      schema: "ci",
      owner: "ci_owner",
      manager: { name: "vault", passwordVersion: 1 },
      vault: { mount: "database", connection: "builds" },
      personas: [
        {
          name: "jenkins",
          groupRole: "jenkins_role",
          appRole: "jenkins-role",
          privileges: Privileges.READ_WRITE,
          lease: { defaultTtl: "1h", maxTtl: "4h" },
          token: { ttl: "1h", maxTtl: "4h" },
          secretId: { ttl: "24h", uses: 10 },
        },
      ],
      // For a tool that can't lease: one login that stays, its password Vault's.
      staticRoles: [{ name: "nightly", login: "nightly_login", persona: "jenkins", rotationPeriod: "24h" }],
      workload: { kind: "approle", reader: "jenkins" },
    },
  ],
  verification: true,
};

export default approle;
