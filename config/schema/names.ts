/** The policies of the trust model; the operator's is written by whoever initialises Vault, the others by the stack. */
export function trustPolicyNames({ name, vault }: { name: string; vault: { operatorPolicy?: string } }) {
  return {
    operator: vault.operatorPolicy ?? `leasehold-${name}-operator`,
    planner: `leasehold-${name}-planner`,
    deliverer: `leasehold-${name}-deliverer`,
    verifier: `leasehold-${name}-verifier`,
  } as const;
}

/** What the Terraform variable of a manager's password is called. */
export function managerPasswordVariable(
  { servers }: { readonly servers: readonly { readonly name: string }[] },
  { server, manager }: { readonly server?: string; readonly manager: { readonly name: string } },
): string {
  // Role names are unique on a server alone.
  const prefix = server === undefined || server === servers[0]!.name ? "" : `${server}_`;
  return `${prefix}${manager.name.replaceAll("-", "_")}_manager_password`;
}

interface MountedDatabase {
  readonly name: string;
  readonly vault: { readonly mount: string };
}

/**
 * The probes' database roles in Vault. Each database of a mount has its own; the first one's have the plain names.
 */
export function probeDatabaseRoles(
  { databases }: { databases: readonly MountedDatabase[] },
  database: MountedDatabase,
): { owner: string; short: string } {
  const first = databases.find(({ vault }) => vault.mount === database.vault.mount)!;
  const suffix = first.name === database.name ? "" : `-${database.name}`;
  return { owner: `verify-owner${suffix}`, short: `verify-short${suffix}` };
}

/** The group roles of the verifier's probes; roles are global to a server, so the database's name is part of theirs. */
export function probeRoleNames(database: { readonly name: string }): { owner: string; short: string } {
  return { owner: `${database.name}_verify_owner`, short: `${database.name}_verify_short` };
}
