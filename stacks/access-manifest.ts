import { serverOf, type Environment } from "../config/schema/schema";
import {
  managerPasswordVariable,
  probeDatabaseRoles,
  probeRoleNames,
  trustPolicyNames,
} from "../manifest/names";
import type { AccessManifestInput } from "../manifest/schema";

/** What the stacks declare, for programs that look whether it holds. TTLs are in seconds. */
export function accessManifest(environment: Environment): AccessManifestInput {
  return {
    version: 1,
    environment: environment.name,
    servers: environment.servers.map(({ name, superuser, tls }) => ({ name, superuser, tls })),
    vault: { ...environment.vault.unsealKeys, tls: environment.vault.tls },
    policies: trustPolicyNames(environment),
    databases: environment.databases.map((database) => ({
      name: database.name,
      schema: database.schema,
      owner: database.owner,
      server: serverOf(environment, database).name,
      manager: database.manager.name,
      managerPasswordVariable: managerPasswordVariable(environment, database),
      vault: { ...database.vault, rotateRoot: database.manager.rotateRoot },
      personas: database.personas.map((persona) => ({
        name: persona.name,
        groupRole: persona.groupRole,
        actsAsOwner: persona.actsAsOwner,
        appRole: {
          authMount: environment.vault.authMount,
          name: persona.appRole,
          policies: [persona.appRole],
          tokenTtl: persona.token.ttl.toSeconds(),
          tokenMaxTtl: persona.token.maxTtl.toSeconds(),
          tokenBoundCidrs: persona.token.boundCidrs,
          secretIdTtl: persona.secretId.ttl.toSeconds(),
          secretIdUses: persona.secretId.uses,
          secretIdBoundCidrs: persona.secretId.boundCidrs,
        },
        databaseRole: {
          name: persona.groupRole,
          defaultTtl: persona.lease.defaultTtl.toSeconds(),
          maxTtl: persona.lease.maxTtl.toSeconds(),
          connectionLimit: persona.connectionLimit,
        },
        privileges: persona.privileges,
      })),
      staticRoles: database.staticRoles.map(({ rotationPeriod, ...role }) => ({
        ...role,
        rotationPeriod: rotationPeriod.toSeconds(),
      })),
      ...(environment.verification && {
        probes: probeDatabaseRoles(environment, database),
        probeGroups: probeRoleNames(database),
      }),
      ...(database.workload && { workload: database.workload }),
    })),
    accepted: environment.accepted,
  };
}
