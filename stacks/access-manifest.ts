import { probeRoleNames, type Environment } from "../config/schema";
import type { AccessManifest } from "../verify/manifest";
import { trustPolicyNames } from "./trust";
import { PROBE_ROLES } from "./vault";

/** What the stacks declare, for programs that look whether it holds. TTLs are in seconds. */
export function accessManifest(environment: Environment): AccessManifest {
  return {
    version: 1,
    environment: environment.name,
    policies: trustPolicyNames(environment.name),
    databases: environment.databases.map((database) => ({
      name: database.name,
      schema: database.schema,
      owner: database.owner,
      manager: database.manager.name,
      vault: database.vault,
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
        },
        databaseRole: {
          name: persona.groupRole,
          defaultTtl: persona.lease.defaultTtl.toSeconds(),
          maxTtl: persona.lease.maxTtl.toSeconds(),
        },
        privileges: persona.privileges,
      })),
      ...(environment.verification && { probes: PROBE_ROLES, probeGroups: probeRoleNames(database) }),
      ...(database.workload && { workload: database.workload }),
    })),
  };
}
