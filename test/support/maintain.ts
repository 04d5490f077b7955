import type { EnvironmentInput } from "../../config/schema/schema";
import namedPrivileges from "../environments/named-privileges";

/** The role that makes tables in the schema billing beside its owner; it exists. */
export const CREATOR = "nightly";
const [database] = namedPrivileges.databases as [(typeof namedPrivileges.databases)[number]];
const [, service, report] = database.personas;

/** On the database of named-privileges: MAINTAIN on one table, and on all of a schema in which another role makes some too. */
export const maintain: EnvironmentInput = {
  ...namedPrivileges,
  databases: [
    {
      ...database,
      schemas: database.schemas!.map((schema) =>
        schema.name === "billing" ? { ...schema, creators: [CREATOR] } : schema,
      ),
      personas: [
        {
          ...service!,
          privileges: {
            database: ["CONNECT"],
            schemas: { sales: { schema: ["USAGE"], tables: { "Order-items": ["SELECT", "MAINTAIN"] } } },
          },
        },
        {
          ...report!,
          privileges: {
            database: ["CONNECT"],
            schemas: {
              sales: { schema: ["USAGE"], tables: ["SELECT"] },
              billing: { schema: ["USAGE"], tables: ["SELECT", "MAINTAIN"] },
            },
          },
        },
      ],
    },
  ],
};

/** SQL that makes the creator, after what named-privileges makes. */
export const MAKE_CREATOR = `CREATE ROLE ${CREATOR} NOLOGIN; GRANT USAGE, CREATE ON SCHEMA billing TO ${CREATOR}`;
