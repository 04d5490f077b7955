import type { Check } from "../report/check";
import { expectLoginRefused } from "../lifecycle/gone";
import { expectLeaseRenewed } from "../lifecycle/renewal";
import type { Lease } from "../session/leases";
import { loginRefusal } from "../session/session";
import { asPersona, existing, personaOf, type WorkloadContext } from "./context";

/**
 * HashiCorp's tutorial on leases. A persona's lease is renewed with the persona's token and revoked by its id; what goes
 * by prefix, listing and revoking, is tried where the verifier may: on the probe role with short leases.
 */
export interface LeasesContext extends WorkloadContext<"leases"> {
  /** Of the probe role. */
  probeLeases?: readonly Lease[];
}

export async function renewToMaximum(context: LeasesContext, check: Check): Promise<void> {
  const { workload, leases } = context;
  const persona = personaOf(context, workload.reader);
  const { name: role, defaultTtl: ttl, maxTtl } = persona.databaseRole;
  await asPersona(context, persona, async ({ vault }) => {
    const lease = await leases.take(vault, role);
    await expectLeaseRenewed("the lease", context, { ttl, maxTtl }, lease, vault, check);
    await lease.revoke();
  });
}

export async function revokeById(context: LeasesContext, check: Check): Promise<void> {
  const { workload, database, address, leases } = context;
  const persona = personaOf(context, workload.reader);
  await asPersona(context, persona, async ({ vault }) => {
    const take = () => leases.take(vault, persona.databaseRole.name);
    const [revoked, other] = [await take(), await take()];
    await revoked.revoke(check);
    await expectLoginRefused(address, database.name, revoked, check);
    const refusal = await loginRefusal(address, database.name, other);
    check.note(`login as ${other.username}`, refusal ?? "a session");
    if (refusal) check.find(`another lease of the role must go on, its login is refused with ${refusal}`);
    await other.revoke();
  });
}

function probePrefixOf({ database }: LeasesContext): string {
  return `${database.vault.mount}/creds/${database.probes!.short}`;
}

async function listByPrefix(context: LeasesContext, check: Check): Promise<string[]> {
  const prefix = probePrefixOf(context);
  const answer = await context.vault.request("LIST", `sys/leases/lookup/${prefix}/`);
  check.noteAnswer(answer);
  return ((answer.body.data?.["keys"] ?? []) as string[]).map((id) => `${prefix}/${id}`);
}

export async function leaseAndList(context: LeasesContext, check: Check): Promise<void> {
  const { leases, vault, database } = context;
  const take = () => leases.take(vault, database.probes!.short);
  const taken = (context.probeLeases = [await take(), await take()]);
  const ids = await listByPrefix(context, check);
  const missing = taken.filter(({ id }) => !ids.includes(id));
  if (missing.length > 0) check.find(`Vault must list ${missing.map(({ id }) => id).join(", ")}`);
}

export async function revokeByPrefix(context: LeasesContext, check: Check): Promise<void> {
  const { vault, owner, probeLeases: taken = [] } = context;
  const path = `sys/leases/revoke-prefix/${probePrefixOf(context)}`;
  const revoked = await vault.request("PUT", path, { sync: true });
  check.noteAnswer(revoked);
  if (revoked.status >= 400) {
    check.find(`revoking by prefix must be allowed, received HTTP ${String(revoked.status)}`);
    return;
  }
  const ids = await listByPrefix(context, check);
  const usernames = taken.map(({ username }) => username);
  const left = await existing(owner, usernames, check);
  if (left.length > 0) check.find(`the logins must be gone, still there: ${left.join(", ")}`);
  const known = taken.filter(({ id }) => ids.includes(id));
  if (known.length > 0) check.find(`Vault still lists ${known.map(({ id }) => id).join(", ")}`);
}

export async function refuseOthersPrefix(context: LeasesContext, check: Check): Promise<void> {
  const { vault, workload, database } = context;
  const prefix = `${database.vault.mount}/creds/${personaOf(context, workload.reader).databaseRole.name}`;
  for (const [method, path] of [
    ["LIST", `sys/leases/lookup/${prefix}/`],
    ["PUT", `sys/leases/revoke-prefix/${prefix}`],
  ] as const) {
    const answer = await vault.request(method, path);
    check.noteAnswer(answer);
    check.expectRefused(`${method} ${path}`, 403, answer);
  }
}
