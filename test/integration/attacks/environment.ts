import local from "../../../config/local";
import type { EnvironmentInput } from "../../../config/schema/schema";
import { Privileges } from "../../../constructs/postgres/privileges";

const [database] = local.databases;
const [, , readonly] = database!.personas;

/** `local` with who else attacks: a persona that may CREATE and does not act as the owner, and a login that stays. */
export const attacked: EnvironmentInput = {
  ...local,
  databases: [
    {
      ...database!,
      personas: [
        ...database!.personas,
        {
          ...readonly!,
          name: "maker",
          groupRole: "maker_role",
          appRole: "db-maker-role",
          privileges: { ...Privileges.CONNECT, schema: ["USAGE", "CREATE"], functions: ["EXECUTE"] },
        },
      ],
      staticRoles: [
        { name: "report", login: "report_login", persona: "readonly", rotationPeriod: "24h" },
        { name: "keeper", login: "keeper_login", persona: "schema-admin", rotationPeriod: "24h" },
      ],
    },
  ],
};
